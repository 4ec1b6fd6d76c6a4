"""What the slow sweep does about attempts and sandboxes that no event reported. Pure functions.

They derive actions from the store's rows and the sandboxes that an engine lists; reconciler.py
carries them out. An engine that does not answer is not in the input: its silence must not end a
task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rover_mcp.domain.attempt_state import BY_ITSELF, HELD_BACK, IN_QUEUE, STARTED, AttemptState
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.sandbox.protocol import SandboxInfo, SandboxState
from rover_mcp.store.records import AttemptRow, TaskRow

MAY_RUN: Final = frozenset({*RUNNING, TaskStatus.CANCELLED})
"""Statuses of a task whose present attempt may still have a sandbox that is ending normally."""


@dataclass(frozen=True)
class Settle:
    """The sandbox has ended without being followed: its journal decides what follows."""


@dataclass(frozen=True)
class Adopt:
    """No workflow follows the attempt: a new one continues it."""


@dataclass(frozen=True)
class Discard:
    """The task no longer waits for the attempt: everything of it is removed."""


@dataclass(frozen=True)
class GiveUp:
    """The task waits for an attempt that will never start."""


@dataclass(frozen=True)
class StopStart:
    """The runner has written nothing within the time that a start may take."""


@dataclass(frozen=True)
class Remove:
    """The sandbox was left behind by a crash, and its attempt is over. A running one is stopped
    first."""


@dataclass(frozen=True)
class LeaveAlone:
    """The sandbox runs and belongs to no known task: it is reported and left alone, because another
    data folder may own it."""


AttemptAction = Settle | Adopt | Discard | GiveUp | StopStart
SandboxAction = Remove | LeaveAlone


@dataclass(frozen=True)
class AttemptFacts:
    """Facts about one attempt of a task: the present one, or another that is not over.

    `state` is None if the attempt has no record. `sandbox` is GONE if the engine does not list it.
    `begun`: the runner has written a record. `age` is the time in seconds since the sandbox was
    started.
    """

    status: TaskStatus
    present: bool
    state: AttemptState | None
    followed: bool
    sandbox: SandboxState
    begun: bool = True
    age: float = 0


def facts_of(
    task: TaskRow, attempt: AttemptRow | None, *, sandbox: SandboxState, followed: bool,
    begun: bool, now: float,
) -> AttemptFacts:  # fmt: skip
    """The facts about one attempt, by its row and its task's."""
    started = attempt.started_at if attempt else None
    return AttemptFacts(
        status=task.status,
        present=attempt is None or attempt.attempt == task.attempt,
        state=attempt.state if attempt else None,
        followed=followed,
        sandbox=sandbox,
        begun=begun,
        age=now - started if started is not None else 0,
    )


def judge_attempt(seen: AttemptFacts, startup_timeout: float) -> AttemptAction | None:
    """The action for an attempt, or None."""
    if seen.state in STARTED:
        return _judge_going(seen, startup_timeout)
    if seen.present and seen.state in BY_ITSELF and seen.status in {TaskStatus.NEW, *RUNNING}:
        # A waiting attempt becomes the present one when it is claimed. This one is the present one
        # and still waits, so its record is wrong, and its journal decides.
        return GiveUp() if seen.status is TaskStatus.NEW else Settle()
    if seen.state == AttemptState.STACKED:
        if seen.status is TaskStatus.NEW:
            return None
        # A task that runs by its record, and whose attempt was never let go.
        return Settle() if seen.present and seen.status in RUNNING else Discard()
    if seen.state in HELD_BACK:
        return None if seen.status is TaskStatus.PAUSED else Discard()
    if seen.state in IN_QUEUE:
        if seen.followed:
            return None
        return Adopt() if _awaited(seen) else Discard()
    # The attempt is over or has no record, but the task still waits for it.
    if seen.present and seen.status in RUNNING:
        return Settle()
    return GiveUp() if seen.present and seen.status is TaskStatus.NEW else None


def _judge_going(seen: AttemptFacts, startup_timeout: float) -> AttemptAction | None:
    runs = seen.sandbox is SandboxState.RUNNING
    if (
        seen.state == AttemptState.RUNNING
        and runs
        and not seen.begun
        and seen.age > startup_timeout
    ):
        return StopStart()
    if seen.followed:
        return None
    if not seen.present or seen.status not in {TaskStatus.NEW, *MAY_RUN}:
        return Discard()
    if seen.status is TaskStatus.NEW:
        return GiveUp()
    never_started = seen.state == AttemptState.STARTING and seen.sandbox is SandboxState.GONE
    return Adopt() if runs or never_started else Settle()


def _awaited(seen: AttemptFacts) -> bool:
    """Whether the task waits for this attempt's turn."""
    if seen.state == AttemptState.QUEUED:
        return seen.present and seen.status in (TaskStatus.NEW, *RUNNING)
    # An attempt that resumes automatically becomes the present one only when it is claimed.
    return seen.status is TaskStatus.PAUSED


def judge_sandbox(
    info: SandboxInfo, task: TaskRow | None, attempt: AttemptRow | None
) -> SandboxAction | None:
    """The action for a sandbox that an engine lists; None if its attempt is not over."""
    if task is None or attempt is None:
        return LeaveAlone() if info.state is SandboxState.RUNNING else Remove()
    return None if attempt.state in {*STARTED, AttemptState.QUEUED} else Remove()
