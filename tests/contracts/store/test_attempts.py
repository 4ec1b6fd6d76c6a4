"""Attempts: claimed once, resumed once, given back whole (I4, J1, K4, K6)."""

from __future__ import annotations

import pytest

from rover_mcp.domain.task_status import DELETING, Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Clock, Make
from tests.support.samples import pause

S = TaskStatus


def state_of(store: Store, task: TaskRow, attempt: int) -> str:
    found = store.attempts.get(task.id, attempt)
    assert found is not None
    return found.state


def claim(store: Store, task_id: str, attempt: int) -> TaskRow | None:
    """As the workflow does that the store has named for the attempt."""
    found = store.attempts.get(task_id, attempt)
    return store.claims.start(task_id, attempt, found.workflow_id if found else "none")


# Claims


def test_claiming_the_first_attempt_starts_the_task(store: Store, make: Make, clock: Clock) -> None:
    task = make()
    clock.now += 5
    claimed = claim(store, task.id, 1)
    assert claimed is not None
    assert (claimed.status, claimed.started_at) == (S.IN_PROGRESS, clock.now)
    assert state_of(store, task, 1) == "starting"
    assert [e.kind for e in store.events.last(task.id)] == ["task.created", "task.started"]


def test_claiming_again_after_a_crash_gives_the_task_and_no_second_start(
    store: Store, make: Make
) -> None:
    """K6: the durable step that was in flight is repeated."""
    task = make()
    first = claim(store, task.id, 1)
    assert claim(store, task.id, 1) == first
    assert len(store.events.last(task.id)) == 2


@pytest.mark.parametrize("state", ["running", "ended", "superseded"])
def test_an_attempt_that_went_on_or_ended_is_not_claimed(
    store: Store, make: Make, state: str
) -> None:
    task = make()
    store.attempts.move(task.id, 1, ("queued",), state=state)
    assert claim(store, task.id, 1) is None
    assert store.tasks.get(task.id) == task


def test_an_attempt_that_does_not_exist_is_not_claimed(store: Store, make: Make) -> None:
    assert claim(store, make().id, 9) is None


def test_a_scheduled_attempt_goes_on_by_itself(store: Store, paused: TaskRow) -> None:
    """K1, K4: counted, and heard of."""
    claimed = claim(store, paused.id, 2)
    assert claimed is not None
    assert (claimed.status, claimed.attempt, claimed.auto_retries) == (S.IN_PROGRESS, 2, 1)
    assert (claimed.pause, claimed.retry_at, claimed.paused_at) == (None, None, None)
    last = store.events.last(paused.id)[-1]
    assert (last.kind, last.notable) == ("task.resumed", True)
    assert last.data == {"automatic": True, "attempt": 2}


def test_a_scheduled_attempt_of_an_unpaused_task_does_nothing(
    store: Store, paused: TaskRow
) -> None:
    """K6: the timer's workflow finds that another has taken its attempt."""
    timer = f"attempt-{paused.id}-2"
    assert store.transitions.resume(paused.id, None) is not None
    before = store.tasks.get(paused.id), store.events.last_seq()
    assert store.claims.start(paused.id, 2, timer) is None
    assert (store.tasks.get(paused.id), store.events.last_seq()) == before
    assert state_of(store, paused, 2) == "queued"
    assert claim(store, paused.id, 2) is not None
    assert store.claims.start(paused.id, 2, timer) is None


def test_a_task_that_runs_again_is_not_started_by_an_old_timer(
    store: Store, paused: TaskRow
) -> None:
    """K6: whatever made it run."""
    assert store.transitions.apply(paused.id, Event.RESUME) is not None
    assert claim(store, paused.id, 2) is None


def test_a_cancelled_task_is_not_started_by_its_timer(store: Store, paused: TaskRow) -> None:
    """K6."""
    store.transitions.apply(paused.id, Event.CANCEL)
    assert claim(store, paused.id, 2) is None
    found = store.tasks.get(paused.id)
    assert found is not None
    assert found.status is S.CANCELLED


