"""New instructions for a task that has ended."""

from __future__ import annotations

from typing import Any

import pytest

from agent_runner.models import AgentSession, StepStatus, Usage
from agent_runner.spec import ReviewComment
from rover_mcp.domain.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.domain.task_status import DELETING, Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.iterate import MOST_CHANGES, ONLY_COMMENTS
from rover_mcp.tasks.view_models import TaskView
from tests.support.desk import ServerHarness
from tests.support.samples import pause, run_state, snapshot, step
from tests.unit.tasks.test_service import made, row, running

S = TaskStatus
SESSION = AgentSession(agent="claude", session_id="s")
COMMENT = ReviewComment(file="x", line=1, text="name it")


def ended(desk: ServerHarness, event: Event = Event.COMPLETE) -> TaskRow:
    task = running(desk)
    desk.store.attempts.move(task.id, 1, ("running",), state="ended")
    steps = [step("implement", StepStatus.COMPLETED, session=SESSION)]
    state = run_state(steps=steps, snapshot=snapshot(), usage=Usage(input_tokens=10))
    after = desk.store.transitions.apply(task.id, event, run_state=state)
    assert after is not None
    desk.control.enqueued.clear()
    return after


def iterate(desk: ServerHarness, task: TaskRow, text: str = "Name it", *more: Any) -> TaskView:
    return desk.tasks.iterate(desk.caller, task, text, *more)


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.FAIL, Event.CANCEL])
def test_an_ended_task_begins_its_next_iteration(desk: ServerHarness, event: Event) -> None:
    """N7."""
    task = ended(desk, event)
    view = iterate(desk, task, "Name it\x07 better", [COMMENT])
    assert (view.status, view.iteration) == (S.ITERATING, 2)
    given = row(desk, task).iteration_input
    assert given is not None
    assert given.instructions.text == "Name it better"
    assert given.instructions.comments == (COMMENT,)
    assert given.instructions.changes == desk.work.patch
    assert (given.sessions, given.usage.input_tokens) == ({"implement": SESSION}, 10)
    assert given.snapshot == snapshot()
    [attempt] = desk.control.enqueued
    assert (attempt.iteration, attempt.attempt) == (2, 2)


def test_comments_alone_are_enough_and_nothing_is_not(desk: ServerHarness) -> None:
    task = ended(desk)
    with pytest.raises(UserFixable, match="no instructions"):
        iterate(desk, task, "  \n")
    iterate(desk, task, "", [COMMENT])
    given = row(desk, task).iteration_input
    assert given is not None
    assert given.instructions.text == ONLY_COMMENTS


def test_a_long_patch_is_cut_and_one_that_cannot_be_read_is_a_warning(desk: ServerHarness) -> None:
    task = ended(desk)
    desk.work.fault = EnvironmentFault("the hub is gone")
    view = iterate(desk, task)
    assert view.warnings is not None
    assert "without the changes so far: the hub is gone" in view.warnings[0]
    desk.work.fault, desk.work.patch = None, "+" * (MOST_CHANGES + 1)
    after = desk.store.transitions.apply(task.id, Event.COMPLETE)
    assert after is not None
    iterate(desk, after)
    given = row(desk, task).iteration_input
    assert given is not None
    assert len(given.instructions.changes) == MOST_CHANGES


def test_conversations_and_usage_are_carried_over_several_iterations(desk: ServerHarness) -> None:
    task = ended(desk)
    iterate(desk, task)
    other = AgentSession(agent="claude", session_id="t")
    steps = [step("review", StepStatus.COMPLETED, session=other)]
    state = run_state(steps=steps, usage=Usage(input_tokens=25))
    after = desk.store.transitions.apply(task.id, Event.COMPLETE, run_state=state)
    assert after is not None
    iterate(desk, after)
    given = row(desk, task).iteration_input
    assert given is not None
    assert given.sessions == {"implement": SESSION, "review": other}
    assert given.usage.input_tokens == 25


def refused(desk: ServerHarness, task: TaskRow) -> Conflict:
    with pytest.raises(Conflict) as raised:
        iterate(desk, task)
    assert raised.value.code == "not_iterable"
    return raised.value


def test_a_paused_task_is_for_resume_task(desk: ServerHarness) -> None:
    """H4."""
    task = running(desk)
    paused = desk.store.transitions.apply(task.id, Event.PAUSE, pause=pause())
    assert paused is not None
    error = refused(desk, paused)
    assert error.next_call == {"tool": "resume_task", "arguments": {"task": task.id}}


def test_a_task_that_runs_or_was_merged_is_refused_by_name(desk: ServerHarness) -> None:
    task = made(desk)
    assert "NEW" in refused(desk, task).message
    done = ended(desk)
    merged = desk.store.transitions.apply(done.id, Event.MERGE)
    assert merged is not None
    error = refused(desk, merged)
    assert error.next_call == {"tool": "create_task", "arguments": {}}


def test_a_task_that_is_being_deleted_or_stopped_is_refused(desk: ServerHarness) -> None:
    task = ended(desk)
    desk.store.events.add(task.id, DELETING, {})
    assert "deletion has begun" in refused(desk, task).message
    other = running(desk)
    cancelled = desk.store.transitions.apply(other.id, Event.CANCEL)
    assert cancelled is not None
    assert "still being stopped" in refused(desk, cancelled).message


def test_who_loses_the_race_is_refused(desk: ServerHarness) -> None:
    task = ended(desk)
    iterate(desk, task)
    assert "ITERATING" in refused(desk, task).message
