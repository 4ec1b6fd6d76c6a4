"""What the matrix asks of every agent, and what must come of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent_runner.agents import agent_provider
from agent_runner.models import PauseReason
from tests.support.models.turns import (
    Behaviour,
    auth,
    credit,
    hang,
    overloaded,
    rate_limit,
    reset,
    server_error,
    usage_window,
)

WINDOW, DELAY = 10_800, 90
"""Seconds until a usage window opens again, and of a rate limit that tells its delay: longer than
a task waits in place."""

PROMPTLY = 80.0
"""Seconds within which a wait that only a pause ends has become one, whatever the agent does. It
tells that from an agent that waits itself, for which the shortest time here is 90 s; a pause takes
0 to 2 s on an idle machine."""

ROUNDED = 5.0
"""Seconds by which a told time may differ from when it was meant: times are told in whole seconds."""

_LONG = 200
"""More than any agent tries."""

AGENTS = ("claude", "codex", "opencode", "gemini", "qwen", "copilot")
IN_CI = ("claude", "codex", "opencode")
MODELS: Mapping[str, str] = {"copilot": "gpt-5.1"}
"""Where an agent needs one to be named."""


SESSIONS: Mapping[str, str] = {"copilot": ".copilot/session-state/*/events.jsonl"}
"""Where an agent keeps its session, beneath its HOME, if it writes it down later than it acts:
1.0.102 a tenth of a second, in which no real model answers twice."""


@dataclass(frozen=True)
class Cell:
    """One trouble, after a file was written: what the provider does, or which signal the sandbox
    gets while it waits for an answer; and the pause that it must become. `retry_in` is in seconds;
    None: no time is told."""

    name: str
    title: str
    trouble: Behaviour
    reason: PauseReason
    retry_in: float | None = None
    signal: str | None = None


CELLS = (
    Cell("credits", "credits", credit(times=_LONG), PauseReason.CREDITS),
    Cell("window", "usage window", usage_window(WINDOW, times=_LONG),
         PauseReason.USAGE_WINDOW, WINDOW),
    Cell("delay", "rate limit, 90 s", rate_limit(DELAY, times=_LONG),
         PauseReason.RATE_LIMIT, DELAY),
    Cell("rate", "rate limit", rate_limit(None, times=_LONG), PauseReason.RATE_LIMIT),
    Cell("overloaded", "overloaded", overloaded(times=_LONG), PauseReason.TRANSIENT),
    Cell("server", "server error", server_error(times=_LONG), PauseReason.TRANSIENT),
    Cell("reset", "connection reset", reset(times=_LONG), PauseReason.TRANSIENT),
    Cell("key", "bad key", auth(times=_LONG), PauseReason.AUTH),
    Cell("sigterm", "SIGTERM", hang(), PauseReason.INTERRUPTED, signal="SIGTERM"),
    Cell("kill", "kill -9", hang(), PauseReason.INTERRUPTED, signal="SIGKILL"),
)  # fmt: skip


@dataclass(frozen=True)
class CellResult:
    """What became of one task. `after` is from the provider's first refusal to the pause, in
    seconds; `wrong` says what was not as it must be."""

    agent: str
    cell: str
    seconds: float
    after: float | None = None
    version: str | None = None
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObservedPause:
    """A pause, as the task's journal and the provider's log tell it. `after` is in seconds from
    the provider's first refusal; None: nobody noted it."""

    reason: str
    provider: str | None
    retry_at: datetime | None
    after: float | None = None


def provider_of(agent: str) -> str | None:
    """Whose API the agent calls in the matrix."""
    return agent_provider(agent, MODELS.get(agent))


def wrong_in(paused: ObservedPause, cell: Cell, agent: str, refused_at: datetime) -> list[str]:
    """What of a pause is not as the cell says."""
    wrong: list[str] = []
    if paused.reason != cell.reason:
        wrong.append(f"reason {paused.reason}, not {cell.reason}")
    provider = provider_of(agent)
    if cell.signal is None and paused.provider != provider:
        wrong.append(f"provider {paused.provider}, not {provider}")
    if cell.retry_in is not None and (paused.after is None or paused.after > PROMPTLY):
        wrong.append(f"paused after {paused.after} s, not within {PROMPTLY:g}")
    expected = _retry_at(cell, provider, refused_at)
    if expected is None or paused.retry_at is None:
        if expected != paused.retry_at:
            wrong.append(f"retry_at {paused.retry_at}, not {expected}")
    elif not -ROUNDED <= (paused.retry_at - expected).total_seconds() <= _late(paused) + ROUNDED:
        wrong.append(f"retry_at {paused.retry_at}, not {expected}")
    return wrong


def _late(paused: ObservedPause) -> float:
    """How much later than the first refusal the last one may have told a time: an agent asks again
    until it is judged."""
    return paused.after or 0


def _retry_at(cell: Cell, provider: str | None, refused_at: datetime) -> datetime | None:
    if cell.retry_in is None:
        return None
    if cell.name == "window" and provider == "google":
        return _pacific_midnight(refused_at)
    return refused_at + timedelta(seconds=cell.retry_in)


def _pacific_midnight(now: datetime) -> datetime:
    """Google counts a day's quota from there to there."""
    from zoneinfo import ZoneInfo

    local = now.astimezone(ZoneInfo("America/Los_Angeles"))
    tomorrow = local.date() + timedelta(days=1)
    at = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=local.tzinfo)
    return at.astimezone(UTC)
