"""How full an account's usage window is, and times in the form for people."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum


class WindowState(StrEnum):
    """Whether requests pass, pass for now, or are refused until a usage window reopens."""

    OPEN = "open"
    NEARLY = "nearly used up"
    CLOSED = "used up"


def time_of(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)
