"""Deleting a task for good: first what would be lost, then, on demand, all that Rover keeps of it.
What people delete goes into the trash first, see task_trash.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rover_mcp.domain.attempt_state import STARTED
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.domain.task_status import DELETING, ENDED, RESUMABLE, Event, TaskStatus
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.quoted_text import named

POLL_SECONDS, POLLS = 0.1, 100
"""How often and how long to wait for a task that has just ended: its sandbox is gone soon."""
ALSO_NAMED = 5
"""Branches that are named, of those that have a task's work."""


@dataclass(frozen=True)
class Leftover:
    """What exists of a task. `branch`: the user's repository has its branch; `delivered`: and with
    all of the task's work. `size` is in bytes, without what a container engine keeps; `whole`:
    everything was counted."""

    branch: bool
    delivered: bool
    snapshots: int
    size: int
    whole: bool = True
    also_in: Sequence[str] = ()
    """further branches of the user's repository, remote ones too, that have all of its work"""

    @property
    def shown(self) -> str:
        return f"{'' if self.whole else 'at least '}{self.size // 1000} kB"


class Leftovers(Protocol):
    """Access to a task's work, files and sandboxes."""

    def find(self, task: TaskRow) -> Leftover: ...

    def remove(self, task: TaskRow) -> None:
        """Remove everything but the branch in the user's repository. It is safe to repeat. Nothing
        of it is visible afterwards, but it may take longer until its files are gone.

        Raises:
            EnvironmentFault: something cannot be removed; what is left is found the next time.
        """
        ...

    def make_room(self, task: TaskRow) -> None:
        """Remove what takes the most room and can be recreated from the task's snapshots."""
        ...

    def find_by_id(self, task_id: str) -> Leftover:
        """What exists of a task of which only the id is known."""
        ...

    def remove_by_id(self, task_id: str) -> None:
        """Remove a task of which only the id is known, wherever it is. Raises as `remove`."""
        ...


@dataclass(frozen=True)
class Item:
    """One part of a task, and whether it stays. `bytes` is what it takes on the disk, where that
    was counted."""

    what: str
    kept: bool
    detail: str
    bytes: int | None = None


@dataclass(frozen=True)
class DeleteTask:
    """The use case of deleting a task. `preview` says what would be lost; calling it removes the
    task."""

    store: Store
    leftovers: Leftovers
    sleep: Callable[[float], None] = time.sleep

    def preview(self, task: TaskRow | DamagedRecord, *, with_branch: bool = False) -> list[Item]:
        """What would be lost. `with_branch`: its branch in the user's repository goes, too.

        Raises:
            Conflict: the task cannot be deleted now.
        """
        if isinstance(task, DamagedRecord):
            return self._preview_damaged(task)
        try:
            self.check(task)
        except DamagedRecord as damaged:
            return self._preview_damaged(damaged)
        return items(task, self.leftovers.find(task), with_branch=with_branch)

    def __call__(self, task: TaskRow | DamagedRecord) -> list[Item]:
        """Delete the task; what was lost.

        Raises:
            Conflict: the task cannot be deleted now.
            EnvironmentFault: not all of it can be removed: it is still there, and CANCELLED.
        """
        if isinstance(task, DamagedRecord):
            return self._delete_damaged(task)
        try:
            return self._delete(task)
        except DamagedRecord as damaged:
            return self._delete_damaged(damaged)

    def _preview_damaged(self, damaged: DamagedRecord) -> list[Item]:
        task = damaged.task
        if task is None:
            raise damaged
        leftover = self.leftovers.find_by_id(task.id) if task.id else Leftover(False, False, 0, 0)
        return damaged_items(damaged, leftover)

    def _delete_damaged(self, damaged: DamagedRecord) -> list[Item]:
        """Remove a task whose record cannot be read, in whatever state it is."""
        task, items_lost = damaged.task, self._preview_damaged(damaged)
        if task is None:
            raise damaged
        if task.id is not None:
            self.leftovers.remove_by_id(task.id)
        self.store.tasks.delete_damaged(task)
        return items_lost

    def _delete(self, task: TaskRow) -> list[Item]:
        items_lost = self.preview(task)
        if task.status in RESUMABLE and self._cancel(task) is None:
            # From here on nobody can let it go on while its files are taken away.
            self.check(self.store.tasks.get(task.id) or task)
        # Files first and the record last: if this is interrupted the task is still listed, and can
        # be deleted again. In the other order its files would be left behind without anything that
        # names them.
        self.leftovers.remove(task)
        self.store.tasks.delete(task.id)
        return items_lost

    def _cancel(self, task: TaskRow) -> TaskRow | None:
        try:
            return self._begin(task)
        except EnvironmentFault as fault:
            if fault.code != DISK_FULL:
                raise
        # There is no room to say so: what goes in any case makes some.
        self.leftovers.make_room(task)
        return self._begin(task)

    def _begin(self, task: TaskRow) -> TaskRow | None:
        # Recorded before anything is removed, so that no resume can begin between here and the end,
        # not even after a crash.
        self.store.events.add(task.id, DELETING, {})
        return self.store.transitions.apply(task.id, Event.CANCEL)

    def check(self, task: TaskRow) -> None:
        """
        Raises:
            Conflict: the task is not one that can be deleted now.
        """
        if task.status not in (TaskStatus.PAUSED, *ENDED):
            raise Conflict(
                f"task {task.number} is {task.status}; only one that is paused or ended can be "
                "deleted",
                code="not_deletable",
                hint="end it first",
                next_call={"tool": "cancel_task", "arguments": {"task": task.id}},
            )
        # The record says that a task has ended as soon as that is decided, but its sandbox may take
        # a moment longer, and would write into the folders that are being removed.
        for _ in range(POLLS):
            attempt = self.store.attempts.get(task.id, task.attempt)
            if attempt is None or attempt.state not in STARTED:
                return
            self.sleep(POLL_SECONDS)
        raise Conflict(
            f"task {task.number} is still stopping",
            code="not_deletable",
            hint="call again in a few seconds",
        )


