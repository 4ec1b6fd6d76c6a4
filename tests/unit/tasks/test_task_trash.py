"""The trash: what is deleted is hidden, comes back the same, and goes for good after its days."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.domain.operation import OperationKind, OperationState
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.git.branch_trash import BranchFacts
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.delete import DeleteTask
from rover_mcp.tasks.operation_log import OperationLog
from rover_mcp.tasks.task_trash import DAY, TaskTrash
from tests.support.desk import FakeBranches, FakeLeftovers
from tests.support.samples import new_task

BEGIN = 1_800_000_000.0


class Bin:
    """A trash with a clock."""

    def __init__(self, home: Path) -> None:
        self.now = BEGIN
        engine = open_database(f"sqlite:///{home / 'rover.db'}")
        self.store = Store(engine, now=lambda: self.now)
        self.leftovers = FakeLeftovers()
        delete = DeleteTask(self.store, self.leftovers, lambda _: None)
        self.log = OperationLog(self.store.operations("roverd"))
        self.trash = TaskTrash(self.store, delete, self.log, keep_days=14, branches=FakeBranches())

    def task(self, *events: Event, task_id: str = "a" * 32, **more: object) -> TaskRow:
        self.store.projects.register("p1", "/repo")
        new = new_task(task_id, project_id="p1", **more)
        row, _ = self.store.tasks.create(new, frozenset())
        for event in events:
            row = self.store.transitions.apply(row.id, event) or row
        return row


class MovedBranch(FakeBranches):
    """A branch that somebody moves just before it is deleted."""

    def facts(self, task: TaskRow) -> BranchFacts:
        return BranchFacts("1" * 40)

    def put_aside(self, task: TaskRow, tip: str) -> None:
        raise Conflict("it has moved meanwhile", code="branch_moved")


@pytest.fixture
def bin_(tmp_path: Path) -> Bin:
    return Bin(tmp_path)


ENDED = (Event.START, Event.COMPLETE)


def test_a_deleted_task_is_hidden_and_comes_back_the_same(bin_: Bin) -> None:
    """N13"""
    row = bin_.task(*ENDED)
    bin_.trash(row)
    tasks = bin_.store.tasks
    assert (tasks.get(row.id), tasks.page(), tasks.named("number", "1")) == (None, [], [])
    assert (tasks.count([TaskStatus.COMPLETED]), bin_.store.events.unseen()) == (0, [])
    assert bin_.leftovers.removed == []
    [one] = bin_.trash.list()
    assert (one.task, one.deleted_at, one.until) == (row, BEGIN, BEGIN + 14 * DAY)
    assert bin_.trash.restore(row) == row
    assert (tasks.get(row.id), bin_.trash.list()) == (row, [])
    kinds = [event.kind for event in bin_.store.events.last(row.id)]
    assert kinds[-2:] == ["task.deleted", "task.restored"]


def test_its_number_branch_and_base_stay_taken(bin_: Bin) -> None:
    row = bin_.task(*ENDED)
    bin_.trash(row)
    again = bin_.task(task_id="b" * 32)
    assert (again.number, bin_.store.projects.base_commits("p1")) == (2, {row.base_commit})


def test_the_same_request_makes_a_new_task_as_if_it_were_gone(bin_: Bin) -> None:
    row = bin_.task(*ENDED, request_key="k")
    bin_.trash(row)
    assert bin_.store.tasks.by_request("p1", "k") is None
    again = bin_.task(task_id="b" * 32, request_key="k")
    assert again.id != row.id


def test_nothing_starts_a_task_of_the_trash(bin_: Bin) -> None:
    row = bin_.task(Event.START, Event.FAIL)
    bin_.trash(row)
    assert bin_.store.transitions.resume(row.id, None) is None
    assert bin_.store.transitions.apply(row.id, Event.RESUME) is None
    bin_.trash.restore(row)
    assert bin_.store.transitions.resume(row.id, None) is not None


def test_a_paused_task_is_ended_first_which_the_plan_says(bin_: Bin) -> None:
    """N13"""
    row = bin_.task(Event.START, Event.PAUSE)
    assert bin_.trash.plan(row)[0].what == "pause"
    bin_.trash(row)
    assert bin_.trash.restore(row).status is TaskStatus.CANCELLED


def test_a_task_that_runs_is_refused(bin_: Bin) -> None:
    """N13"""
    row = bin_.task(Event.START)
    with pytest.raises(Conflict, match="only one that is paused or ended"):
        bin_.trash(row)
    assert bin_.trash.list() == []


def test_after_its_days_it_goes_for_good_and_not_before(bin_: Bin) -> None:
    """N13"""
    first, second = bin_.task(*ENDED), bin_.task(*ENDED, task_id="b" * 32)
    bin_.trash(first)
    bin_.now += DAY
    bin_.trash(second)
    bin_.now = BEGIN + 14 * DAY - 1
    assert bin_.trash.purge_due() == []
    bin_.now = BEGIN + 14 * DAY
    assert bin_.trash.purge_due(lambda _: False) == []
    assert bin_.trash.purge_due() == [first.id] == bin_.leftovers.removed
    assert bin_.store.tasks.get(first.id, deleted=True) is None
    assert [one.task for one in bin_.trash.list()] == [second]
    with pytest.raises(Conflict, match="not in the trash"):
        bin_.trash.restore(first)


def test_what_cannot_be_removed_stays_in_the_trash(bin_: Bin) -> None:
    row = bin_.task(*ENDED)
    bin_.trash(row)
    bin_.now += 15 * DAY

    def broken(task: TaskRow) -> None:
        raise EnvironmentFault("the disk is read-only")

    remove, bin_.leftovers.remove = bin_.leftovers.remove, broken
    assert (bin_.trash.purge_due(), len(bin_.trash.list())) == ([], 1)
    bin_.leftovers.remove = remove
    assert bin_.trash.purge_due() == [row.id]


def test_with_no_days_it_goes_at_once(bin_: Bin) -> None:
    bin_.trash.keep_days = 0
    row = bin_.task(*ENDED)
    assert bin_.trash.until(row) is None
    bin_.trash(row)
    assert (bin_.leftovers.removed, bin_.trash.list()) == ([row.id], [])


def test_with_no_days_a_branch_that_moved_keeps_its_task(bin_: Bin) -> None:
    """N13: the branch goes first, so that a refusal leaves both."""
    bin_.trash.keep_days = 0
    row, branches = bin_.task(*ENDED), MovedBranch()
    bin_.trash.branches = branches
    with pytest.raises(Conflict, match="moved"):
        bin_.trash(row, branch=True)
    assert (bin_.store.tasks.get(row.id), bin_.leftovers.removed) == (row, [])


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("kind", [OperationKind.DELETE, OperationKind.RESTORE, OperationKind.PURGE])
def test_what_was_cut_off_is_finished_or_as_before(
    bin_: Bin, kind: OperationKind, deleted: bool
) -> None:
    """N8"""
    row = bin_.task(*ENDED)
    if deleted:
        bin_.trash(row)
    operation = bin_.log.rows.begin(row.id, kind, {"status": str(row.status)})
    bin_.log.settle()
    states = {one.id: one.state for one in bin_.log.rows.of_task(row.id)}
    there = {one.task.id for one in bin_.trash.list()}
    expected = {
        (OperationKind.DELETE, False): (OperationState.UNDONE, set[str]()),
        (OperationKind.DELETE, True): (OperationState.DONE, {row.id}),
        (OperationKind.RESTORE, False): (OperationState.DONE, set[str]()),
        (OperationKind.RESTORE, True): (OperationState.UNDONE, {row.id}),
        (OperationKind.PURGE, False): (OperationState.DONE, set[str]()),
        (OperationKind.PURGE, True): (OperationState.DONE, set[str]()),
    }
    assert (states[operation.id], there) == expected[kind, deleted]


def test_a_pause_that_was_ended_for_it_is_not_left_ended(bin_: Bin) -> None:
    """N8"""
    row = bin_.task(Event.START, Event.PAUSE)
    bin_.log.rows.begin(row.id, OperationKind.DELETE, {"status": str(row.status)})
    bin_.log.settle()
    assert bin_.trash.list() == []
    bin_.log.rows.begin(row.id, OperationKind.DELETE, {"status": str(row.status)})
    bin_.store.transitions.apply(row.id, Event.CANCEL)
    bin_.log.settle()
    assert [one.task.id for one in bin_.trash.list()] == [row.id]
