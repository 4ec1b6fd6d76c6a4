"""Publishing the work of a task that is not complete, marked as unfinished."""

from __future__ import annotations

from pathlib import Path

from agent_runner.models import PauseReason, Snapshot
from rover_mcp.control.checkpoint import with_hub
from rover_mcp.control.control_ports import ProjectHub
from rover_mcp.control.decide import Decision, Finish, PauseFor
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.pause_words import paused_for
from rover_mcp.git.unfinished_commit import UnfinishedWork
from rover_mcp.store.records import TaskRow

SUBJECT_WIDTH = 60


def publish_unfinished(task: TaskRow, folders: TaskFolders, hub: ProjectHub, state: str) -> None:
    """Put the last snapshot on the task's branch in the user's repository, as a commit on top of
    what the task itself committed. `state` says how the task ended. A task without changes gets no
    branch.

    Raises:
        RoverError: the hub or the repository cannot be used, or the branch has other commits.
    """

    def publish(last: Snapshot | None) -> None:
        if last is not None:
            work = UnfinishedWork(task.base_commit, last, message(task, state))
            hub.publish(task.id, Path(task.project_path), task.branch, work)

    with_hub(task, folders, hub, publish)


def described(decision: Decision) -> str | None:
    """How an attempt ended, for a commit message; None if nothing unfinished is published: the work
    is complete, or a person has to look at it first."""
    if isinstance(decision, Finish):
        return None
    if not isinstance(decision, PauseFor):
        return "has failed"
    reason = decision.pause.reason
    return None if reason is PauseReason.NEEDS_LOOK else f"is {paused_for(reason)}"


def message(task: TaskRow, state: str) -> str:
    """The commit's message, without its trailers."""
    subject = " ".join(task.title.split())[:SUBJECT_WIDTH]
    return (
        f"Unfinished: {subject}\n\n"
        f"Task {task.number} {state}. This commit holds its work tree as it was then. Rover\n"
        "replaces it when the task continues."
    )