def items(task: TaskRow, leftover: Leftover, *, with_branch: bool = False) -> list[Item]:
    """What happens to each part, beginning with what is lost."""
    listed = [
        _work_without_branch(task, leftover) if with_branch else _work(task, leftover),
        Item("record", kept=False, detail="its entry in the list, its history and warnings"),
        Item(
            "files",
            kept=False,
            detail=f"work tree, logs, journal and the agent's conversation, {leftover.shown} "
            "without what a container engine keeps",
            bytes=leftover.size,
        ),
        Item("spending", kept=True, detail="what its calls cost is still counted"),
    ]
    return sorted(listed, key=lambda item: item.kept)


def damaged_items(damaged: DamagedRecord, leftover: Leftover) -> list[Item]:
    """The same for a task whose record cannot be read. How much of its work was delivered is
    unknown."""
    snapshots = "1 snapshot" if leftover.snapshots == 1 else f"{leftover.snapshots} snapshots"
    return [
        Item("record", kept=False, detail=damaged.message[:500]),
        Item(
            "work",
            kept=False,
            detail=f"{snapshots} in the hub, and its sandbox if it has one; `rover doctor "
            "--repair` would keep them",
        ),
        Item("files", kept=False, detail=f"logs, journal and work tree, {leftover.shown}"),
        Item("branch", kept=True, detail="what was delivered to your repository stays there"),
    ]


def _work_without_branch(task: TaskRow, leftover: Leftover) -> Item:
    if not leftover.branch:
        return _work(task, leftover)
    others = ", ".join(named(one, 80) for one in leftover.also_in[:ALSO_NAMED])
    where = f"{others} has it all, too" if others else "no other branch has all of its work"
    return Item("branch", kept=False, detail=f"{task.branch} in your repository; {where}")


def _work(task: TaskRow, leftover: Leftover) -> Item:
    if leftover.delivered:
        others = ", ".join(named(one, 80) for one in leftover.also_in[:ALSO_NAMED])
        also = f"so do {others}" if others else "no other branch does, local or remote"
        detail = f"branch {task.branch} in your repository has it all; {also}"
        return Item("work", kept=True, detail=detail)
    if not leftover.snapshots:
        return Item("work", kept=True, detail="it has none")
    where = "only a part of it" if leftover.branch else "none of it"
    snapshots = "1 snapshot" if leftover.snapshots == 1 else f"{leftover.snapshots} snapshots"
    return Item(
        "work",
        kept=False,
        detail=f"{snapshots}; branch {task.branch} in your repository has {where}",
    )
