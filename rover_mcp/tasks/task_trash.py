"""The trash: a deleted task can be given back for some days, and then goes for good.

Each way is one operation of the log: cut off at any point it is finished, or as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import Conflict, EnvironmentFault, RoverError
from rover_mcp.domain.operation import DeletionPoint, OperationKind, OperationState
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.operations import OperationRow
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.delete import DeleteTask, Item
from rover_mcp.tasks.operation_log import OperationLog, settled
from rover_mcp.tasks.task_branch import TaskBranches, checked_branch

DAY = 86_400.0
"""Seconds."""

log = logging.getLogger("rover.tasks")


@dataclass(frozen=True)
class TrashedTask:
    """A task of the trash. `until`: when it goes for good, in seconds since 1970."""

    task: TaskRow
    deleted_at: float
    until: float


@dataclass
class TaskTrash:
    """The use case. `plan` says what would go, calling it puts the task into the trash for
    `keep_days`, or with 0 deletes it at once; so it does with one whose record cannot be read."""

    store: Store
    delete: DeleteTask
    log: OperationLog
    keep_days: float
    branches: TaskBranches

    def __post_init__(self) -> None:
        self.log.settlers[OperationKind.DELETE] = self._settle_delete
        self.log.settlers[OperationKind.RESTORE] = self._settle_restore
        self.log.settlers[OperationKind.PURGE] = self._settle_purge

    def until(self, task: TaskRow | DamagedRecord) -> float | None:
        """Until when the task can be given back if it is deleted now, in seconds since 1970; None:
        not at all."""
        if isinstance(task, DamagedRecord) or not self.keep_days:
            return None
        return self.store.database.now() + self.keep_days * DAY

    def plan(self, task: TaskRow | DamagedRecord, *, branch: bool = False) -> list[Item]:
        """What goes, and what stays, what goes first. `branch`: its branch goes, too.

        Raises:
            Conflict: the task is not one that can be deleted now, or its branch is not.
        """
        if not isinstance(task, DamagedRecord):
            self.log.settle(task.id)
            task = self.store.tasks.get(task.id) or task
        tip = self._tip_to_delete(task) if branch else None
        listed = self.delete.preview(task, with_branch=tip is not None)
        if not isinstance(task, DamagedRecord) and task.status is TaskStatus.PAUSED:
            pause = Item("pause", kept=False, detail="it ends; the task would come back CANCELLED")
            listed.insert(0, pause)
        return listed

    def _tip_to_delete(self, task: TaskRow | DamagedRecord) -> str | None:
        """The commit of the branch that goes with the task. That of a damaged one stays: its name
        is not certain."""
        if isinstance(task, DamagedRecord):
            return None
        return checked_branch(task, self.branches.facts(task), kept=bool(self.keep_days))

    def __call__(self, task: TaskRow | DamagedRecord, *, branch: bool = False) -> list[Item]:
        """
        Raises:
            Conflict: the task is not one that can be deleted now, or its branch is not.
            EnvironmentFault: it cannot be recorded or removed.
        """
        listed = self.plan(task, branch=branch)
        tip = self._tip_to_delete(task) if branch else None
        if isinstance(task, DamagedRecord) or not (self.keep_days or tip):
            self.delete(task)
            return listed
        try:
            self._put_away(task, tip)
        except EnvironmentFault as fault:
            if fault.code != DISK_FULL:
                raise
            # There is no room to say so: what can be made again makes some.
            self.delete.leftovers.make_room(task)
            self._put_away(task, tip)
        return listed

    def _put_away(self, task: TaskRow, tip: str | None) -> None:
        plan = {"status": str(task.status), "branch": tip, "at_once": not self.keep_days}

        def work(_: OperationRow) -> None:
            if tip is not None:
                self.branches.put_aside(task, tip)
                crash_point(DeletionPoint.BRANCH_ASIDE)
            try:
                if self.keep_days:
                    self._hide(task)
                else:
                    self.delete(task)
            except RoverError:
                if tip is not None:
                    self.branches.put_back(task)
                raise

        self.log.run(task.id, OperationKind.DELETE, plan, work)

    def _hide(self, task: TaskRow) -> None:
        if task.status is TaskStatus.PAUSED:
            self.store.transitions.apply(task.id, Event.CANCEL)
        crash_point(DeletionPoint.CANCELLED)
        if not self.store.deletions.put(task.id):
            self.delete.check(self.store.tasks.get(task.id) or task)
        crash_point(DeletionPoint.PUT_ASIDE)

    def _settle_delete(self, row: OperationRow) -> OperationState:
        if self._is_in_trash(row.task_id):
            return OperationState.DONE
        task = self.store.tasks.get(row.task_id)
        was_paused = row.plan.get("status") == TaskStatus.PAUSED
        if row.plan.get("at_once"):
            return self._settle_at_once(task)
        if task is None:
            return OperationState.UNDONE
        # If its pause has ended for the deletion, it would not be as before.
        has_ended = was_paused and task.status is TaskStatus.CANCELLED
        if has_ended and self.store.deletions.put(task.id):
            return OperationState.DONE
        if row.plan.get("branch"):
            settled(lambda: self.branches.put_back(task))
        return OperationState.UNDONE

    def _settle_at_once(self, task: TaskRow | None) -> OperationState:
        """Finish a deletion without a trash once the branch is aside. Before that nothing has
        happened, and after it the task without a branch is still listed, if it is there at all."""
        if task is None:
            return OperationState.DONE
        if not self.branches.is_aside(task):
            return OperationState.UNDONE
        settled(lambda: self.delete(task))
        return OperationState.DONE

    def list(self) -> list[TrashedTask]:
        """All that can be given back, the first deleted first."""
        rows = ((row, self._trashed(row.task_id)) for row in self.store.deletions.list())
        keep = self.keep_days * DAY
        return [
            TrashedTask(task, row.deleted_at, row.deleted_at + keep) for row, task in rows if task
        ]

    def _trashed(self, task_id: str) -> TaskRow | None:
        try:
            return self.store.tasks.get(task_id, deleted=True)
        except DamagedRecord as damaged:
            log.warning("a task of the trash is kept: %s", damaged.message)
            return None

    def _is_in_trash(self, task_id: str) -> bool:
        return any(row.task_id == task_id for row in self.store.deletions.list())

    def restore(self, task: TaskRow) -> TaskRow:
        """Give a task of the trash back: number, id, logs, snapshots, conversation, and its branch
        if that was deleted with it.

        Raises:
            Conflict: it is being deleted for good, or is not in the trash any more, or another
                branch has the name of its branch.
        """

        def work(_: OperationRow) -> None:
            self.branches.put_back(task)
            crash_point(DeletionPoint.BRANCH_BACK)
            if not self.store.deletions.take_back(task.id):
                raise Conflict(f"task {task.number} is not in the trash", code="not_in_trash")
            crash_point(DeletionPoint.GIVEN_BACK)

        self.log.settle(task.id)
        plan = {"branch": self.branches.is_aside(task)}
        self.log.run(task.id, OperationKind.RESTORE, plan, work)
        return self.store.tasks.get(task.id) or task

    def _settle_restore(self, row: OperationRow) -> OperationState:
        if not self._is_in_trash(row.task_id):
            return OperationState.DONE
        task = self._trashed(row.task_id)
        branch_is_back = row.plan.get("branch") and task and not self.branches.is_aside(task)
        if branch_is_back and self.store.deletions.take_back(row.task_id):
            return OperationState.DONE
        return OperationState.UNDONE

    # For good

    def purge(self, task: TaskRow) -> None:
        """Remove a task of the trash for good.

        Raises:
            Conflict: it has just been given back.
            EnvironmentFault: not all of it can be removed; the next call does the rest.
        """

        def work(_: OperationRow) -> None:
            if not self._is_in_trash(task.id):
                raise Conflict(f"task {task.number} has been restored", code="not_in_trash")
            self._remove(task)

        self.log.run(task.id, OperationKind.PURGE, {}, work)

    def _remove(self, task: TaskRow) -> None:
        self.delete.leftovers.remove(task)
        crash_point(DeletionPoint.FILES_REMOVED)
        self.store.tasks.delete(task.id)
        crash_point(DeletionPoint.RECORD_REMOVED)

    def _settle_purge(self, row: OperationRow) -> OperationState:
        task = self._trashed(row.task_id)
        if task is not None and self._is_in_trash(task.id):
            settled(lambda: self._remove(task))
        return OperationState.DONE

    def purge_due(self, is_here: Callable[[str], bool] = lambda _: True) -> list[str]:
        """Remove for good what has been in the trash for `keep_days`; the ids. `is_here`: whether
        the files of a task are on this machine, where several share a database."""
        now, purged = self.store.database.now(), list[str]()
        for one in self.list():
            if one.until > now or not is_here(one.task.id):
                continue
            try:
                self.purge(one.task)
                purged.append(one.task.id)
            except RoverError as error:
                log.warning("task %s stays in the trash: %s", one.task.id, error)
        return purged
