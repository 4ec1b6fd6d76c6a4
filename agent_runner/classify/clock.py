"""Wall clocks of named zones: what a message means by "10am (Europe/Paris)". Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

TOLERANCE = timedelta(minutes=1)
"""Clocks differ, and messages leave the seconds out: what is past by this much is still now."""


def zone_named(name: str | None) -> tzinfo | None:
    """The zone; UTC where none is named, because agents run there. None: it is not known."""
    if name is None or name.upper() in ("UTC", "GMT", "Z"):
        return UTC  # also where there is no time zone database
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def moments(day: date, at: time, zone: tzinfo) -> list[datetime]:
    """The moments at which clocks of the zone show this: two where it is set back. A time that
    is skipped where it is set forward means as long after midnight as it would have been."""
    local = datetime.combine(day, at, zone)
    try:
        first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        return []
    return [first, second] if first < second else [first]


def next_moment(candidates: Iterable[datetime], now: datetime) -> datetime | None:
    """The first that is not past."""
    return min((at for at in candidates if at >= now - TOLERANCE), default=None)
