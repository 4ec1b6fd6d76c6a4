"""What follows when a task has done a round of resolving conflicts: the next one, or its end."""

from __future__ import annotations

from agent_runner.models import RunState, StepState
from rover_mcp.control.attempt_context import GIT_STOOD_STILL, AttemptContext, with_hint
from rover_mcp.control.control_ports import NextRound
from rover_mcp.control.decide import Decision, Fail, Finish, for_disk
from rover_mcp.control.work_delivery import as_fault
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import RoverError
from rover_mcp.store.records import TaskRow


def after_round(context: AttemptContext, task: TaskRow, state: RunState) -> NextRound | Decision:
    """Have the answer judged. What is wrong with a whole result becomes the verdict of the last
    step in `state`."""
    if context.rounds is None:
        return Fail("this daemon cannot judge how conflicts are resolved")
    try:
        followed = context.rounds.follow(task, state)
    except (RoverError, OSError) as raised:
        error = as_fault(raised, context.settings.home)
        message = f"the resolution could not be judged: {with_hint(error)}"
        if error.code == DISK_FULL:
            return for_disk(error)
        if error.code == GIT_STOOD_STILL:
            return context.pause_for_git(task, message)
        return Fail(message)
    if isinstance(followed, NextRound):
        return followed
    if followed.failed:
        return Fail(followed.failed)
    if followed.warning:
        context.warn(task, followed.warning)
    if followed.verdict:
        _last_step(state).verdict = followed.verdict
    return Finish()


def _last_step(state: RunState) -> StepState:
    return state.steps[-1]
