"""Importing the work of an attempt from its sandbox, and delivering it to the user's repository."""

from __future__ import annotations

from pathlib import Path

from agent_runner.crashpoints import crash_point
from agent_runner.models import Pause, PauseReason, RunState
from rover_mcp.control.attempt_context import (
    GIT_STOOD_STILL,
    AttemptContext,
    now,
    with_hint,
)
from rover_mcp.control.checkpoint import last_at_home, with_hub
from rover_mcp.control.control_points import ControlPoint
from rover_mcp.control.decide import (
    Decision,
    Fail,
    Finish,
    PauseFor,
    for_disk,
)
from rover_mcp.control.delivery import in_doubt
from rover_mcp.control.unfinished_branch import described, publish_unfinished
from rover_mcp.domain.disk_full_error import DISK_FULL, write_fault
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.obstacles import DELIVERY_LEFT
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_links import resolves_conflicts
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.store.records import TaskRow

CLEARABLE = frozenset({"branch_checked_out", "branch_clash", "publish_failed"})
"""Codes of errors that a person can clear away. A branch with other commits is not among them:
whose they are is not known, so the task fails."""


class WorkDelivery:
    """Imports and publishes what the sandbox of an attempt committed."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context

    def deliver(
        self, task: TaskRow, folders: TaskFolders, decision: Decision, state: RunState
    ) -> Decision:
        """Import what the sandbox committed, and publish the branch if the work is complete.

        If it cannot be imported or published the task fails, whatever the journal says; resume_task
        then repeats only this.
        """
        try:
            with_hub(task, folders, self._context.hub_of(task.project_id), lambda last: last)
        except (RoverError, OSError) as raised:
            error = as_fault(raised, folders.home)
            wrong = f"the work could not be taken out of the sandbox: {with_hint(error)}"
            # The task's view shows this snapshot, so it must be one that the hub has.
            state.snapshot = last_at_home(task, folders, self._context.hub_of(task.project_id))
            if error.code == DISK_FULL and not isinstance(decision, PauseFor):
                return self._for_disk(decision, error)
            if error.code == GIT_STOOD_STILL and isinstance(decision, Finish):
                return self._context.pause_for_git(task, wrong)
            self._context.warn(task, wrong)
            return Fail(wrong) if isinstance(decision, Finish) else decision
        crash_point(ControlPoint.WORK_IMPORTED)
        if resolves_conflicts(task.links):
            return decision  # its files become part of another task's branch, or nothing
        if isinstance(decision, Finish) and self._context.task(task.id).status in RUNNING:
            decision, is_delivered = self._deliver(task, folders, decision, state)
            if not is_delivered:
                return decision
        self._show_unfinished(task, folders, decision)
        return decision

    def _deliver(
        self, task: TaskRow, folders: TaskFolders, decision: Finish, state: RunState
    ) -> tuple[Decision, bool]:
        """Put the branch into the user's repository, unless a person has to look at the work first.
        Return what follows, and whether the branch was delivered."""
        hub, repository = self._context.hub_of(task.project_id), Path(task.project_path)
        try:
            doubt = with_hub(task, folders, hub, lambda _: in_doubt(task, folders, hub, state))
            if doubt:
                return needs_look(doubt), False
            with_hub(task, folders, hub, lambda _: hub.publish(task.id, repository, task.branch))
            crash_point(ControlPoint.BRANCH_PUBLISHED)
        except (RoverError, OSError) as raised:
            return self._undelivered(task, decision, as_fault(raised, folders.home)), False
        return decision, True

    def _undelivered(self, task: TaskRow, decision: Finish, error: RoverError) -> Decision:
        """What follows if the work is complete but its branch cannot be published."""
        if error.code == DISK_FULL:
            return self._for_disk(decision, error)
        if error.code == GIT_STOOD_STILL:
            what = f"the work is done, but not delivered: {with_hint(error)}"
            return self._context.pause_for_git(task, what)
        if error.code in CLEARABLE:
            return undelivered(error)
        # The hint of this error is for a call that names a wrong path; here the repository was
        # moved.
        gone = error.code == "not_a_directory"
        why = f"{error.message}; put it back" if gone else with_hint(error)
        return Fail(
            "the work is done, but its branch is not in your repository: "
            f"{why}; then resume_task puts it there"
        )

    def _show_unfinished(self, task: TaskRow, folders: TaskFolders, decision: Decision) -> None:
        """Publish unfinished work. A failure is only a warning, because the work is in the hub."""
        now_is = self._context.task(task.id).status
        state = "was cancelled" if now_is is TaskStatus.CANCELLED else described(decision)
        if state is None:
            return
        try:
            publish_unfinished(task, folders, self._context.hub_of(task.project_id), state)
        except (RoverError, OSError) as raised:
            error = as_fault(raised, folders.home)
            self._context.warn(
                task, f"its unfinished work is not on its branch: {with_hint(error)}"
            )

    def _for_disk(self, decision: Finish | Fail, error: RoverError) -> PauseFor:
        """The pause that replaces an end which a full disk prevents."""
        first = "the work is done" if isinstance(decision, Finish) else decision.error
        message = f"{first}, and it stays in the sandbox for now: {error.message}"
        return for_disk(EnvironmentFault(message, code=DISK_FULL))


def as_fault(error: RoverError | OSError, place: Path) -> RoverError:
    """An error of the file system as one with a message and a hint."""
    return error if isinstance(error, RoverError) else write_fault("it failed", place, error)


def undelivered(error: RoverError) -> PauseFor:
    """The pause between the work and its delivery, until an obstacle is cleared away."""
    why = with_hint(error).removesuffix(", then try again")
    message = (
        f"the work is done, but its branch is not in your repository: {why}; then resume: "
        f"{DELIVERY_LEFT}"
    )
    return PauseFor(Pause(reason=PauseReason.INTERRUPTED, message=message, since=now()), None)


def needs_look(message: str) -> PauseFor:
    """The pause before a delivery, which a person has to accept."""
    return PauseFor(Pause(reason=PauseReason.NEEDS_LOOK, message=message, since=now()), None)
