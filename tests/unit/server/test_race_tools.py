"""A race over the protocol: created, compared and chosen, with the words that a model is shown."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult

from rover_mcp.domain.ids import short_id
from rover_mcp.domain.task_status import Event
from rover_mcp.store.records import TaskRow
from tests.support.desk import ServerHarness
from tests.support.samples import run_state, snapshot
from tests.unit.server.test_results import ask, text, valid

NEW = {"description": "Fix the sum", "agents": ["claude", "scripted"], "budget_usd": 2}


def race(desk: ServerHarness) -> list[str]:
    """A race whose first task is done, and whose second has failed."""
    result = valid("create_task", ask(desk, ("create_task", NEW))[0])
    assert [racer["number"] for racer in result["race"]["racers"]] == [1, 2]
    numbers = {row.number: row.id for row in desk.store.tasks.page() if isinstance(row, TaskRow)}
    ids = [numbers[1], numbers[2]]
    for task, event in zip(ids, (Event.COMPLETE, Event.FAIL), strict=True):
        desk.store.transitions.apply(task, Event.START)
        desk.store.attempts.move(task, 1, ("queued",), state="ended")
        desk.store.transitions.apply(task, event, run_state=run_state(snapshot=snapshot()))
    return ids


def answered(desk: ServerHarness, task: str, answer: str) -> CallToolResult:
    """A choice by a client whose person gives this answer, and the question in `asked`."""

    async def person(_: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"choice": answer})

    asked: list[str] = []

    async def talk() -> CallToolResult:
        server = desk.app().server_for(desk.session())
        async with Client(server, elicitation_callback=person) as client:
            arguments = {"task": task, "others": True, "confirm": True}
            return await client.call_tool("delete_task", arguments)

    result = anyio.run(talk)
    assert len(asked) == 1
    assert asked[0].startswith("Choose task 1 (claude)? The others are deleted")
    assert "task 2: scripted, FAILED" in asked[0]
    return result


def test_the_result_of_a_new_race_names_all_of_its_tasks_and_the_sum(desk: ServerHarness) -> None:
    """N15."""
    result = ask(desk, ("create_task", NEW))[0]
    assert valid("create_task", result)["race"]["standing"] == "undecided: 0 of 2 are done"
    shown = text(result)
    assert "Budget: each of the 2 has its own; together $4.00." in shown
    assert "Task 1, claude: NEW (queued)" in shown
    assert "Task 2, scripted: NEW (queued)" in shown


def test_inspect_compares_them_and_proposes_the_choice(desk: ServerHarness) -> None:
    """N15."""
    first, second = race(desk)
    done, failed = ask(desk, ("inspect", {"task": first}), ("inspect", {"task": second}))
    call = valid("inspect", done)["task"]["next_actions"][-1]
    named = {"task": short_id(first), "others": True}
    assert (call["tool"], call["arguments"]) == ("delete_task", named)
    assert "Race undecided: 1 of 2 are done." in text(done)
    assert not any("others" in one["arguments"] for one in valid("inspect", failed)["task"]
                   ["next_actions"])  # fmt: skip
    assert "in a race of claude, scripted" in text(ask(desk, ("list_tasks", {}))[0])


def test_a_choice_is_shown_first_and_is_not_worded_as_a_deletion(desk: ServerHarness) -> None:
    """N15."""
    first, second = race(desk)
    plan, done, again = ask(
        desk,
        ("delete_task", {"task": first, "others": True}),
        ("delete_task", {"task": first, "others": True, "confirm": True}),
        ("delete_task", {"task": first, "others": True, "confirm": True}),
    )
    shown = valid("delete_task", plan)
    assert (shown["chosen"], shown["deleted"]) == (False, False)
    assert shown["next_actions"][0]["arguments"]["confirm"] is True
    assert "Nothing is chosen yet. It would be:" in text(plan)
    assert valid("delete_task", done)["chosen"] is True
    assert "Chosen." in text(done)
    assert "Deleted" not in text(done)
    assert valid("delete_task", done)["next_actions"][0]["tool"] == "merge_task"
    assert [item["what"] for item in valid("delete_task", again)["items"]] == ["task 1"]
    assert desk.store.tasks.get(second) is None


@pytest.mark.parametrize(("answer", "chosen"), [("choose", True), ("keep", False)])
def test_a_person_is_asked_before_a_choice(desk: ServerHarness, answer: str, chosen: bool) -> None:
    """N15."""
    first, second = race(desk)
    result = answered(desk, first, answer)
    assert bool(result.is_error) is not chosen
    assert (desk.store.tasks.get(second) is None) is chosen


@pytest.mark.parametrize(
    ("tool", "more", "code"),
    [
        ("delete_task", {"others": True, "branch": True}, "invalid_arguments"),
        ("delete_task", {"others": True}, "not_choosable"),
    ],
)
def test_a_choice_that_cannot_be_made_says_why(
    desk: ServerHarness, tool: str, more: dict[str, Any], code: str
) -> None:
    _, second = race(desk)
    result = ask(desk, (tool, {"task": second, **more}))[0]
    assert valid(tool, result)["error"]["code"] == code


def test_agents_may_be_given_as_one_text(desk: ServerHarness) -> None:
    result = ask(desk, ("create_task", {**NEW, "agents": "claude, scripted"}))[0]
    assert len(valid("create_task", result)["race"]["racers"]) == 2
