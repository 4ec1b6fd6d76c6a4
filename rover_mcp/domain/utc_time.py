"""Writes points in time for people. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_minute(moment: datetime | float) -> str:
    """A time, given as such or in seconds since 1970, as `2026-11-30 14:05Z`. The command line
    finds it in any text, and shows it on the local clock."""
    at = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return f"{at:%Y-%m-%d %H:%M}Z"
