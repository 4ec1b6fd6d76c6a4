"""Several agents do the same task, are compared, and one is chosen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent_runner.models import Budget, PauseReason, StepStatus, Usage
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.domain.errors import Conflict, NeedsConsent, NotFound, UserFixable
from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.choose import ChooseTask
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.delete import DeleteTask
from rover_mcp.tasks.operation_log import OperationLog
from rover_mcp.tasks.race import checks_of
from tests.support.desk import FakeLeftovers, ServerHarness, with_settings
from tests.support.samples import pause, run_state, snapshot, step
from tests.support.scripts import script
from tests.unit.tasks.test_fork import other

S = TaskStatus
BOTH = ("claude", "scripted")


def begin(desk: ServerHarness, *agents: str, **more: Any) -> list[TaskRow]:
    request = CreateRequest("Fix the sum", **more)
    return desk.tasks.create_all(desk.caller, request, agents or BOTH)


def end(desk: ServerHarness, task: TaskRow, event: Event = Event.COMPLETE, **more: Any) -> TaskRow:
    desk.store.transitions.apply(task.id, Event.START)
    desk.store.attempts.move(task.id, 1, ("queued",), state="ended")
    check = step("test", StepStatus.COMPLETED, type="command")
    values: dict[str, Any] = {
        "steps": [check],
        "snapshot": snapshot(),
        "usage": Usage(input_tokens=10),
    }
    after = desk.store.transitions.apply(task.id, event, run_state=run_state(**values), **more)
    assert after is not None
    return after


def hold(desk: ServerHarness, task: TaskRow) -> TaskRow:
    at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC).timestamp()
    why = pause(PauseReason.USAGE_WINDOW)
    return end(desk, task, Event.PAUSE, pause=why, retry_at=at)


def chooser(desk: ServerHarness) -> ChooseTask:
    delete = DeleteTask(desk.store, FakeLeftovers(), lambda _: None)
    return ChooseTask(desk.store, delete, OperationLog(desk.store.operations("roverd")))


def test_each_agent_gets_a_task_of_its_own_from_one_commit(desk: ServerHarness) -> None:
    """N15."""
    first, second = begin(desk)
    assert (first.agent, second.agent) == BOTH
    assert first.base_commit == second.base_commit
    assert first.branch != second.branch
    assert first.links == second.links
    assert first.links is not None
    assert [racer.task for racer in first.links.race] == [first.id, second.id]
    assert [attempt.task_id for attempt in desk.control.enqueued] == [first.id, second.id]
    view = desk.tasks.view(second)
    assert (view.origin, view.racers) == ("in a race of claude, scripted", 2)
    listed, _, _ = desk.tasks.list(desk.caller, [], None, None, None)
    assert [task.racers for task in listed] == [2, 2]


def test_one_agent_alone_is_no_race(desk: ServerHarness) -> None:
    [task] = begin(desk, "scripted")
    assert (task.agent, task.links) == ("scripted", None)


def test_a_script_goes_to_the_agent_that_plays_it(desk: ServerHarness) -> None:
    claude, scripted = begin(desk, script=script(implement=[{}]))
    folders = [desk.home / "tasks" / task.id for task in (claude, scripted)]
    assert [bool(list(f.rglob("script.yaml"))) for f in folders] == [False, True]
    with pytest.raises(UserFixable, match="script is only for the agent scripted"):
        begin(desk, "claude", "claude", script=script(implement=[{}]))


def test_the_same_request_key_returns_the_same_race(desk: ServerHarness) -> None:
    first, _ = begin(desk, request_key="k")
    [again] = begin(desk, request_key="k")
    assert again.id == first.id
    race = desk.tasks.race(again)
    assert race is not None
    assert len(race.racers) == 2
    assert len(desk.control.enqueued) == 2


def test_an_agent_that_cannot_take_part_leaves_nothing(desk: ServerHarness) -> None:
    """N15."""
    before = desk.files()
    with pytest.raises(NotFound):
        begin(desk, "claude", "nobody")
    assert desk.files() == before
    assert desk.store.tasks.page() == []


def test_a_call_that_contradicts_itself_is_refused(desk: ServerHarness) -> None:
    with pytest.raises(UserFixable, match="contradict"):
        begin(desk, options=TaskOptions(agents=("claude",)))
    with pytest.raises(UserFixable, match="a model of one agent"):
        begin(desk, options=TaskOptions(model="opus"))
    assert len(begin(desk, "claude", "claude", options=TaskOptions(model="opus"))) == 2
    with pytest.raises(UserFixable, match="at most 8"):
        begin(desk, *["claude"] * 9)


def test_a_fork_can_be_a_race_that_finishes_the_same_plan(desk: ServerHarness) -> None:
    """N15: what was finished is paid for once."""
    task = other(desk)
    rows = desk.tasks.fork.race(desk.caller, task, "s1", agents=BOTH)
    assert [row.agent for row in rows] == list(BOTH)
    for row in rows:
        assert row.iteration_input is not None
        assert [s.id for s in row.iteration_input.carried if s.finished] == ["plan"]
        words = desk.tasks.view(row).origin
        assert words == f"forked from task {task.number} at s1; in a race of claude, scripted"


def test_the_budgets_are_added_up_and_asked_for_together(desk: ServerHarness) -> None:
    wide = TaskOptions(budget=Budget(usd=2, tokens=1000))
    first, _ = begin(desk, options=wide)
    race = desk.tasks.race(first)
    assert race is not None
    assert race.budget == "each of the 2 has its own; together $4.00 and 2,000 tokens"
    with_settings(desk, budget=Budget(usd=1))
    with pytest.raises(NeedsConsent, match="for each of 2 tasks"):
        begin(desk, options=wide)


def test_the_table_compares_checks_changes_cost_and_time(desk: ServerHarness) -> None:
    """N15."""
    first, second = begin(desk)
    end(desk, first)
    race = desk.tasks.race(second)
    assert race is not None
    done, queued = race.racers
    assert (done.number, done.checks, done.files, done.tokens) == (1, "passed: test", 1, 10)
    assert (queued.status, queued.checks, queued.files) == (S.NEW, None, None)
    assert (race.standing, race.common) == ("undecided: 1 of 2 are done", None)
    end(desk, second, Event.FAIL)
    race = desk.tasks.race(second)
    assert race is not None
    assert race.common == ["x"]
    assert [racer.in_common for racer in race.racers] == [1, 1]


def test_a_hold_pauses_the_race_and_decides_nothing(desk: ServerHarness) -> None:
    """N15."""
    first, second = begin(desk)
    hold(desk, second)
    end(desk, first)
    race = desk.tasks.race(first)
    assert race is not None
    waits = race.racers[1]
    assert waits.waits_for == "usage_window"
    assert waits.waits_until == datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    assert race.standing == (
        "undecided: 1 of 2 are done; task 2 (scripted) waits until 2026-11-24 09:30Z (usage_window)"
    )
    assert desk.store.tasks.get(second.id) is not None


@pytest.mark.parametrize(
    ("status", "steps", "checks"),
    [
        (S.COMPLETED, [("test", StepStatus.COMPLETED)], "passed: test"),
        (S.FAILED, [("test", StepStatus.FAILED)], "failed: test"),
        (S.COMPLETED, [], "none ran"),
        (S.FAILED, [("baseline", StepStatus.COMPLETED)], None),
        (S.PAUSED, [("test", StepStatus.COMPLETED)], None),
    ],
)
def test_the_last_command_is_what_checked_the_result(
    status: TaskStatus, steps: list[tuple[str, StepStatus]], checks: str | None
) -> None:
    state = run_state(steps=[step(name, how, type="command") for name, how in steps])
    assert checks_of(status, state) == checks


def test_a_verdict_is_a_failed_check_in_quotation_marks() -> None:
    failed = step("last", StepStatus.FAILED, type="command", verdict="tests still fail: a, b")
    state = run_state(steps=[failed])
    assert checks_of(S.COMPLETED, state) == 'failed: "tests still fail: a, b"'


def test_choosing_one_puts_the_others_into_the_trash(desk: ServerHarness) -> None:
    """N15: the pause of one that waits ends."""
    first, second = begin(desk)
    end(desk, first)
    hold(desk, second)
    choose = chooser(desk)
    rival, kept = choose.plan(first)
    assert (rival.what, rival.kept, kept.what, kept.kept) == ("task 2", False, "task 1", True)
    assert "paused (usage_window) until 2026-11-24 09:30Z: it has not finished" in rival.detail
    assert desk.store.tasks.get(second.id) is not None
    choose(first)
    assert desk.store.tasks.get(second.id) is None
    trashed = desk.store.tasks.get(second.id, deleted=True)
    assert trashed is not None
    assert trashed.status is S.CANCELLED
    race = desk.tasks.race(first)
    assert race is not None
    assert race.standing == "decided: task 1 (claude) is left"
    assert race.racers[1].in_trash_until is not None
    [kept] = choose(first)
    assert kept.what == "task 1"
    [operation] = desk.store.operations("roverd").of_task(first.id)
    assert (operation.kind, operation.state) == (OperationKind.CHOOSE, OperationState.DONE)


def test_only_a_completed_task_is_chosen_and_none_at_work_goes(desk: ServerHarness) -> None:
    """N15."""
    first, second = begin(desk)
    choose = chooser(desk)
    with pytest.raises(Conflict, match="only one that is COMPLETED can be chosen"):
        choose(first)
    end(desk, first)
    with pytest.raises(Conflict, match="task 2 is NEW"):
        choose(first)
    hold(desk, second)
    with pytest.raises(Conflict, match="task 2 is PAUSED"):
        choose(replace(second, status=S.PAUSED))
    other_task = begin(desk, "claude")[0]
    with pytest.raises(UserFixable, match="not part of a race"):
        choose(end(desk, other_task))


def test_where_one_cannot_go_none_does(desk: ServerHarness) -> None:
    """N15."""
    first, second, third = begin(desk, "claude", "scripted", "claude")
    end(desk, first)
    hold(desk, second)
    desk.store.transitions.apply(third.id, Event.START)
    assert desk.store.deletions.choose(first.id, [second.id, third.id]) is False
    rows = [desk.store.tasks.get(task.id) for task in (second, third)]
    assert [row and row.status for row in rows] == [S.PAUSED, S.IN_PROGRESS]


def test_a_choice_that_was_cut_off_is_done_or_as_before(desk: ServerHarness) -> None:
    """N8, N15."""
    first, second = begin(desk)
    end(desk, first)
    end(desk, second)
    rows = desk.store.operations("roverd")
    choose = chooser(desk)
    plan = {"rivals": [second.id]}
    rows.begin(first.id, OperationKind.CHOOSE, plan)
    choose.log.settle()
    assert desk.store.tasks.get(second.id) is not None
    rows.begin(first.id, OperationKind.CHOOSE, plan)
    desk.store.deletions.choose(first.id, [second.id])
    choose.log.settle()
    states = [row.state for row in rows.of_task(first.id)]
    assert states == [OperationState.UNDONE, OperationState.DONE]
