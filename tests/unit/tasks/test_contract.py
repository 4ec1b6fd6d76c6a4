"""docs/notifications.md and its schemas say what is."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rover_mcp.config.settings import Settings
from rover_mcp.control.journal_watch import STEPS_OMITTED
from rover_mcp.domain.event_kinds import KINDS
from rover_mcp.domain.task_status import Event
from rover_mcp.tasks import contract
from rover_mcp.tasks.handle_spans import MARKS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGE = (DOCS / "notifications.md").read_text("utf-8")
AGAIN = "write it anew with: python -m rover_mcp.tasks.contract"


@pytest.mark.parametrize("name", sorted(contract.schemas()))
def test_the_schemas_are_current_and_valid(name: str) -> None:
    text = (DOCS / "schemas" / name).read_text("utf-8")
    assert text == contract.as_text(contract.schemas()[name]), AGAIN
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_no_other_schema_lies_about() -> None:
    assert {p.name for p in (DOCS / "schemas").iterdir()} >= set(contract.schemas())


def test_the_table_is_current() -> None:
    assert contract.with_kinds(PAGE) == PAGE, AGAIN


def test_every_kind_that_the_code_writes_is_in_the_contract() -> None:
    """Read from the sources: what looks like a kind of event, and is passed to the log."""
    found: set[str] = set()
    for path in (ROOT / "rover_mcp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"task\.[a-z_]+", text):
                found.add(text)
    not_events = {"task.description"}
    assert found - not_events == {str(kind) for kind in KINDS}
    assert {*Event, *MARKS, STEPS_OMITTED} <= set(KINDS)


def examples() -> list[tuple[str, str]]:
    return re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_are_valid() -> None:
    checked: set[str] = set()
    for name, text in examples():
        checked.add(name)
        if name == "config":
            settings = Settings.model_validate({**yaml.safe_load(text), "home": ROOT})
            assert [hook.name for hook in settings.hooks] == ["desktop", "webhook", "log"]
            continue
        jsonschema.validate(json.loads(text), contract.schemas()[name])
    assert checked == {"config", *contract.schemas()}


@pytest.mark.parametrize(
    "change", [{"event": "task.exploded"}, {"status": "WELL"}, {"seq": "1"}, {"reason": "tired"}]
)
def test_the_schema_refuses_what_is_no_event(change: dict[str, Any]) -> None:
    [text] = [text for name, text in examples() if name == "event.schema.json"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**json.loads(text), **change}, contract.schemas()["event.schema.json"])
