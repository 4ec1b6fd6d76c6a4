"""Produces progress as the protocol requires it: more at each notification. Pure, apart from the
last value."""

from __future__ import annotations

WHOLE = 100.0
NEARER = 1000
"""A notification without progress moves by this part of the distance that is left."""


class IncreasingProgress:
    """Converts the progress of a task, which may stand still or fall back, into the values of one
    request, which must always rise and stay below the total."""

    def __init__(self) -> None:
        self._last = -1.0

    def __call__(self, value: float) -> float:
        if not self._last < value < WHOLE:
            reported = max(self._last, 0.0)
            value = reported + (WHOLE - reported) / NEARER
        self._last = value
        return value
