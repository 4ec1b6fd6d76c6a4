"""Wall clocks of zones: what a message means by "10am (Europe/Paris)". Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo

TOLERANCE = timedelta(minutes=1)
"""Clocks differ: what is past by this much is still now."""

JUST_PAST = timedelta(minutes=15)
"""A wall clock that showed its time so short a while ago means now, and not tomorrow: messages
leave out seconds, arrive late, and limits linger for some minutes after their end."""


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
    """The first that is not past; now, where the first was just past."""
    at = min((at for at in candidates if at > now - JUST_PAST), default=None)
    return None if at is None else max(at, now)
