"""The tool surface: what a client's model reads of it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from rover_mcp.server.tool_call import ToolEntry
from rover_mcp.server.tools import TOOLS
from tests.snapshots.update import TOOLS_FILE, listed, tools_text

EXPECTED = {
    "create_task", "list_tasks", "inspect", "wait_for_task", "get_logs", "get_diff", "resume_task",
    "iterate_task", "restart_task", "pause_task", "cancel_task", "delete_task", "merge_task",
    "set_auto_resume", "list_workflows", "get_status", "get_history", "push_task",
    "rebase_task", "fork_task",
}  # fmt: skip
READS = {
    "list_tasks",
    "inspect",
    "wait_for_task",
    "get_logs",
    "get_diff",
    "list_workflows",
    "get_status",
    "get_history",
}
DESTROYS = {"cancel_task", "delete_task", "merge_task", "push_task", "rebase_task"}
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")

each_tool = pytest.mark.parametrize("name", sorted(TOOLS))


def wire(name: str) -> dict[str, Any]:
    return next(tool for tool in listed() if tool["name"] == name)


def is_told(schema: dict[str, Any]) -> bool:
    """Whether a model can know what to pass: words, or a closed set."""
    return bool(schema.get("description")) or "enum" in {**schema, **schema.get("items", {})}


def test_the_tools_are_those_of_the_design_in_a_fixed_order() -> None:
    """And clients may cache the list."""
    assert set(TOOLS) == EXPECTED
    assert [tool["name"] for tool in listed()] == sorted(EXPECTED)


@each_tool
def test_every_tool_says_what_it_does_and_what_it_changes(name: str) -> None:
    """All four annotations; none is left to a client's default."""
    tool = wire(name)
    assert 40 < len(tool["description"]) < 500
    assert "<" not in tool["description"], (
        "VS Code shows it as Markdown, without what looks like HTML"
    )
    assert tool["annotations"]["title"]
    assert "title" not in tool, "once is enough, and cheaper"
    hints = tool["annotations"]
    # The two others have no meaning for a tool that only reads.
    meant = [h for h in HINTS if name not in READS or h in ("readOnlyHint", "openWorldHint")]
    assert {h for h in HINTS if isinstance(hints.get(h), bool)} == set(meant)
    assert hints["readOnlyHint"] == (name in READS)
    assert hints.get("destructiveHint", False) == (name in DESTROYS)


