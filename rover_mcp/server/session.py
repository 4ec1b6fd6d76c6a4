"""One client's connection: who it is, what it watches, and how news is pushed to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from rover_mcp.store.rows import TaskRow
from rover_mcp.tasks.caller import Caller

Push = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Sends a notification (method, params) on the connection; never raises."""

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


@dataclass(eq=False)
class ClientSession:
    """State of one connection. `cursor` is how far in the event sequence it has been told;
    None until its first tool result, which begins with what nobody has been told."""

    caller: Caller
    push: Push
    legacy: bool = False
    level: str = "info"
    cursor: int | None = None
    watched: set[str] = field(default_factory=set[str])
    subscribed: set[str] = field(default_factory=set[str])

    def watch(self, task_id: str) -> None:
        """The session made, asked for or acted on this task: its news concern it."""
        if len(self.watched) < 1000:
            self.watched.add(task_id)

    def wants_level(self, level: str) -> bool:
        return LEVELS.index(level) >= LEVELS.index(self.level)

    def concerned_by(self, task: TaskRow, own_project: str | None) -> bool:
        """Whether `attention` shows it here: a task it dealt with, or one of its user's and its
        project. A session outside any project is told of all that are its user's."""
        if task.id in self.watched:
            return self.caller.sees(task.owner)
        return task.owner == self.caller.user and own_project in (None, task.project_id)


TASKS_URI = "rover://tasks"
"""The resource of all tasks."""


def task_uri(task_id: str) -> str:
    """The resource of a task."""
    return f"{TASKS_URI}/{task_id}"
