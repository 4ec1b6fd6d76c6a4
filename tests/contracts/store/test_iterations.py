"""Further iterations: begun once, and restored whole where the start fails (J1, N7)."""

from __future__ import annotations

import pytest

from agent_runner.models import AgentSession, Usage
from agent_runner.spec import Instructions
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.task_links import ForkedFrom, TaskLinks
from rover_mcp.domain.task_status import DELETING, Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Make
from tests.support.samples import run_state, snapshot

S = TaskStatus
GIVEN = IterationInput(
    instructions=Instructions(text="Name it better"),
    sessions={"implement": AgentSession(agent="claude", session_id="s")},
    usage=Usage(input_tokens=10, cost_usd=0.5),
    snapshot=snapshot(),
)


def ended(store: Store, running: TaskRow, event: Event = Event.COMPLETE) -> TaskRow:
    store.attempts.move(running.id, 1, ("running",), state="ended")
    task = store.transitions.apply(running.id, event, run_state=run_state())
    assert task is not None
    return task


@pytest.mark.parametrize("event", [Event.COMPLETE, Event.FAIL, Event.CANCEL])
def test_a_task_that_ended_runs_again_with_a_queued_attempt(
    store: Store, running: TaskRow, event: Event
) -> None:
    task = ended(store, running, event)
    begun = store.transitions.iterate(task.id, 1, "c" * 32, GIVEN)
    assert begun is not None
    row, attempt = begun
    assert (row.status, row.iteration, row.attempt) == (S.ITERATING, 2, 2)
    assert row.iteration_input == GIVEN
    assert row.run_state is not None
    assert (row.run_state.usage, row.run_state.snapshot) == (GIVEN.usage, GIVEN.snapshot)
    assert (row.ended_at, row.error) == (None, None)
    assert (attempt.state, attempt.iteration, attempt.client_id) == ("queued", 2, "c" * 32)
    last = store.events.last(task.id)[-1]
    assert (last.kind, last.data["instructions"]) == ("task.iterating", "Name it better")


def test_of_two_callers_one_begins_the_iteration(store: Store, running: TaskRow) -> None:
    task = ended(store, running)
    assert store.transitions.iterate(task.id, 1, None, GIVEN) is not None
    assert store.transitions.iterate(task.id, 1, None, GIVEN) is None


def test_a_caller_who_saw_an_earlier_attempt_begins_nothing(store: Store, running: TaskRow) -> None:
    task = ended(store, running, Event.FAIL)
    assert store.transitions.resume(task.id, None) is not None
    store.transitions.apply(task.id, Event.COMPLETE)
    assert store.transitions.iterate(task.id, 1, None, GIVEN) is None


def test_a_task_that_is_being_deleted_is_not_iterated(store: Store, running: TaskRow) -> None:
    task = ended(store, running)
    store.events.add(task.id, DELETING, {})
    assert store.transitions.iterate(task.id, 1, None, GIVEN) is None


def test_a_start_that_fails_restores_the_iteration_before(store: Store, running: TaskRow) -> None:
    task = ended(store, running)
    assert store.transitions.iterate(task.id, 1, None, GIVEN) is not None
    assert store.transitions.undo_resume(task.id, 2, "no engine", None)
    after = store.tasks.get(task.id)
    assert after is not None
    assert (after.status, after.iteration, after.iteration_input) == (S.COMPLETED, 1, None)
    assert (after.run_state, after.ended_at) == (task.run_state, task.ended_at)
    again = store.transitions.iterate(task.id, after.attempt, None, GIVEN)
    assert again is not None
    assert (again[0].iteration, again[1].attempt) == (2, 3)


def test_a_forked_task_keeps_where_it_comes_from_and_what_it_starts_with(
    store: Store, make: Make
) -> None:
    """N14."""
    origin = ForkedFrom(task="a" * 32, number=1, snapshot="s4")
    links = TaskLinks(forked_from=origin)
    given = IterationInput(snapshot=snapshot(), rewound=True, carried=tuple(run_state().steps))
    task = make(links=links, iteration_input=given)
    kept = store.tasks.get(task.id)
    assert kept is not None
    assert (kept.links, kept.iteration_input) == (links, given)
    assert make().links is None
