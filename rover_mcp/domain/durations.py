"""Writes lengths of time for people. Pure."""

from __future__ import annotations


def duration(seconds: float | None) -> str:
    """A length of time: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def about(seconds: float) -> str:
    """A rounded length of time: 40 s, 12 min, 2 h 10 min, 3 d 4 h."""
    rounded = max(0, round(seconds))
    if rounded < 60:
        return f"{rounded} s"
    return duration(60 * round(rounded / 60))
