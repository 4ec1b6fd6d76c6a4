"""Deleting: what is lost is told first, nothing that runs is touched, nobody resumes meanwhile."""

from __future__ import annotations

import pytest

from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.delete import DeleteTask, Leftover, items
from tests.support.desk import FakeLeftovers, ServerHarness
from tests.support.samples import new_task, task_row

DELIVERED = Leftover(branch=True, delivered=True, snapshots=3, size=5000)


def made(desk: ServerHarness, *events: Event) -> TaskRow:
    """A task that went through these, with its attempt ended."""
    desk.store.projects.register("p1", "/repo")
    row, _ = desk.store.tasks.create(new_task(project_id="p1"), frozenset())
    for event in events:
        row = desk.store.transitions.apply(row.id, event) or row
    return row


@pytest.mark.parametrize(
    ("found", "lost", "said"),
    [
        (DELIVERED, False, "has it all"),
        (Leftover(True, False, 3, 0), True, "only a part"),
        (Leftover(False, False, 3, 0), True, "none of it"),
        (Leftover(False, False, 0, 0), False, "it has none"),
    ],
)
def test_work_that_is_nowhere_else_is_told_as_lost(found: Leftover, lost: bool, said: str) -> None:
    (work,) = [i for i in items(task_row(), found) if i.what == "work"]
    assert (work.kept, said in work.detail) == (not lost, True)


def test_what_is_lost_comes_first() -> None:
    kept = [i.kept for i in items(task_row(), DELIVERED)]
    assert kept == sorted(kept)


def test_telling_changes_nothing(desk: ServerHarness) -> None:
    row = made(desk, Event.CANCEL)
    leftovers = FakeLeftovers()
    DeleteTask(desk.store, leftovers).preview(row)
    assert (leftovers.removed, desk.store.tasks.get(row.id)) == ([], row)


@pytest.mark.parametrize("events", [(), (Event.START,)])
def test_what_has_not_ended_is_refused(desk: ServerHarness, events: tuple[Event, ...]) -> None:
    row = made(desk, *events)
    with pytest.raises(Conflict, match="only one that is paused or ended"):
        DeleteTask(desk.store, FakeLeftovers())(row)
    assert desk.store.tasks.get(row.id) is not None


def test_a_deletion_waits_for_an_ending_task_and_refuses_a_running_one(desk: ServerHarness) -> None:
    row = made(desk, Event.CANCEL)
    attempt = desk.store.attempts.get(row.id, 1)
    assert attempt is not None
    assert desk.store.attempts.move(row.id, 1, (attempt.state,), state="starting")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == stops_after:
            desk.store.attempts.move(row.id, 1, ("starting",), state="ended")

    stops_after = 0
    delete = DeleteTask(desk.store, FakeLeftovers(), sleep)
    with pytest.raises(Conflict, match="still stopping"):
        delete(row)
    assert sum(slept) == pytest.approx(10)
    slept.clear()
    stops_after = 3
    delete(row)
    assert (len(slept), desk.store.tasks.get(row.id)) == (3, None)


def test_a_deleted_task_is_gone_and_its_events_and_number_are_not(desk: ServerHarness) -> None:
    row = made(desk, Event.CANCEL)
    leftovers = FakeLeftovers()
    DeleteTask(desk.store, leftovers)(row)
    assert (leftovers.removed, desk.store.tasks.get(row.id)) == ([row.id], None)
    assert desk.store.events.last(row.id)[-1].kind == "task.deleted"
    again, _ = desk.store.tasks.create(new_task("f" * 32, project_id="p1"), frozenset())
    assert again.number == row.number + 1


def test_nobody_can_resume_it_while_it_is_deleted(desk: ServerHarness) -> None:
    row = made(desk, Event.START, Event.FAIL)
    resumed: list[object] = []

    class Slow(FakeLeftovers):
        def remove(self, task: TaskRow) -> None:
            resumed.append(desk.store.transitions.resume(task.id, None))

    DeleteTask(desk.store, Slow())(row)
    assert resumed == [None]


def test_what_cannot_be_removed_stays_and_can_be_deleted_again(desk: ServerHarness) -> None:
    row = made(desk, Event.START, Event.FAIL)

    class BrokenLeftovers(FakeLeftovers):
        def remove(self, task: TaskRow) -> None:
            raise EnvironmentFault("the disk is read-only")

    with pytest.raises(EnvironmentFault):
        DeleteTask(desk.store, BrokenLeftovers())(row)
    left = desk.store.tasks.get(row.id)
    assert left is not None
    assert left.status is TaskStatus.CANCELLED
    DeleteTask(desk.store, FakeLeftovers())(left)
    assert desk.store.tasks.get(row.id) is None
