"""Deleting a task: first what would be lost, then, on demand, all that Rover keeps of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rover_mcp.errors import Conflict
from rover_mcp.store.rows import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.models import TaskStatus
from rover_mcp.tasks.transitions import ENDED, RESUMABLE, Event

POLL_SECONDS, POLLS = 0.1, 100
"""For what has just ended: its sandbox is gone within moments."""


@dataclass(frozen=True)
class Leftover:
    """What there is of a task. `branch`: the user's repository has it; `delivered`: with all of
    the task's work. `size`: bytes in the data folder, without what a container engine keeps."""

    branch: bool
    delivered: bool
    snapshots: int
    size: int


class Leftovers(Protocol):
    """A task's work, files and sandboxes."""

    def find(self, task: TaskRow) -> Leftover: ...

    def remove(self, task: TaskRow) -> None:
        """Remove all of it but the branch in the user's repository. Repeating it is harmless.

        Raises:
            EnvironmentFault: something cannot be removed; what is left is found the next time.
        """
        ...


@dataclass(frozen=True)
class Item:
    """One thing of a task, and whether it stays."""

    what: str
    kept: bool
    detail: str


@dataclass(frozen=True)
class DeleteTask:
    """The use case. `told` says what would be lost, calling it removes it."""

    store: Store
    leftovers: Leftovers
    sleep: Callable[[float], None] = time.sleep

    def told(self, task: TaskRow) -> list[Item]:
        """
        Raises:
            Conflict: the task is not one that can be deleted now.
        """
        self._check(task)
        return items(task, self.leftovers.find(task))

    def __call__(self, task: TaskRow) -> list[Item]:
        """
        Raises:
            Conflict: the task is not one that can be deleted now.
            EnvironmentFault: not all of it can be removed: it is still there, and CANCELLED.
        """
        told = self.told(task)
        if task.status in RESUMABLE and self.store.transition(task.id, Event.CANCEL) is None:
            # From here on nobody can let it go on while its files are taken away.
            self._check(self.store.task(task.id) or task)
        self.leftovers.remove(task)
        self.store.delete_task(task.id)
        return told

    def _check(self, task: TaskRow) -> None:
        if task.status not in (TaskStatus.PAUSED, *ENDED):
            raise Conflict(
                f"task {task.number} is {task.status}; only one that is paused or ended can be "
                "deleted",
                code="not_deletable",
                hint="end it first",
                next_call={"tool": "cancel_task", "arguments": {"task": task.id}},
            )
        for _ in range(POLLS):
            attempt = self.store.attempt(task.id, task.attempt)
            if attempt is None or attempt.state not in ("starting", "running"):
                return
            self.sleep(POLL_SECONDS)
        raise Conflict(
            f"task {task.number} is still stopping",
            code="not_deletable",
            hint="call again in some seconds",
        )


def items(task: TaskRow, found: Leftover) -> list[Item]:
    """What becomes of each thing, what is lost first."""
    listed = [
        _work(task, found),
        Item("record", kept=False, detail="its place in list_tasks, its history and warnings"),
        Item(
            "files",
            kept=False,
            detail=f"logs, journal and the agent's conversation, {found.size // 1000} kB "
            "without what a container engine keeps",
        ),
        Item("spending", kept=True, detail="what its calls cost stays in the books"),
    ]
    return sorted(listed, key=lambda item: item.kept)


def _work(task: TaskRow, found: Leftover) -> Item:
    if found.delivered:
        return Item("work", kept=True, detail=f"branch {task.branch} in your repository has it all")
    if not found.snapshots:
        return Item("work", kept=True, detail="it made none")
    where = "only a part of it" if found.branch else "none of it"
    made = "1 snapshot" if found.snapshots == 1 else f"{found.snapshots} snapshots"
    return Item(
        "work",
        kept=False,
        detail=f"{made}; branch {task.branch} in your repository has {where}",
    )
