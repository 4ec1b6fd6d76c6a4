"""Reads lengths of time: "2 days 8 hours", "8h44m7s", "about an hour", "1 day, 2:15:30". Pure.

The regular expressions are linear: nothing in them repeats without a bound.
"""

from __future__ import annotations

import re
from datetime import timedelta

_NUMBER_WORDS = {
    "a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0,
    "six": 6.0, "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0, "eleven": 11.0,
    "twelve": 12.0, "half a": 0.5, "half an": 0.5, "a couple of": 2.0, "半": 0.5, "半个": 0.5,
    "一": 1.0, "两": 2.0, "一个": 1.0, "两个": 2.0,
}  # fmt: skip
_COUNT = (
    r"\d{1,3}(?:,\d{3}){1,3}(?:\.\d{1,9})?|\d{1,9}(?:\.\d{1,9})?|"
    r"(?<![a-z])(?:half an?|a couple of|an?|one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve)(?= )|[半一两]个?"
)
_UNITS = (
    (r"milliseconds?|millis?|msecs?|ms|毫秒", 0.001),
    (r"seconds?|secs?|s|秒钟?", 1.0),
    (r"minutes?|mins?|m|分钟?", 60.0),
    (r"hours?|hrs?|hr|h|个?小时|个?钟头", 3600.0),
    (r"days?|d|天", 86_400.0),
    (r"weeks?|wks?|w|周|个?星期", 604_800.0),
    (r"months?", 2_592_000.0),
)
_UNIT = "|".join(unit for unit, _ in _UNITS)
_PART = rf"(?:{_COUNT})[ -]?(?:{_UNIT})(?![a-z])"
COLONS = r"\d{1,3}:[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
"""Hours, minutes and seconds, which may be a wall clock just as well."""

SPAN = (
    rf"(?:{_PART}(?:(?:,? and |, ?| )?{_PART}){{0,4}}(?:,? {COLONS})?"
    rf"|P(?:\d{{1,3}}D)?T(?:\d{{1,5}}(?:\.\d{{1,9}})?[HMS]){{1,3}})"
)
"""A length of time within a text; to be searched for without regard to case."""

_AMOUNT = re.compile(rf"({_COUNT})[ -]?(?:{_UNIT})(?![a-z])", re.IGNORECASE)
_SIZES = tuple(
    (re.compile(rf"(?:{_COUNT})[ -]?(?:{unit})", re.IGNORECASE), size) for unit, size in _UNITS
)
_CLOCK = re.compile(r"(\d{1,3}):(\d\d):(\d\d(?:\.\d+)?)")
_ISO = re.compile(r"P(?:(\d+)D)?T", re.IGNORECASE)
_ISO_PART = re.compile(r"([\d.]+)([HMS])", re.IGNORECASE)
_ISO_SIZES = {"H": 3600.0, "M": 60.0, "S": 1.0}
_WHOLE = re.compile(rf"\s*(?:{SPAN}|{COLONS})\s*", re.IGNORECASE)


def whole_span(text: str) -> timedelta | None:
    """The length of time that a field or a header consists of; None if it is something else."""
    return length_of(text) if _WHOLE.fullmatch(text) else None


def length_of(text: str) -> timedelta | None:
    """The length of time that SPAN matched; None if it is too long to be counted."""
    try:
        return timedelta(seconds=_seconds(text))
    except OverflowError:
        return None


def _seconds(text: str) -> float:
    if iso := _ISO.match(text.strip()):
        rest = text.strip()[iso.end() :]
        parts = (float(n) * _ISO_SIZES[unit.upper()] for n, unit in _ISO_PART.findall(rest))
        return float(iso[1] or 0) * 86_400 + sum(parts)
    total = 0.0
    for amount in _AMOUNT.finditer(text):
        size = next(size for unit, size in _SIZES if unit.fullmatch(amount[0]))
        total += _count(amount[1]) * size
    if clock := _CLOCK.search(text):
        total += int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
    return total


def _count(text: str) -> float:
    word = text.lower()
    return _NUMBER_WORDS[word] if word in _NUMBER_WORDS else float(text.replace(",", ""))
