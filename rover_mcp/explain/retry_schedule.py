"""When a run would try again after a verdict, and when that ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from agent_runner.classify.verdict import Verdict
from agent_runner.models import Pause
from agent_runner.run.step import wait_in_place
from agent_runner.spec import RunLimits
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.decide import retry_time

SHOWN = 8
"""Resumes that a plan lists."""

MOST = 64
"""Resumes after which a plan counts as one without an end."""


@dataclass(frozen=True)
class RetrySchedule:
    """`in_place` are the waits in seconds before tries without a pause, `resumes` the moments of
    the automatic resumes if nothing changes. `ends`: the last of them is the last of all."""

    in_place: tuple[float, ...]
    paused_at: datetime
    resumes: tuple[datetime, ...]
    ends: bool


def plan(verdict: Verdict, now: datetime) -> RetrySchedule:
    """What follows a verdict with today's defaults, without jitter."""
    in_place = _in_place(verdict, now)
    paused_at = now + timedelta(seconds=sum(in_place))
    if verdict.reason is None:
        return RetrySchedule(in_place, paused_at, (), ends=True)
    resumes = _resumes(verdict, paused_at)
    return RetrySchedule(in_place, paused_at, tuple(resumes), ends=len(resumes) < MOST)


def pause_of(verdict: Verdict, at: datetime) -> Pause:
    """The pause that a verdict leads to."""
    if verdict.reason is None:
        raise ValueError("a fatal error pauses nothing")
    return Pause(
        reason=verdict.reason,
        message=verdict.message,
        since=at,
        provider=verdict.provider,
        retry_at=verdict.retry_at,
        grounds=verdict.grounds,
        retry_grounds=verdict.retry_grounds,
    )


def _in_place(verdict: Verdict, now: datetime) -> tuple[float, ...]:
    limits = RunLimits()
    waits: list[float] = []
    for delay in limits.transient_delays:
        wait = wait_in_place(verdict, delay, limits.wait_in_place, now)
        if wait is None:
            break
        waits.append(wait)
    return tuple(waits)


def _resumes(verdict: Verdict, paused_at: datetime) -> list[datetime]:
    """The moments at which it resumes, if the provider refuses each time and tells no new time."""
    pause, at = pause_of(verdict, paused_at), paused_at
    times: list[datetime] = []
    while len(times) < MOST:
        following = retry_time(pause, len(times), RetrySettings(), at, 0.0)
        if following is None:
            break
        times.append(following)
        at, pause = following, pause.model_copy(update={"since": following, "retry_at": None})
    return times