@each_tool
def test_every_parameter_is_described_or_a_closed_set(name: str) -> None:
    schema = wire(name)["inputSchema"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert [n for n, p in schema["properties"].items() if not is_told(p)] == []
    assert set(schema.get("required", [])) <= set(schema["properties"])


@each_tool
def test_schemas_are_valid_and_carry_no_ballast(name: str) -> None:
    tool = wire(name)
    for schema in (tool["inputSchema"], tool["outputSchema"]):
        jsonschema.Draft202012Validator.check_schema(schema)
        text = json.dumps(schema)
        assert "$ref" not in text
        assert '"title": "' not in text
        assert '"type": "null"' not in text
    assert tool["outputSchema"]["type"] == "object"


MOST_TOOLS, LEFT_FOR_EACH = 21, 60
"""How many tools there may ever be, and what each that there is not yet leaves to itself."""


def tokens(value: object) -> float:
    """At four characters a token; o200k counts some 6 % less here."""
    return len(json.dumps(value, separators=(",", ":"))) / 4


def test_the_list_costs_less_than_4500_tokens_and_leaves_room_for_others() -> None:
    """Of which a model is shown less than 3,500: names, descriptions, inputs."""
    room = (MOST_TOOLS - len(TOOLS)) * LEFT_FOR_EACH
    shown = [{k: t[k] for k in ("name", "description", "inputSchema")} for t in listed()]
    assert tokens(listed()) + room < 4500
    assert tokens(shown) + room < 3500


def test_one_schema_alone_shows_a_tasks_own_fields() -> None:
    """One schema of a view is not copied into each tool."""
    whole = [
        tool["name"]
        for tool in listed()
        if tool["outputSchema"]["properties"].get("task", {}).get("properties")
    ]
    assert whole == ["inspect"]


def test_the_surface_is_the_one_that_was_reviewed() -> None:
    """To update: python -m tests.snapshots.update"""
    assert TOOLS_FILE.read_text("utf-8") == tools_text()


GOOD: dict[str, list[dict[str, Any]]] = {
    "create_task": [
        {"description": "Fix it"},
        {"description": "Fix it", "inputs": {"a": "b"}, "engine": "docker", "auto_resume": False},
        {"description": "Fix it", "agent": "claude, codex", "budget_usd": 5, "budget_tokens": 10},
        {"description": "Fix it", "after": ["3", "4"], "base_branch": "task:3"},
    ],
    "list_tasks": [{}, {"status": ["PAUSED", "FAILED"], "limit": 100}],
    "inspect": [{"task": "1"}, {"task": "1", "detail": "full"}],
    "wait_for_task": [{"task": "1"}, {"task": "1", "timeout_s": 0, "after_seq": 3}],
    "get_logs": [{"task": "1", "step": "test", "tail": 1}],
    "get_diff": [{"task": "1", "paths": ["a.py"], "stat_only": True}],
    "get_history": [{"task": "1"}, {"task": "1", "snapshot": "s4"}],
    "resume_task": [
        {"task": "1"}, {"task": "1", "when": "at_reset"},
        {"task": "1", "agent": "codex", "budget_usd": 0.5, "budget_tokens": 1},
    ],
    "set_auto_resume": [
        {"enabled": False, "task": "1"}, {"enabled": True, "scope": "project", "repo_path": "/r"},
        {"enabled": False, "scope": "all"},
    ],
    "iterate_task": [
        {"task": "1", "instructions": "Handle empty input"},
        {"task": "1", "comments": [{"file": "a.py", "line": 1, "text": "why?"}]},
        {"task": "1", "instructions": "Anew", "from_snapshot": "s4"},
    ],
    "fork_task": [
        {"task": "1"}, {"task": "1", "snapshot": "s4", "instructions": "Anew", "agent": "a, b"},
    ],
    "restart_task": [{"task": "1"}],
    "pause_task": [{"task": "1"}],
    "cancel_task": [{"task": "1", "repo_path": "/repo"}],
    "delete_task": [{"task": "1"}, {"task": "1", "confirm": True}],
    "rebase_task": [{"task": "1"}, {"task": "1", "onto": "origin/main", "confirm": True}],
    "merge_task": [
        {"task": "1"}, {"task": "1", "into": "main", "mode": "squash", "confirm": True},
        {"task": "1", "message": "Fix it", "accept": [".vscode/", "commit-msg"]},
    ],
    "push_task": [
        {"task": "1"}, {"task": "1", "remote": "fork", "branch": "fix", "confirm": True},
        {"task": "1", "accept": ["pre-push"]},
    ],
    "list_workflows": [{}],
    "get_status": [{}],
}  # fmt: skip
BAD: dict[str, list[dict[str, Any]]] = {
    "create_task": [
        {}, {"description": 1}, {"description": "x", "engine": "host"},
        {"description": "x", "inputs": "a=1"}, {"description": "x", "wat": 1},
        {"description": "x", "budget_tokens": 1.5},
    ],
    "list_tasks": [{"status": ["DREAMING"]}, {"limit": "few"}, {"status": 7}],
    "inspect": [{}, {"task": "1", "detail": "loud"}, {"task": True}],
    "wait_for_task": [{"task": {"a": 1}}, {"task": "1", "timeout_s": "long"}, {"task": True}],
    "get_logs": [{"task": "1", "tail": "much"}, {"task": "1", "tail": 1.5}],
    "get_diff": [{"task": "1", "paths": {"a": 1}}],
    "get_history": [{}, {"task": "1", "snapshot": {"a": 1}}],
    "fork_task": [{}, {"task": "1", "from": "s4"}],
    "resume_task": [{"task": "1", "when": "later"}],
    "set_auto_resume": [{}, {"enabled": "perhaps", "task": "1"}, {"enabled": True, "scope": "none"}],
    "iterate_task": [{}, {"task": "1", "comments": [{"line": 1, "text": "x"}]}],
    "restart_task": [{}, {"task": "1", "when": "now"}],
    "pause_task": [{}],
    "cancel_task": [{"task": "1", "force": True}],
    "delete_task": [{}, {"task": "1", "confirm": "perhaps"}, {"task": "1", "dry_run": True}],
    "push_task": [{}, {"task": "1", "force": True}],
    "rebase_task": [{}, {"task": "1", "into": "main"}, {"task": "1", "confirm": "perhaps"}],
    "merge_task": [{}, {"task": "1", "mode": "rebase"}, {"task": "1", "force": True}],
    "list_workflows": [{"wat": "/repo"}],
    "get_status": [{"verbose": True}],
}  # fmt: skip


BEYOND: dict[str, list[dict[str, Any]]] = {
    "create_task": [
        {"description": "x" * 50_001},
        {"description": "x", "budget_usd": 0}, {"description": "x", "budget_tokens": -1},
        {"description": "x", "budget_usd": 1e9},
    ],
    "list_tasks": [{"status": ["NEW"] * 10}],
    "inspect": [{"task": "x" * 241}],
    "get_diff": [{"task": "1", "paths": ["a"] * 101}],
    "resume_task": [{"task": "1", "budget_usd": -1}],
}  # fmt: skip
"""Limits that no model has to know before: whoever is beyond one is told it."""


MEANT: dict[str, list[dict[str, Any]]] = {
    "inspect": [{"task": 1}],
    "list_tasks": [{"status": "PAUSED"}],
    "get_diff": [{"task": 1, "paths": "a.py"}],
}
"""What models write for it, and what can be meant by nothing else."""


def accepts(
    entry: ToolEntry, schema: dict[str, Any], arguments: dict[str, Any]
) -> tuple[bool, bool]:
    """What the schema promises, and what the tool does."""
    promised = jsonschema.Draft202012Validator(schema).is_valid(arguments)
    try:
        entry.arguments.model_validate(arguments)
    except ValidationError:
        return promised, False
    return promised, True


@each_tool
def test_a_tool_takes_what_its_schema_promises_and_no_more(name: str) -> None:
    schema = wire(name)["inputSchema"]
    assert [accepts(TOOLS[name], schema, a) for a in GOOD[name]] == [(True, True)] * len(GOOD[name])
    assert [accepts(TOOLS[name], schema, a) for a in BAD[name]] == [(False, False)] * len(BAD[name])


@pytest.mark.parametrize("name", BEYOND)
def test_limits_that_cost_tokens_are_checked_though_no_schema_shows_them(name: str) -> None:
    schema = wire(name)["inputSchema"]
    seen = [accepts(TOOLS[name], schema, arguments) for arguments in BEYOND[name]]
    assert seen == [(True, False)] * len(BEYOND[name])


@pytest.mark.parametrize("name", MEANT)
def test_a_number_for_a_text_and_one_for_a_list_of_one_are_taken_as_meant(name: str) -> None:
    for arguments in MEANT[name]:
        assert accepts(TOOLS[name], wire(name)["inputSchema"], arguments) == (False, True)