def test_a_task_paused_before_it_began_counts_its_time_from_its_resume(
    store: Store, make: Make, clock: Clock
) -> None:
    """H1: a duration needs a beginning."""
    task = make()
    store.transitions.apply(task.id, Event.PAUSE, pause=pause())
    clock.now += 30
    assert store.transitions.resume(task.id, None) is not None
    clock.now += 1
    claimed = claim(store, task.id, 2)
    assert claimed is not None
    assert claimed.started_at == clock.now - 1


# Resume


def test_a_resume_takes_the_attempt_that_waits_for_the_one_who_asked(
    store: Store, paused: TaskRow
) -> None:
    """I5: the same iteration; K6: under a workflow id of its own."""
    won = store.transitions.resume(paused.id, "client-2")
    assert won is not None
    task, attempt = won
    assert (task.status, task.attempt, task.auto_retries) == (S.IN_PROGRESS, 2, 0)
    assert (attempt.attempt, attempt.iteration, attempt.state) == (2, 1, "queued")
    assert attempt.client_id == "client-2"
    assert attempt.workflow_id == f"attempt-{paused.id}-2-now"
    last = store.events.last(paused.id)[-1]
    assert (last.kind, last.notable) == ("task.resumed", False)
    claimed = claim(store, paused.id, 2)
    assert claimed is not None
    assert claimed.status is S.IN_PROGRESS


def test_a_resume_without_a_schedule_makes_the_next_attempt(store: Store, paused: TaskRow) -> None:
    """I5."""
    store.attempts.drop_schedule(paused.id)
    won = store.transitions.resume(paused.id, "client-2")
    assert won is not None
    assert (won[0].attempt, won[1].attempt, won[1].state) == (3, 3, "queued")


def test_a_failed_task_can_be_resumed(store: Store, running: TaskRow) -> None:
    """C9, I1."""
    store.transitions.apply(running.id, Event.FAIL, error="boom")
    won = store.transitions.resume(running.id, None)
    assert won is not None
    assert (won[0].status, won[0].error, won[0].started_at) == (
        S.IN_PROGRESS,
        None,
        running.started_at,
    )


def test_a_later_iteration_goes_on_as_iterating(store: Store, paused: TaskRow) -> None:
    store.tasks.update(paused.id, iteration=2)
    won = store.transitions.resume(paused.id, None)
    assert won is not None
    assert won[0].status is S.ITERATING
    store.transitions.apply(paused.id, Event.FAIL)
    again = store.transitions.resume(paused.id, None)
    assert again is not None
    assert (again[0].status, again[1].iteration) == (S.ITERATING, 2)


def test_what_is_not_resumable_is_not_resumed(store: Store, running: TaskRow) -> None:
    """I1."""
    assert store.transitions.resume(running.id, None) is None
    store.transitions.apply(running.id, Event.COMPLETE)
    assert store.transitions.resume(running.id, None) is None
    assert store.transitions.resume("0" * 32, None) is None


def test_a_cancelled_task_is_resumed_until_its_deletion_begins(
    store: Store, paused: TaskRow
) -> None:
    """T2: all of its work is kept."""
    store.transitions.apply(paused.id, Event.CANCEL)
    assert store.transitions.resume(paused.id, None) is not None
    store.transitions.apply(paused.id, Event.CANCEL)
    store.events.add(paused.id, DELETING, {})
    assert store.transitions.resume(paused.id, None) is None


def test_an_undone_resume_gives_everything_back(
    store: Store, paused: TaskRow, rung: list[str]
) -> None:
    """I4, I8."""
    store.tasks.update(paused.id, error="credit balance is too low")
    won = store.transitions.resume(paused.id, None)
    assert won is not None
    rung.clear()
    assert store.transitions.undo_resume(paused.id, 2, "no engine", "start docker")
    after = store.tasks.get(paused.id)
    assert after is not None
    assert (after.status, after.error) == (S.PAUSED, "credit balance is too low")
    assert (after.pause, after.paused_at) == (paused.pause, paused.paused_at)
    last = store.events.last(paused.id)[-1]
    assert (last.kind, last.notable, last.status) == ("task.resume_failed", True, "PAUSED")
    assert last.data == {"error": "no engine", "hint": "start docker", "retry_at": None}
    assert rung == ["events"]
    assert store.transitions.resume(paused.id, None) is not None


