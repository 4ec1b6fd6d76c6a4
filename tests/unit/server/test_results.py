"""What the tools return, over the protocol, against their own schemas."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import anyio
import jsonschema
import pytest
from mcp import Client
from mcp_types import CallToolResult, TextContent

from agent_runner.models import PauseReason
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import short_id
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import Event
from rover_mcp.server.tools import TOOLS
from tests.support.desk import ServerHarness
from tests.support.samples import NOW, pause, run_state

NUMBER = {"task": "1"}
# In this order on one task: those that change it come last.
CALLS: dict[str, dict[str, Any]] = {
    "list_tasks": {},
    "inspect": {"task": "1", "detail": "full"},
    "wait_for_task": {"task": "1", "timeout_s": 0},
    "get_logs": NUMBER,
    "get_diff": NUMBER,
    "get_history": NUMBER,
    "fork_task": NUMBER,
    "list_workflows": {},
    "get_status": {},
    "create_task": {"description": "Another one"},
    "restart_task": NUMBER,
    "resume_task": {"task": "1", "when": "at_reset"},
    "rebase_task": NUMBER,
    "merge_task": NUMBER,
    "push_task": NUMBER,
    "iterate_task": {"task": "1", "instructions": "Name it better"},
    "set_auto_resume": {"enabled": False, "task": "1"},
    "pause_task": NUMBER,
    "cancel_task": NUMBER,
    "delete_task": {"task": "1", "confirm": True},
}
STATES = ("new", "running", "paused", "failed", "completed")


def ask(desk: ServerHarness, *calls: tuple[str, dict[str, Any]]) -> list[CallToolResult]:
    """Calls on one connection."""

    async def talk() -> list[CallToolResult]:
        async with Client(desk.app().server_for(desk.session())) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(talk)


def valid(name: str, result: CallToolResult) -> dict[str, Any]:
    """The structured part, once it has been found to be what the tool's schema says."""
    schema = TOOLS[name].tool.output_schema
    assert schema is not None
    assert result.structured_content is not None
    jsonschema.Draft202012Validator(schema).validate(result.structured_content)
    return result.structured_content


def text(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


def task_in(desk: ServerHarness, state: str) -> str:
    """Task 1, brought to `state` with all that a task can have."""
    created = ask(desk, ("create_task", {"description": "Fix the sum"}))[0]
    task_id: str = valid("create_task", created)["task"]["id"]
    if state == "new":
        return task_id
    desk.store.claims.start(task_id, 1, f"attempt-{task_id}-1")
    desk.store.attempts.move(task_id, 1, ("starting",), state="running")
    desk.live[task_id] = run_state()
    if state == "paused":
        told = pause(PauseReason.CREDITS)
        desk.store.transitions.apply(
            task_id, Event.PAUSE, schedule=True, pause=told, retry_at=NOW.timestamp() + 900,
            run_state=run_state(), data=told.model_dump(mode="json"),
        )  # fmt: skip
    elif state == "failed":
        desk.store.transitions.apply(
            task_id, Event.FAIL, error="tests fail", data={"error": "tests fail"}
        )
    elif state == "completed":
        desk.store.transitions.apply(task_id, Event.COMPLETE, run_state=run_state())
    logs = TaskFolders(desk.home, task_id, 1).run / "logs"
    logs.mkdir(parents=True)
    (logs / "implement.log").write_text("\x1b[31mworking\x1b[0m\n")
    return task_id


@pytest.mark.parametrize("state", STATES)
def test_every_result_is_valid_against_its_schema(desk: ServerHarness, state: str) -> None:
    """A client may check it, and drops what is not."""
    assert set(CALLS) == set(TOOLS)
    task_in(desk, state)
    for name, result in zip(CALLS, ask(desk, *CALLS.items()), strict=True):
        structured = valid(name, result)
        assert bool(result.is_error) == ("error" in structured)
        assert text(result)
        # Only what the task's state forbids is an error.
        assert not result.is_error or (name, state) in {
            ("pause_task", "failed"), ("pause_task", "completed"), ("cancel_task", "completed"),
            ("resume_task", "new"), ("resume_task", "completed"),
            *(("restart_task", state) for state in STATES if state != "failed"),
            *(("merge_task", state) for state in STATES if state != "completed"),
            *(("push_task", state) for state in STATES if state != "completed"),
            *(("rebase_task", state) for state in STATES if state != "completed"),
            # None of them has a snapshot.
            *(("fork_task", state) for state in STATES),
            # A failed task has just been restarted.
            *(("iterate_task", state) for state in STATES if state != "completed"),
            # Its attempt has not ended: nothing ends one here.
            *(("delete_task", state) for state in ("running", "paused", "completed")),
        }  # fmt: skip


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("inspect", {"task": "12abc"}, "malformed_id"),
    ("inspect", {"task": "99"}, "unknown_task"),
    ("inspect", {}, "invalid_arguments"),
    ("inspect", {"task": "1", "wat": 1}, "invalid_arguments"),
    ("create_task", {"description": " "}, "invalid_description"),
    ("create_task", {"description": "x", "agent": "nope"}, "unknown_agent"),
    ("create_task", {"description": "x", "workflow": "broken"}, "invalid_workflow"),
    ("create_task", {"description": "x", "engine": "host"}, "invalid_arguments"),
    ("list_tasks", {"cursor": "made up"}, "invalid_cursor"),
    ("get_logs", {"task": "1", "step": "nope"}, "unknown_step"),
    ("get_status", {"x": 1}, "invalid_arguments"),
]


