"""Turns the time that a wall clock shows in a zone into moments in UTC. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo

TOLERANCE = timedelta(minutes=1)
"""How far clocks may differ: a time that is past by this much counts as now."""

JUST_PAST = timedelta(minutes=15)
"""A clock time that is past by less than this means now, and not tomorrow: messages leave out
seconds and arrive late, and limits last some minutes longer than their stated end."""


def moments(day: date, at: time, zone: tzinfo) -> list[datetime]:
    """The moments at which the zone's clocks show this: two on the day that they are set back. A
    time that is skipped when they are set forward means as long after midnight as on other days."""
    local = datetime.combine(day, at, zone)
    try:
        first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        return []
    return [first, second] if first < second else [first]


def next_moment(candidates: Iterable[datetime], now: datetime) -> datetime | None:
    """The first candidate that is not past; `now` if it was past only just."""
    at = min((at for at in candidates if at > now - JUST_PAST), default=None)
    return None if at is None else max(at, now)