def test_an_undone_resume_can_schedule_the_next_try(store: Store, paused: TaskRow) -> None:
    """K1, K4, K7: what is promised is recorded with it."""
    assert store.transitions.resume(paused.id, None) is not None
    assert store.transitions.undo_resume(paused.id, 2, "no engine", None, retry_at=5000.0)
    after = store.tasks.get(paused.id)
    assert after is not None
    assert (after.status, after.retry_at) == (S.PAUSED, 5000.0)
    assert [a.attempt for a in store.attempts.in_states(("scheduled",))] == [3]


def test_a_failed_task_whose_resume_is_undone_is_failed_again(
    store: Store, running: TaskRow
) -> None:
    """I4."""
    failed = store.transitions.apply(running.id, Event.FAIL, error="boom")
    assert failed is not None
    assert store.transitions.resume(running.id, None) is not None
    assert store.transitions.undo_resume(running.id, 2, "no engine", None)
    after = store.tasks.get(running.id)
    assert after is not None
    assert (after.status, after.error, after.ended_at) == (S.FAILED, "boom", failed.ended_at)


def test_a_start_by_itself_that_failed_is_undone_but_counted(store: Store, paused: TaskRow) -> None:
    """I4, K4."""
    assert claim(store, paused.id, 2) is not None
    assert store.transitions.undo_resume(paused.id, 2, "no engine", None)
    after = store.tasks.get(paused.id)
    assert after is not None
    assert (after.status, after.pause, after.auto_retries) == (S.PAUSED, pause(), 1)


def test_a_task_does_not_promise_to_go_on_when_nothing_is_scheduled(
    store: Store, paused: TaskRow
) -> None:
    """K7, I4: what the schedule was is gone with the attempt that failed."""
    assert claim(store, paused.id, 2) is not None
    store.attempts.move(paused.id, 2, ("starting",), state="ended")
    assert store.transitions.undo_resume(paused.id, 2, "no engine", None)
    after = store.tasks.get(paused.id)
    assert after is not None
    assert (after.retry_at is not None) == bool(store.attempts.in_states(["scheduled"]))


def test_a_first_start_and_an_older_attempt_are_not_undone(
    store: Store, running: TaskRow, paused: TaskRow
) -> None:
    assert not store.transitions.undo_resume(running.id, 1, "no engine", None)
    assert store.transitions.resume(paused.id, None) is not None
    assert store.transitions.apply(paused.id, Event.CANCEL) is not None
    assert not store.transitions.undo_resume(paused.id, 2, "no engine", None)


# Schedules


def test_a_dropped_schedule_starts_nothing(store: Store, paused: TaskRow) -> None:
    """K7."""
    store.attempts.drop_schedule(paused.id)
    after = store.tasks.get(paused.id)
    assert after is not None
    assert (after.status, after.retry_at, after.pause) == (S.PAUSED, None, pause())
    assert claim(store, paused.id, 2) is None


def test_dropping_the_schedule_too_late_leaves_a_resume_alone(
    store: Store, paused: TaskRow
) -> None:
    """J1: pause_task and resume_task at the same moment."""
    assert store.transitions.resume(paused.id, None) is not None
    store.attempts.drop_schedule(paused.id)
    assert state_of(store, paused, 2) == "queued"
    assert claim(store, paused.id, 2) is not None


def test_an_attempt_moves_only_from_a_state_that_is_expected(
    store: Store, running: TaskRow
) -> None:
    assert not store.attempts.move(running.id, 1, ("starting", "queued"), state="ended")
    assert store.attempts.move(
        running.id, 1, ("running",), state="ended", exit_code=137, detail="x"
    )
    assert not store.attempts.move(running.id, 1, ("running",), state="ended")
    found = store.attempts.get(running.id, 1)
    assert found is not None
    assert (found.exit_code, found.detail) == (137, "x")
    assert store.attempts.get(running.id, 2) is None
