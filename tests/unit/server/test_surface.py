"""The whole surface without a model: examples that work, and words that are not confused."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import jsonschema
import pytest

from rover_mcp.server.app import INSTRUCTIONS
from rover_mcp.server.argument_errors import EXAMPLES
from rover_mcp.server.prompts import prompts
from rover_mcp.server.resources import templates
from rover_mcp.server.tools import TOOLS
from tests.snapshots.update import listed

EXAMPLE = "Example: "
ALIKE = 0.35
"""Most that two descriptions' words may have in common (shared over all; the surface has 0.24)."""


def tools() -> list[dict[str, Any]]:
    return [dict(tool) for tool in listed()]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z_]{3,}", text.split(EXAMPLE, maxsplit=1)[0].lower()))


def alike(one: str, other: str) -> float:
    mine, theirs = words(one), words(other)
    return len(mine & theirs) / len(mine | theirs)


def distance(one: str, other: str) -> int:
    """Letters to put in, take out or change to make the one the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def test_every_example_in_a_description_is_valid_and_accepted() -> None:
    tried = 0
    for tool in tools():
        for example in tool["description"].split(EXAMPLE)[1:]:
            arguments, _ = json.JSONDecoder().raw_decode(example)
            assert jsonschema.Draft202012Validator(tool["inputSchema"]).is_valid(arguments)
            TOOLS[tool["name"]].arguments.model_validate(arguments)
            tried += 1
    assert tried >= 2


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_the_examples_that_errors_give_make_a_valid_call(name: str) -> None:
    tool = next(tool for tool in tools() if tool["name"] == name)
    arguments = {n: EXAMPLES[n] for n in tool["inputSchema"].get("required", [])}
    assert jsonschema.Draft202012Validator(tool["inputSchema"]).is_valid(arguments)
    TOOLS[name].arguments.model_validate(arguments)


def test_no_two_names_are_easily_confused() -> None:
    """More than two letters apart, among tools and prompts together."""
    names = [*TOOLS, *(p.name for p in prompts())]
    near = [(a, b) for a, b in combinations(names, 2) if distance(a, b) <= 2]
    # Both are what everybody calls it, and a push needs `confirm`.
    assert near == [("pause_task", "push_task")]


def test_no_two_descriptions_are_easily_confused() -> None:
    for told in (
        {t["name"]: t["description"] for t in tools()},
        {p.name: p.description or "" for p in prompts()},
        {t.name: t.description or "" for t in templates()},
    ):
        near = {(a, b): alike(told[a], told[b]) for a, b in combinations(told, 2)}
        assert {pair: much for pair, much in near.items() if much > ALIKE} == {}


def test_prompts_their_arguments_and_resources_are_described() -> None:
    assert prompts()
    assert templates()
    for entry in (*prompts(), *templates()):
        assert entry.title, entry.name
        assert len(entry.description or "") > 20, entry.name
    for prompt in prompts():
        assert [a.name for a in prompt.arguments or [] if not a.description] == []


def test_the_instructions_are_short_and_name_tools_that_exist() -> None:
    assert len(INSTRUCTIONS) < 1500
    named = set(re.findall(r"\b(?:[a-z]+_task|get_[a-z]+|list_[a-z]+|set_[a-z_]+)\b", INSTRUCTIONS))
    assert named
    assert named <= set(TOOLS)
