"""Tasks that wait for others: one start each, when all of those are done (N16)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from rover_mcp.domain.task_links import AwaitedTask, TaskLinks
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Make


def stacked(make: Make, *below: TaskRow) -> TaskRow:
    after = tuple(AwaitedTask(task=task.id, number=task.number) for task in below)
    return make(links=TaskLinks(after=after))


def test_it_waits_until_the_other_task_is_completed(
    store: Store, running: TaskRow, make: Make
) -> None:
    """N16."""
    task = stacked(make, running)
    attempt = store.attempts.get(task.id, 1)
    assert attempt is not None
    assert (task.status, attempt.state) == (TaskStatus.NEW, "stacked")
    assert [t.id for t in store.stacked.waiting()] == [task.id]
    assert store.claims.start(task.id, 1, attempt.workflow_id) is None
    assert store.stacked.start(task.id, 1) is None
    store.transitions.apply(running.id, Event.COMPLETE)
    queued = store.stacked.start(task.id, 1, base_commit="d" * 40, base_branch="rover/1-x")
    assert queued is not None
    assert (queued.state, queued.workflow_id) == ("queued", attempt.workflow_id)
    after = store.tasks.get(task.id)
    assert after is not None
    assert (after.base_commit, after.base_branch) == ("d" * 40, "rover/1-x")
    assert store.stacked.waiting() == []


def test_of_many_callers_one_starts_it(store: Store, running: TaskRow, make: Make) -> None:
    """N16: exactly one start."""
    task = stacked(make, running)
    store.transitions.apply(running.id, Event.COMPLETE)
    with ThreadPoolExecutor(8) as pool:
        starts = list(pool.map(lambda _: store.stacked.start(task.id, 1), range(8)))
    assert sum(start is not None for start in starts) == 1


def test_one_that_is_iterated_again_is_waited_for_again(
    store: Store, running: TaskRow, make: Make
) -> None:
    other, task = make(), stacked(make, running)
    store.transitions.apply(running.id, Event.FAIL)
    assert store.stacked.start(task.id, 1) is None
    both = stacked(make, running, other)
    store.transitions.apply(other.id, Event.CANCEL)
    assert store.stacked.start(both.id, 1) is None
    assert store.stacked.statuses([running.id, other.id, "e" * 32]) == {
        running.id: TaskStatus.FAILED, other.id: TaskStatus.CANCELLED,
    }  # fmt: skip


def test_one_that_was_cancelled_itself_never_starts(
    store: Store, running: TaskRow, make: Make
) -> None:
    task = stacked(make, running)
    store.transitions.apply(task.id, Event.CANCEL)
    store.transitions.apply(running.id, Event.COMPLETE)
    assert store.stacked.start(task.id, 1) is None
    attempt = store.attempts.get(task.id, 1)
    assert attempt is not None
    assert attempt.state == "superseded"