def test_an_error_says_what_failed_and_what_to_do(desk: ServerHarness) -> None:
    """As a tool error, valid against the same schema, never a trace."""
    task_in(desk, "paused")
    results = ask(desk, *((name, arguments) for name, arguments, _ in WRONG))
    for (name, arguments, code), result in zip(WRONG, results, strict=True):
        assert result.is_error, (name, arguments)
        error = valid(name, result)["error"]
        assert error["code"] == code
        assert error["message"] in text(result)
        assert "Traceback" not in text(result)
        assert error.get("hint") or error.get("next_call") or "there are: " in error["message"]


def test_a_machines_fault_is_a_tool_error_too(desk: ServerHarness) -> None:
    task_in(desk, "paused")
    desk.work.fault = EnvironmentFault("the hub is broken", hint="run git fsck", code="hub")
    [result] = ask(desk, ("get_diff", NUMBER))
    assert valid("get_diff", result)["error"] == {
        "code": "hub", "message": "the hub is broken", "hint": "run git fsck",
    }  # fmt: skip


def test_concise_results_stay_under_2000_tokens(desk: ServerHarness) -> None:
    """Structure and text together."""
    task_in(desk, "paused")
    names = ("inspect", "wait_for_task", "get_status", "resume_task")
    calls = [
        (name, CALLS[name] | {"detail": "concise"} if name == "inspect" else CALLS[name])
        for name in names
    ]
    for name, result in zip(names, ask(desk, *calls), strict=True):
        size = len(json.dumps(result.structured_content)) + len(text(result))
        assert size / 4 < 2000, name


def test_untrusted_text_is_marked_as_such(desk: ServerHarness) -> None:
    task_in(desk, "completed")
    logs, diff = ask(desk, ("get_logs", NUMBER), ("get_diff", NUMBER))
    for name, result in (("get_logs", logs), ("get_diff", diff)):
        assert valid(name, result)["untrusted"] is True
        assert "(untrusted):" in text(result)
    assert valid("get_logs", logs)["text"] == "working"


def test_a_huge_patch_is_cut_and_says_so(desk: ServerHarness) -> None:
    task_in(desk, "completed")
    desk.work.patch = "+x\n" * 100_000
    [result] = ask(desk, ("get_diff", NUMBER))
    structured = valid("get_diff", result)
    assert structured["truncated"] is True
    assert len(structured["patch"]) <= 24_000


