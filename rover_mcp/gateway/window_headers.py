"""Reads an account's usage windows from an answer's headers: how full each is, when it reopens.

A subscription has windows of hours and days. Anthropic reports them as
anthropic-ratelimit-unified-*, with the share used and a status; Codex as x-codex-*, with a
percentage and a length. Others report budgets as x-ratelimit-*; budgets of seconds and minutes are
not windows and are ignored. Headers are untrusted: a malformed one is ignored as well. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agent_runner.classify.reset_headers import MAX_SECONDS, after, epoch, moment, number
from rover_mcp.domain.usage_window import WindowState

MOST: Final = 8
"""The number of windows that are read from one answer."""
NEARLY: Final = 0.9
"""The share from which a window counts as nearly used up, where its provider does not say."""
LEAST: Final = timedelta(hours=1)
"""A budget that reopens sooner is one of seconds or minutes, and not a window."""

_UNIFIED = "anthropic-ratelimit-unified-"
_OF_ONE = re.compile(_UNIFIED + r"(\d{1,3}[hd](?:_[a-z0-9_]{1,30})?)-(?:status|utilization|reset)")
_CLAIM = re.compile(r"(five_hour|seven_day)(?:_([a-z0-9_]{1,30}))?")
_CLAIMED = {"five_hour": "5h", "seven_day": "7d"}
_CODEX = re.compile(r"(x-codex-(?:([a-z0-9-]{1,30})-)?(primary|secondary))-used-percent")
_DECIMAL = re.compile(r"\d{1,6}(?:\.\d{1,40})?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")
_BUDGET = re.compile(r"x-ratelimit-remaining-(requests|tokens)")


_STATUSES: Final = {
    "allowed": WindowState.OPEN,
    "allowed_warning": WindowState.NEARLY,
    "rejected": WindowState.CLOSED,
}


@dataclass(frozen=True)
class Window:
    """One window of an account, as an answer reports it. `used` is a share from 0 to 1; `opens`, in
    UTC, is when nothing of it is used any more."""

    name: str
    state: WindowState
    used: float | None = None
    opens: datetime | None = None


def windows_of(headers: Mapping[str, str], now: datetime) -> list[Window]:
    """Return the windows in an answer's headers, whose names are lower case."""
    # LiteLLM puts this in front of the headers of the provider behind it.
    headers = {name.removeprefix("llm_provider-"): value for name, value in headers.items()}
    windows: dict[str, Window] = {}
    for window in (*_unified(headers, now), *_codex(headers, now), *_budgets(headers, now)):
        windows.setdefault(window.name, window)
    return list(windows.values())[:MOST]


def _unified(headers: Mapping[str, str], now: datetime) -> Iterator[Window]:
    """Read Anthropic's windows: each by its own headers, and the one that the answer's overall
    status is about, if it has no headers of its own or they lack the status."""
    claim = _CLAIM.fullmatch(headers.get(f"{_UNIFIED}representative-claim", ""))
    status = _STATUSES.get(headers.get(f"{_UNIFIED}status", ""))
    claimed = ""
    if claim and status:
        claimed = _CLAIMED[claim[1]] + (f"_{claim[2]}" if claim[2] else "")
    keys = [claimed] if claimed else []
    keys += [m[1] for name in headers if (m := _OF_ONE.fullmatch(name))]
    for key in dict.fromkeys(keys):
        own = f"{_UNIFIED}{key}-"
        state = _STATUSES.get(headers.get(f"{own}status", ""))
        opens = _soon(epoch(number(headers.get(f"{own}reset"))), now)
        used = _share(headers.get(f"{own}utilization"))
        if key == claimed:
            state = state or status
            opens = opens or _soon(epoch(number(headers.get(f"{_UNIFIED}reset"))), now)
        if state is not None or used is not None:
            yield Window(_spelt(key), state or _by_share(used), used, opens)


def _codex(headers: Mapping[str, str], now: datetime) -> Iterator[Window]:
    for name, value in headers.items():
        match = _CODEX.fullmatch(name)
        minutes = number(headers.get(f"{match[1]}-window-minutes")) if match else None
        used = _share(value, of=100) if match else None
        if match is None or used is None or minutes == 0:
            continue
        # The absolute time first: the relative one is off by as long as the answer took.
        opens = epoch(number(headers.get(f"{match[1]}-reset-at")))
        opens = opens or after(now, number(headers.get(f"{match[1]}-reset-after-seconds")))
        called = headers.get(f"x-codex-{match[2]}-limit-name", match[2]) if match[2] else ""
        of_one = f" of {called}" if _NAME.fullmatch(called) else ""
        yield Window(
            f"{_length(minutes) or match[3]} window{of_one}",
            _by_share(used),
            used,
            _soon(opens, now),
        )


def _budgets(headers: Mapping[str, str], now: datetime) -> Iterator[Window]:
    """Read budgets of a day or so from x-ratelimit-limit, -remaining and -reset."""
    for name, value in headers.items():
        if not (match := _BUDGET.fullmatch(name)):
            continue
        left, limit = number(value), number(headers.get(f"x-ratelimit-limit-{match[1]}"))
        opens = _soon(moment(headers.get(f"x-ratelimit-reset-{match[1]}"), now), now)
        if left is None or not limit or opens is None or opens - now < LEAST:
            continue
        used = 1 - min(left, limit) / limit
        state = WindowState.CLOSED if left == 0 else WindowState.OPEN
        yield Window(f"window of {match[1]}", state, used, opens)


def _spelt(key: str) -> str:
    """`5h`: 5-hour window; `7d_opus`: 7-day window of opus."""
    length, _, model = key.partition("_")
    unit = "hour" if length.endswith("h") else "day"
    whose = {"oi": " of models with extra usage", "overage_included": " of models with extra usage"}
    of_one = whose.get(model, f" of {model}") if model else ""
    return f"{int(length[:-1])}-{unit} window{of_one}"


def _length(minutes: float | None) -> str | None:
    if minutes is None or not 0 < minutes <= MAX_SECONDS / 60 or minutes % 1:
        return None
    for unit, size in (("day", 24 * 60), ("hour", 60)):
        if minutes % size == 0:
            return f"{int(minutes // size)}-{unit}"
    return f"{int(minutes)}-minute"


def _by_share(used: float | None) -> WindowState:
    if used is None or used < NEARLY:
        return WindowState.OPEN
    return WindowState.NEARLY if used < 1 else WindowState.CLOSED


def _share(value: str | None, of: float = 1) -> float | None:
    """A share from 0 to 1. Providers count a little more than everything; much more is nonsense."""
    if value is None or not _DECIMAL.fullmatch(value.strip()):
        return None
    share = float(value) / of
    return min(share, 1.0) if share <= 2 else None


def _soon(at: datetime | None, now: datetime) -> datetime | None:
    """A time at which a window can open, or None: not past, and not beyond any window."""
    is_near = at is not None and timedelta() < at - now <= timedelta(seconds=MAX_SECONDS)
    return at if is_near else None
