"""The types of stored columns. Every row is checked against them when it is read."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, Strict, StringConstraints

LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999: no later time can be shown."""
MOST: Final = 2**62


def _whole(text: str) -> str:
    if not text.isascii():
        text.encode()  # raises for a text that was not UTF-8, which is read with surrogates
    return text


def _plain(text: str) -> str:
    _whole(text)
    if "\0" in text:
        raise ValueError("it holds a NUL character")
    return text


Text = Annotated[str, Strict(), AfterValidator(_whole)]
Name = Annotated[
    str, Strict(), StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=100)
]
"""An identifier, which can be a part of a path."""
Line = Annotated[str, Strict(), AfterValidator(_plain)]
"""A path, a branch or an account. Programs receive it, so it holds no NUL."""
Moment = Annotated[float, Strict(), Field(ge=0, le=LATEST, allow_inf_nan=False)]
"""Seconds since 1970."""
Money = Annotated[float, Strict(), Field(ge=0, le=1e12, allow_inf_nan=False)]
Share = Annotated[float, Strict(), Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Strict(), Field(ge=0, le=MOST)]
Number = Annotated[int, Strict(), Field(ge=1, le=999_999_999)]
Flag = Annotated[bool, Strict()]


class Unreadable:
    """The value of a JSON column that does not hold JSON. No check accepts it."""

    def __repr__(self) -> str:
        return "text that is not JSON"


UNREADABLE: Final = Unreadable()


def tolerant_json(text: Any) -> Any:
    """The value of a JSON column. If it cannot be read it is UNREADABLE: an error raised here, in
    the driver, would prevent that the other rows of the query are read."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, TypeError, RecursionError):
        return UNREADABLE


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value
