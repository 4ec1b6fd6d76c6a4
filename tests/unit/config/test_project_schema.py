"""The published JSON Schema and the loader agree; the page's tables come from the language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from rover_mcp.config.load_project import ConfigError, parse_config
from rover_mcp.config.project_schema import as_tables, as_text, config_schema
from tests.unit.config.test_load_project import FULL

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "workflows" / "config.schema.json"
VALIDATOR = Draft202012Validator(config_schema())


def loads(document: object) -> bool:
    """Whether the loader takes it. JSON is YAML."""
    try:
        parse_config(json.dumps(document).encode())
    except ConfigError:
        return False
    return True


def test_the_published_schema_is_up_to_date() -> None:
    """Write it anew: python -m rover_mcp.config.project_schema > workflows/config.schema.json"""
    assert PUBLISHED.read_text("utf-8") == as_text()
    Draft202012Validator.check_schema(json.loads(as_text()))


def definitions() -> Iterator[Json]:
    schema = config_schema()
    yield schema
    yield from schema["$defs"].values()


@pytest.mark.parametrize("definition", [*definitions()])
def test_editors_can_say_what_everything_is(definition: Json) -> None:
    assert definition["additionalProperties"] is False
    assert definition["description"]
    for word, schema in definition["properties"].items():
        assert schema.get("description") or "$ref" in schema, word


def wrong_documents() -> Iterator[Json]:
    """Each value of a full document replaced by what does not belong there."""
    full = yaml.safe_load(FULL)
    for key, value in full.items():
        yield {**full, key: {"x": {"y": 1}}}
        yield {**full, key: -1}
        if isinstance(value, dict) and key != "environment":
            yield {**full, key: {**value, "unknown": 1}}
            for inner in value:
                yield {**full, key: {**value, inner: {"x": 1}}}
                yield {**full, key: {**value, inner: -1}}
    yield {**full, "unknown": 1}
    for path in ("/x", "../x", "a/../b", "-x", "a b", "*"):
        yield {**full, "copy": [path]}
    for memory in ("1 gig", "GiB", "-1GiB", "1e3GiB"):
        yield {**full, "limits": {"memory": memory}}


def test_a_full_document_fits_both() -> None:
    document = yaml.safe_load(FULL)
    VALIDATOR.validate(document)
    assert loads(document)


@pytest.mark.parametrize("document", [*wrong_documents()])
def test_the_schema_and_the_loader_refuse_the_same(document: Json) -> None:
    assert VALIDATOR.is_valid(document) == loads(document) == False  # noqa: E712


@pytest.mark.parametrize("word", ["512MiB", "1.5GiB", "4 GB", 1024])
def test_sizes_that_both_take(word: object) -> None:
    document = {"limits": {"memory": word}}
    VALIDATOR.validate(document)
    assert loads(document)


def test_the_page_holds_the_tables_of_the_language_and_examples_that_load() -> None:
    """Write them anew: python -c 'from rover_mcp.config.project_schema import *; print(as_tables())'"""
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert as_tables() in page
    examples = page.split("```yaml\n")[1:]
    assert len(examples) >= 3
    for example in examples:
        parse_config(example.split("```")[0].encode())
