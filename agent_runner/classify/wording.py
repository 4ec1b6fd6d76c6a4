"""Reset times in the words of providers and agents (facts/agents.md, sections 2 and 6).

The regular expressions are linear: nothing in them repeats without a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from agent_runner.classify.clock import moments, next_moment, zone_named

_PART = (
    r"\d{1,9}(?:\.\d{1,9})? ?"
    r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
)
_IN = re.compile(
    rf"\b(?:try again|retry) (?:in|after(?: in)?) ({_PART}(?:(?:,? and |, | )?{_PART}){{0,3}})",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?(ms|milli|s|m|h|d)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_AT = re.compile(
    rf"(?:resets?|try again)(?: at)? "
    rf"(?:({'|'.join(_MONTHS)})[a-z]{{0,6}} (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?"
    r"(?:,| at)? )?"
    r"(\d{1,2})(?::(\d\d))? ?([ap])m\b(?: \(([a-z0-9_+/-]{1,40})\))?",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"usage limit reached\|(\d{10})(?:\d{3})?\b", re.IGNORECASE)
_REGAIN = re.compile(r"regain access on (\d{4}-\d\d-\d\d) at (\d\d:\d\d) UTC")
_CYCLE = re.compile(r"cycle ends on (\d{1,2})/(\d{1,2})/(\d{4})\b")


def from_text(text: str, now: datetime) -> Iterator[datetime | None]:
    """The times that a text tells, each form once, in UTC."""
    if found := _IN.search(text):
        yield _after(found[1], now)
    if found := _EPOCH.search(text):
        yield datetime.fromtimestamp(int(found[1]), UTC)
    if found := _REGAIN.search(text):
        yield _date_time(f"{found[1]}T{found[2]}+00:00")
    if found := _CYCLE.search(text):
        yield _end_of_day(int(found[3]), int(found[1]), int(found[2]))
    if found := _AT.search(text):
        yield _at(found, now)


def _after(text: str, now: datetime) -> datetime | None:
    """ "1h30m", "6 minutes and 5 seconds"."""
    amounts = _AMOUNT.findall(text)
    seconds = sum(float(number) * _SECONDS[unit.lower()] for number, unit in amounts)
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _at(found: re.Match[str], now: datetime) -> datetime | None:
    """The next time that a clock of the zone shows this hour, on the day named if one is."""
    month, day, year, hour, minute, half, name = found.groups()
    zone = zone_named(name)
    clock = _time(int(hour), int(minute or 0), afternoon=half.lower() == "p")
    if zone is None or clock is None:
        return None
    today = now.astimezone(zone).date()
    if month is None:
        days = [today, today + timedelta(days=1)]
    else:
        number = _MONTHS.index(month.lower()) + 1
        years = [int(year)] if year else [today.year, today.year + 1]
        days = [d for y in years if (d := _date(y, number, int(day)))]
    return next_moment((at for d in days for at in moments(d, clock, zone)), now)


def _end_of_day(year: int, month: int, day: int) -> datetime | None:
    """Midnight in UTC: whose day it is, is not told, and asking too early costs a retry."""
    try:
        return datetime(year, month, day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        return None


def _time(hour: int, minute: int, *, afternoon: bool) -> time | None:
    if not (1 <= hour <= 12 and minute <= 59):
        return None
    return time(hour % 12 + 12 * afternoon, minute)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _date_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
