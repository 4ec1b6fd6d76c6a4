"""The use case of choosing one task of a race: it stays, and the others go into the trash.

All of them go in one transaction, between the two rows of an operation: cut off at any point it is
done, or as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent_runner.crashpoints import crash_point
from rover_mcp.domain.errors import Conflict, UserFixable
from rover_mcp.domain.operation import DeletionPoint, OperationKind, OperationState
from rover_mcp.domain.stacking import SATISFIES
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.store.operations import OperationRow
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.delete import DeleteTask, Item
from rover_mcp.tasks.operation_log import OperationLog


@dataclass
class ChooseTask:
    """`plan` says what would go, calling it puts the rivals into the trash."""

    store: Store
    delete: DeleteTask
    log: OperationLog

    def __post_init__(self) -> None:
        self.log.settlers[OperationKind.CHOOSE] = self._settle

    def plan(self, task: TaskRow) -> list[Item]:
        """What goes, and what stays, what goes first.

        Raises:
            UserFixable: it is in no race.
            Conflict: it is not done, or one of its rivals is at work.
        """
        self.log.settle(task.id)
        task = self.store.tasks.get(task.id) or task
        return self._items(task, self._rivals(task))

    def _items(self, task: TaskRow, rivals: Sequence[TaskRow]) -> list[Item]:
        stays = f"{task.agent}, {task.status}, branch {task.branch}: it is chosen"
        return [*map(self._item, rivals), Item(f"task {task.number}", kept=True, detail=stays)]

    def __call__(self, task: TaskRow) -> list[Item]:
        """Choose it. Where its rivals are in the trash already, nothing happens. Raises as
        `plan`."""
        self.log.settle(task.id)
        task = self.store.tasks.get(task.id) or task
        # What the caller knows of the task may be older than what was just settled.
        rivals = self._rivals(task)
        items, ids = self._items(task, rivals), [rival.id for rival in rivals]
        if ids:
            plan = {"rivals": ids}
            self.log.run(task.id, OperationKind.CHOOSE, plan, lambda _: self._hide(task, ids), ids)
        return items

    # One transaction for all of them, and not a deletion of each: if one has just been resumed,
    # nothing has happened to the others, whose pauses no one could give back.
    def _hide(self, task: TaskRow, rivals: list[str]) -> None:
        if not self.store.deletions.choose(task.id, rivals):
            raise Conflict(
                "one of the tasks has just changed; nothing is chosen",
                code="not_choosable",
                hint="look at the race again, and choose then",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        crash_point(DeletionPoint.PUT_ASIDE)

    def _rivals(self, task: TaskRow) -> list[TaskRow]:
        """The other tasks of its race, without those that are deleted."""
        if task.links is None or not task.links.race:
            raise UserFixable(
                f"task {task.number} is not part of a race, so there is nothing to choose from",
                code="no_race",
                hint="a race is created by create_task or fork_task with several agents",
            )
        if task.status not in SATISFIES:
            raise Conflict(
                f"task {task.number} is {task.status}; only one that is COMPLETED can be chosen",
                code="not_choosable",
                hint="wait until it is done, or choose another task of its race",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        ids = [racer.task for racer in task.links.race if racer.task != task.id]
        return [rival for i in ids if (rival := self.store.tasks.get(i)) is not None]

    def _item(self, rival: TaskRow) -> Item:
        work, *_ = (item for item in self.delete.preview(rival) if item.what == "work")
        detail = f"{rival.agent}, {rival.status}; its work: {work.detail}"
        if rival.status is TaskStatus.PAUSED:
            at = f" until {utc_minute(rival.retry_at)}" if rival.retry_at else ""
            why = f" ({rival.pause.reason})" if rival.pause else ""
            detail = f"{rival.agent}, paused{why}{at}: it has not finished; {work.detail}"
        return Item(f"task {rival.number}", kept=False, detail=detail)

    def _settle(self, row: OperationRow) -> OperationState:
        rivals: list[str] = row.plan["rivals"]
        is_there = any(self.store.tasks.get(rival) for rival in rivals)
        return OperationState.UNDONE if is_there else OperationState.DONE
