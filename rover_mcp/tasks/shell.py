"""A shell for a person in a sandbox, on a copy of a task's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent_runner.models import Snapshot
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.operation_log import check_local


@dataclass(frozen=True)
class ShellRequest:
    """What is asked for. `argv`: a command in place of a login shell; `terminal`: on a terminal of
    its own, of this kind and size."""

    argv: Sequence[str] = ()
    terminal: bool = True
    term: str = "xterm-256color"
    rows: int = 24
    columns: int = 80


@dataclass(frozen=True)
class ShellPlace:
    """Where a shell can be connected to, and the snapshot that it has a copy of; None: the base."""

    socket: str
    snapshot: Snapshot | None
    warnings: Sequence[str] = ()


class Shells(Protocol):
    """Sandboxes for shells."""

    def start(self, task: TaskRow, request: ShellRequest, environ: Mapping[str, str]) -> ShellPlace:
        """Start a sandbox. It ends with its one client, or soon if none connects.

        Raises:
            RoverError: it cannot be started, and why.
        """
        ...


@dataclass(frozen=True)
class ShellOpened:
    """`text` says what the shell has a copy of."""

    place: ShellPlace
    text: str


@dataclass(frozen=True)
class OpenShell:
    """The use case. The task itself is not touched, so that it may have any status."""

    shells: Shells

    def __call__(self, caller: Caller, task: TaskRow, request: ShellRequest) -> ShellOpened:
        """
        Raises:
            UserFixable: the caller is not the user of this machine.
            RoverError: the sandbox cannot be started.
        """
        check_local(caller, "open a shell")
        place = self.shells.start(task, request, caller.env)
        return ShellOpened(place, opened_text(task, place.snapshot))


def opened_text(task: TaskRow, snapshot: Snapshot | None) -> str:
    """What the shell shows, and what becomes of changes in it."""
    what = f"as of snapshot s{snapshot.sequence}" if snapshot else "as it began: it has no snapshot"
    return (
        f"A copy of task {task.number} ({task.status}), {what}. Files that git ignores are not in "
        "it. The copy goes when the shell ends; the task is not changed."
    )
