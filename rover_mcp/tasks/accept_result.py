"""Accepting a result that a person has to look at before it is delivered."""

from __future__ import annotations

from agent_runner.models import PauseReason
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.store.records import TaskRow

ACCEPTED = "it is delivered as it is"


def waits_for_look(task: TaskRow) -> bool:
    """Whether a task's work is done and waits for a person to accept it."""
    return task.pause is not None and task.pause.reason is PauseReason.NEEDS_LOOK


def refused(task: TaskRow, *, accept: bool) -> str | None:
    """Why a task cannot be resumed in the way that was asked for; None where it can."""
    if waits_for_look(task) == accept:
        return None
    if accept:
        return "accept is for a task that is paused for needs_look; nothing was changed"
    return (
        "its work is done, and waits to be looked at: get_diff shows it, resume_task with "
        "accept=true delivers it as it is, cancel_task leaves it undelivered"
    )


def accept_result(task: TaskRow, folders: TaskFolders) -> None:
    """Record that a person accepts this very result. A different result has to be looked at again.

    Raises:
        EnvironmentFault: it cannot be recorded.
    """
    snapshot = task.run_state.snapshot if task.run_state else None
    try:
        folders.accepted.parent.mkdir(parents=True, exist_ok=True)
        folders.accepted.write_text(f"{snapshot.head if snapshot else ''}\n", "utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"the acceptance cannot be recorded: {error.strerror}",
            hint="free some disk space, then call resume_task again",
            code="disk_full",
        ) from error
