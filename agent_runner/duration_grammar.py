"""Times as people write them: one grammar for workflow files, project files and tool calls. Pure.

A time with units is one number or more, each with its unit: `90s`, `5 min`, `1h 30m`, `2 hours`.
The parts are added up, in whatever order they stand. `m` means minutes, because nothing that Rover
waits for takes months. A number without a unit is outside of this grammar: a file or a call gives
it as a number, and it means seconds.
"""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {
    "s": 1,
    "sec": 1,
    "secs": 1,
    "second": 1,
    "seconds": 1,
    "m": 60,
    "min": 60,
    "mins": 60,
    "minute": 60,
    "minutes": 60,
    "h": 3600,
    "hr": 3600,
    "hrs": 3600,
    "hour": 3600,
    "hours": 3600,
}
"""The seconds in each unit."""

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,3})?"
# The longest first: a search takes the first that fits.
_UNIT = "|".join(sorted(UNITS, key=len, reverse=True))
_PART = rf"{_NUMBER} ?(?:{_UNIT})"
PATTERN: Final = rf"{_PART}(?: ?{_PART})*"
"""The grammar as a regular expression, which JSON Schema (ECMA-262) reads in the same way."""
_TIME = re.compile(PATTERN)
_PARTS = re.compile(rf"({_NUMBER}) ?({_UNIT})")
EXPECTED: Final = "a number of seconds, or a time such as 90s, 5m, 1h"
"""What errors say that a time has to be."""


def parse_duration(text: str) -> float | None:
    """The seconds that a time with units stands for; None if the text is not such a time."""
    if _TIME.fullmatch(text) is None:
        return None
    return sum(float(number) * UNITS[unit] for number, unit in _PARTS.findall(text))
