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
"""Reasons that only a person can end."""

ENDS_SOMETIME: Final = CLOSED
"""Reasons that time or money ends for certain, so that tries are not limited."""


@dataclass(frozen=True)
class Finish:
    """The work is complete."""


@dataclass(frozen=True)
class Fail:
    """The task fails. A person can still resume it."""

    error: str


@dataclass(frozen=True)
class PauseFor:
    """The task pauses, and resumes automatically at `retry_at`, or waits for a person if that is
    None."""

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
    """Decide by the exit of a sandbox and its journal.

    If the journal has an end of this attempt, that counts. Otherwise the runner's exit code FAILED
    means that it could not write one, so nothing is scheduled; any other exit means that the
    sandbox was killed, and the run resumes from its checkpoint. `pause_requested`: a person asked
    for a pause that the runner had no time to record; it never resumes automatically. `random` is
    in [0, 1) and spreads retries.
    """
    if state.status is RunStatus.COMPLETED:
        return Finish()
    pause = _pause_of(ended, state, attempt, now, pause_requested=pause_requested)
    if isinstance(pause, Fail):
        return pause
    wanted = auto_resume and not pause_requested
    at = retry_time(pause, auto_retries, retry, now, random) if wanted else None
    if at is None and pause.reason is PauseReason.INTERRUPTED and state.status is RunStatus.NEW:
        # There is no checkpoint to resume from.
        return Fail(f"{pause.message}; resume_task starts it again")
    uses_try = not is_worth_the_wait(pause, retry, now)
    return PauseFor(
        pause.model_copy(update={"retry_at": pause.retry_at or at, "uses_try": uses_try}), at
    )


def _pause_of(
    ended: SandboxExit, state: RunState, attempt: int, now: datetime, *, pause_requested: bool
) -> Pause | Fail:
    """The pause that an unsuccessful end means, or the failure."""
    # A journal can end with a record of an earlier attempt, whose end does not count.
    is_of_attempt = state.attempt >= attempt
    if is_of_attempt and state.status is RunStatus.FAILED:
        return Fail(state.error or "a step failed")
    if is_of_attempt and state.status is RunStatus.PAUSED and state.pause is not None:
        return state.pause
    if pause_requested:
        return Pause(reason=PauseReason.REQUESTED, message="paused on request", since=now)
    if ended.code == ExitCode.FAILED:
        return Fail(ended.detail or state.error or _gave_up(state))
    return _interrupted(ended, state, now)


def for_disk(error: RoverError) -> PauseFor:
    """The pause for a full disk, on which a person has to free space."""
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
    """When a paused task resumes automatically, or None if a person has to act.

    The provider's reset time counts if it is known. If it is not, or a resume at that time was
    refused again, the wait doubles with each try. Tries are only limited if it is not certain that
    waiting helps.
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
    """Whether an answer of the account to another task means that a retry may succeed."""
    return pause.reason in ENDS_SOMETIME or pause.reason is PauseReason.TRANSIENT


def is_worth_the_wait(pause: Pause, retry: RetrySettings, now: datetime) -> bool:
    """Whether the provider named a time so far away that a resume then uses up no try. With a short
    time, named again and again, tries without a limit would start one sandbox after the other."""
    wait = timedelta(seconds=retry.credits_first)
    return pause.retry_at is not None and pause.retry_at - now >= wait


def backoff(reason: PauseReason, times: int, retry: RetrySettings, random: float) -> timedelta:
    """The wait after a reason whose end is not known, doubled `times` times."""
    if reason in (PauseReason.CREDITS, PauseReason.USAGE_WINDOW):
        first, most = retry.credits_first, retry.credits_most
    else:
        first, most = retry.transient_first, retry.transient_most
    # The exponent is limited because a float overflows.
    wait = min(most, first * 2 ** min(times, 64))
    return timedelta(seconds=wait * (1 + retry.jitter * random))
