"""What follows from how an attempt ended. Pure functions; attempt_runner.py carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from agent_runner.models import ExitCode, Pause, PauseReason, RunState, RunStatus
from agent_runner.no_space import FREE_FIRST
from agent_runner.process.command_ending import LIMIT
from rover_mcp.config.settings import RetrySettings
from rover_mcp.domain.errors import RoverError
from rover_mcp.sandbox.protocol import SandboxExit
from rover_mcp.tasks.pause_view import CLOSED
from rover_mcp.tasks.pause_view import NEVER_BY_ITSELF as WHY_NOT

NEVER_BY_ITSELF: Final = frozenset(WHY_NOT)
"""Reasons that only a person ends (D9)."""

ENDS_SOMETIME: Final = CLOSED
"""Reasons that time or money ends for certain: tries never stop."""


@dataclass(frozen=True)
class Finish:
    """The work is done."""


@dataclass(frozen=True)
class Fail:
    """It cannot resume automatically; a FAILED task can be resumed too."""

    error: str


@dataclass(frozen=True)
class PauseFor:
    """It waits: until `retry_at` by itself, or for a person where that is None."""

    pause: Pause
    retry_at: datetime | None


Decision = Finish | Fail | PauseFor


def decide(
    ended: SandboxExit,
    state: RunState,
    *,
    attempt: int,
    auto_retries: int,
    auto_resume: bool,
    pause_requested: bool = False,
    retry: RetrySettings,
    now: datetime,
    random: float,
) -> Decision:
    """What follows from the exit of a sandbox and its journal (L1).

    The journal decides where it has an ending of this attempt (I7). Where it has none, the
    runner's own FAILED means that it could not write one, so nothing is scheduled (E2); any
    other end means that the sandbox was killed, and the run goes on from its checkpoint.
    `pause_requested`: a person asked for a pause that the runner had no time to record; it never
    resumes automatically.
    `random` is in [0, 1) and spreads retries.
    """
    if state.status is RunStatus.COMPLETED:
        return Finish()
    mine = state.attempt >= attempt
    if mine and state.status is RunStatus.FAILED:
        return Fail(state.error or "a step failed")
    if mine and state.status is RunStatus.PAUSED and state.pause is not None:
        pause = state.pause
    elif pause_requested:
        pause = Pause(reason=PauseReason.REQUESTED, message="paused on request", since=now)
    elif ended.code == ExitCode.FAILED:
        return Fail(ended.detail or state.error or _gave_up(state))
    else:
        pause = _interrupted(ended, state, now)
    wanted = auto_resume and not pause_requested
    at = retry_time(pause, auto_retries, retry, now, random) if wanted else None
    if at is None and pause.reason is PauseReason.INTERRUPTED and state.status is RunStatus.NEW:
        # There is nothing to go on from (L2).
        return Fail(f"{pause.message}; resume_task starts it again")
    uses_try = not is_worth_the_wait(pause, retry, now)
    return PauseFor(
        pause.model_copy(update={"retry_at": pause.retry_at or at, "uses_try": uses_try}), at
    )


def for_disk(error: RoverError) -> PauseFor:
    """The pause for a full disk: somebody has to make room first."""
    message = error.message if FREE_FIRST in error.message else f"{error.message}; {FREE_FIRST}"
    now = datetime.now(UTC)
    return PauseFor(Pause(reason=PauseReason.INTERRUPTED, message=message, since=now), None)


def _gave_up(state: RunState) -> str:
    if state.status is RunStatus.NEW:
        return "the runner ended before its first step"
    return "the runner ended without a last record: its journal could not be written"


def _interrupted(ended: SandboxExit, state: RunState, now: datetime) -> Pause:
    step = state.current_step
    if ended.out_of_memory:
        what = f"the sandbox ran out of memory and was killed (how much it may use: {LIMIT})"
    elif ended.code is None:
        what = ended.detail or "the sandbox or its runner was killed"
    else:
        what = f"the sandbox exited unexpectedly with code {ended.code}"
    kept = "the work is kept up to the last checkpoint"
    if state.status is RunStatus.NEW:
        kept = "there is no checkpoint yet, so it starts from the beginning"
    return Pause(
        reason=PauseReason.INTERRUPTED,
        message=f"{what}; {kept}",
        since=now,
        step=step.id if step else None,
    )


def retry_time(
    pause: Pause, auto_retries: int, retry: RetrySettings, now: datetime, random: float
) -> datetime | None:
    """When a paused task resumes automatically (K2, K3), or None where a person has to act.

    The provider's own reset time decides where it is known. Where it is not, or has been in vain,
    the wait doubles with each try. Tries end only where nobody knows that waiting helps.
    """
    person = pause.reason in NEVER_BY_ITSELF or FREE_FIRST in pause.message
    if person or retry.max_auto_retries == 0:
        return None
    is_free = pause.reason in ENDS_SOMETIME or is_worth_the_wait(pause, retry, now)
    if auto_retries >= retry.max_auto_retries and not is_free:
        return None
    if pause.retry_at is not None:
        at = max(pause.retry_at, now)
        if auto_retries and not is_worth_the_wait(pause, retry, now):
            at = max(at, now + backoff(pause.reason, auto_retries - 1, retry, 0))
        return at + timedelta(seconds=30 * retry.jitter * random)
    if pause.reason is PauseReason.INTERRUPTED and auto_retries == 0:
        return now + timedelta(seconds=retry.interrupted_first * (1 + retry.jitter * random))
    return now + backoff(pause.reason, auto_retries, retry, random)


def is_the_accounts(pause: Pause) -> bool:
    """Whether an answer to another task of the account says that trying again may help."""
    return pause.reason in ENDS_SOMETIME or pause.reason is PauseReason.TRANSIENT


def is_worth_the_wait(pause: Pause, retry: RetrySettings, now: datetime) -> bool:
    """Whether a provider told a time that is so far away that a resume then is no mere try, and
    uses up none. A shorter one that is told again and again would start sandbox after sandbox."""
    wait = timedelta(seconds=retry.credits_first)
    return pause.retry_at is not None and pause.retry_at - now >= wait


def backoff(reason: PauseReason, times: int, retry: RetrySettings, random: float) -> timedelta:
    """The wait after a reason whose end nobody told, doubled `times` times (K2)."""
    if reason in (PauseReason.CREDITS, PauseReason.USAGE_WINDOW):
        first, most = retry.credits_first, retry.credits_most
    else:
        first, most = retry.transient_first, retry.transient_most
    # The exponent has a bound of its own: a float has.
    wait = min(most, first * 2 ** min(times, 64))
    return timedelta(seconds=wait * (1 + retry.jitter * random))
