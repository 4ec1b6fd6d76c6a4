"""What the slow sweep does about what the engines' own events missed (L7, L8). Pure.

From the store's rows and what an engine lists to actions; reconciler.py carries them out. An
engine that does not answer is in no input: it changes no task (L3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rover_mcp.domain.attempt_state import BY_ITSELF, HELD_BACK, IN_QUEUE, STARTED, AttemptState
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.sandbox.protocol import SandboxInfo, SandboxState
from rover_mcp.store.records import AttemptRow, TaskRow

MAY_RUN: Final = frozenset({*RUNNING, TaskStatus.CANCELLED})
"""Statuses of a task whose present attempt may still have a sandbox that ends in order."""


@dataclass(frozen=True)
class Settle:
    """The sandbox has ended and nobody saw it: its journal decides what follows."""


@dataclass(frozen=True)
class Adopt:
    """Nobody follows it: another workflow takes it up where it is."""


@dataclass(frozen=True)
class Discard:
    """Its task has moved on: nothing of it stays."""


@dataclass(frozen=True)
class GiveUp:
    """The task waits for an attempt that will never come."""


@dataclass(frozen=True)
class StopStart:
    """Its runner has written nothing in all the time that a start may take (L5)."""


@dataclass(frozen=True)
class Remove:
    """A sandbox of an attempt that is over, left by a crash. One that runs is stopped first."""


@dataclass(frozen=True)
class Tell:
    """A sandbox that runs and that no task knows: it is left alone (L4)."""


AttemptAction = Settle | Adopt | Discard | GiveUp | StopStart
SandboxAction = Remove | Tell


@dataclass(frozen=True)
class Seen:
    """A task and one attempt of it: the present one, or another that is not over.

    `state` is the attempt's, None where there is no such row. `sandbox` is GONE where the engine
    does not list it. `begun`: the runner has written a record. `age`: seconds since the sandbox
    was started.
    """

    status: TaskStatus
    present: bool
    state: AttemptState | None
    followed: bool
    sandbox: SandboxState
    begun: bool = True
    age: float = 0


def seen_of(
    task: TaskRow, attempt: AttemptRow | None, *, sandbox: SandboxState, followed: bool,
    begun: bool, now: float,
) -> Seen:  # fmt: skip
    """What is known of one attempt, out of the rows."""
    started = attempt.started_at if attempt else None
    return Seen(
        status=task.status,
        present=attempt is None or attempt.attempt == task.attempt,
        state=attempt.state if attempt else None,
        followed=followed,
        sandbox=sandbox,
        begun=begun,
        age=now - started if started is not None else 0,
    )


def judge_attempt(seen: Seen, startup_timeout: float) -> AttemptAction | None:
    """What is to be done about an attempt; None: nothing."""
    if seen.state in STARTED:
        return _judge_going(seen, startup_timeout)
    if seen.present and seen.state in BY_ITSELF and seen.status in {TaskStatus.NEW, *RUNNING}:
        # It becomes the present one only when it is claimed: by the record it never was.
        return GiveUp() if seen.status is TaskStatus.NEW else Settle()
    if seen.state in HELD_BACK:
        return None if seen.status is TaskStatus.PAUSED else Discard()
    if seen.state in IN_QUEUE:
        if seen.followed:
            return None
        return Adopt() if _awaited(seen) else Discard()
    # There is no such attempt, or it is over, and the task waits for it all the same.
    if seen.present and seen.status in RUNNING:
        return Settle()
    return GiveUp() if seen.present and seen.status is TaskStatus.NEW else None


def _judge_going(seen: Seen, startup_timeout: float) -> AttemptAction | None:
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


def _awaited(seen: Seen) -> bool:
    """Whether the task waits for this attempt's turn."""
    if seen.state == AttemptState.QUEUED:
        return seen.present and seen.status in (TaskStatus.NEW, *RUNNING)
    # One that resumes automatically becomes the present one when it is claimed.
    return seen.status is TaskStatus.PAUSED


def judge_sandbox(
    info: SandboxInfo, task: TaskRow | None, attempt: AttemptRow | None
) -> SandboxAction | None:
    """What is to be done about a sandbox that is listed; None: its attempt is not over."""
    if task is None or attempt is None:
        return Tell() if info.state is SandboxState.RUNNING else Remove()
    return None if attempt.state in {*STARTED, AttemptState.QUEUED} else Remove()