def test_a_pause_is_heard_in_the_next_result_and_once(desk: ServerHarness) -> None:
    """`attention`, whatever was asked."""
    task_id = task_in(desk, "paused")
    first, second = ask(desk, ("get_status", {}), ("get_status", {}))
    [event] = valid("get_status", first)["attention"]
    assert (event["task"], event["event"], event["reason"]) == (
        short_id(task_id),
        "task.paused",
        "credits",
    )
    assert event["resume"]["tool"] == "resume_task"
    assert "Attention: task 1 is paused (credits, in step implement) since" in text(first)
    assert valid("get_status", second)["attention"] == []


def test_attention_has_a_limit_and_says_how_many_more(desk: ServerHarness) -> None:
    for made in ask(desk, *[("create_task", {"description": "Fix"})] * 13):
        task_id = valid("create_task", made)["task"]["id"]
        desk.store.transitions.apply(task_id, Event.FAIL, error="boom", data={"error": "boom"})
    [result] = ask(desk, ("get_status", {}))
    structured = valid("get_status", result)
    assert [e["number"] for e in structured["attention"]] == list(range(4, 14))
    assert structured["attention_more"] == 3
    assert "(3 more: list_tasks)" in text(result)


TEXTS: dict[str, dict[str, str]] = {
    "new": {
        "inspect": 'Task 1 NEW (queued, 0 %): "Fix the sum"',
        "get_status": "engines that work: ",
        "list_workflows": "swe: Change the code.",
        "get_diff": "1 file changed, +1 -0",
    },
    "running": {
        "inspect": "IN_PROGRESS (step 3 of 4: implement, 50 %)",
        "wait_for_task": "(returned: timeout)",
    },
    "paused": {
        "inspect": 'credits (account anthropic): "credit balance is too low".\nIt resumes automatically at '
        "2026-11-23 12:15:00Z, in 15 min (automatic resume 1; set_auto_resume switches that "
        "off: for this task, its project, or all).\n",
        "list_tasks": "1  PAUSED  paused: credits, anthropic, resumes at "
        '2026-11-23 12:15Z  "Fix the sum"',
        "wait_for_task": "(returned: paused)",
        "resume_task": "scheduled, it resumes automatically at retry_at. Task 1 PAUSED",
        "set_auto_resume": "Automatic resume is off for this task. Paused tasks that wait for "
        "resume_task from now on: 1.",
        "pause_task": "It waits for resume_task: it was paused on request.\nPossible: get_diff",
    },
    "failed": {
        "inspect": 'Error: "tests fail"\nPossible: resume_task',
        "wait_for_task": "(returned: ended)",
    },
    "completed": {"inspect": "Next: get_diff", "wait_for_task": "(returned: ended)"},
}


@pytest.mark.parametrize("state", STATES)
def test_the_text_is_short_and_says_what_matters(desk: ServerHarness, state: str) -> None:
    task_in(desk, state)
    calls = [
        (name, {k: v for k, v in CALLS[name].items() if k != "detail"}) for name in TEXTS[state]
    ]
    for (name, _), result in zip(calls, ask(desk, *calls), strict=True):
        assert TEXTS[state][name] in text(result)
        assert len(text(result)) < (4000 if name == "list_workflows" else 1500)


def test_a_record_with_an_unknown_status_is_named_and_hides_no_other(desk: ServerHarness) -> None:
    """A1: never shown as NEW."""
    damaged, sound = (
        valid("create_task", made)["task"]["id"]
        for made in ask(desk, *[("create_task", {"description": "Fix"})] * 2)
    )
    with sqlite3.connect(desk.home / "rover.db") as database:
        database.execute("UPDATE rover_tasks SET status = 'SLEEPING' WHERE id = ?", (damaged,))
    database.close()
    listed, inspected = ask(desk, ("list_tasks", {}), ("inspect", {"task": damaged}))
    page = valid("list_tasks", listed)
    assert [t["id"] for t in page["tasks"]] == [short_id(sound)]
    assert damaged in page["warnings"][0]
    assert f"Warning: {page['warnings'][0]}" in text(listed)
    error = valid("inspect", inspected)["error"]
    assert error["code"] == "damaged_record"
    assert damaged in error["message"]
    assert "SLEEPING" in error["message"]
