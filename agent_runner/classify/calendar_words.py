"""Moments in words: "Sep 15 at 7pm", "20 Apr 2026 02:00", "tomorrow at noon", "the 1st of next
month", "2026年1月2日 03:04". Pure.

A date and a wall clock are looked for in either order; a zone may stand behind each. The regular
expressions are linear: nothing in them repeats without a bound.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from agent_runner.classify.clock import moments, next_moment
from agent_runner.classify.zones import zone_at

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CHINESE_DAYS = "一二三四五六日天"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_TH = r"(?:st|nd|rd|th)?"
_OF_MONTH = (
    r" of (?:(?P<which>next|each|every|the|this|the next|the following)(?: calendar)? month)"
)

_DATE = re.compile(
    r"(?<![\d:./-])(?P<iso_y>\d{4})(?:-|/|\.|\s?年\s?)(?P<iso_m>\d{1,2})(?:-|/|\.|\s?月\s?)"
    r"(?P<iso_d>\d{1,2})(?:\s?日)?(?!\d)"
    r"|(?<!\d)(?P<cn_m>\d{1,2})\s?月\s?(?P<cn_d>\d{1,2})\s?[日号]"
    rf"|\b(?P<m1>{_MONTH})[ -](?P<d1>\d{{1,2}}){_TH}(?![\d:])(?! ?[ap]m\b)"
    r"(?:,? (?P<y1>\d{4})(?![\d:]))?"
    rf"|(?<![\d:.-])(?P<d2>\d{{1,2}}){_TH}(?: of)?[ -](?P<m2>{_MONTH})"
    r"(?:,?[ -](?P<y2>\d{4})(?![\d:]))?"
    r"|(?<![\d/])(?P<us_m>\d{1,2})/(?P<us_d>\d{1,2})/(?P<us_y>\d{4})(?!\d)"
    r"|\b(?:the )?(?P<last>end|last day|start|beginning|first day)(?: of)?(?: the| this| your)?"
    r"(?: current| calendar| next| following){0,2} (?P<period>day|week|month|year)\b"
    r"|\b(?P<at_end>month|year)[ -]end\b"
    r"|\b(?:the )?(?P<next>next|following|coming) (?:calendar |billing )?"
    r"(?P<unit>day|week|month|year)\b(?!'s)"
    rf"|\b(?:the )?(?P<nth>\d{{1,2}})(?:st|nd|rd|th)\b(?:{_OF_MONTH})?"
    r"|\b(?P<rel>today|tonight|tomorrow)\b|(?P<cn_rel>今[天日]|明[天日]|次日)"
    r"|(?P<cn_next>下个?)(?P<cn_unit>月)(?:(?P<cn_nth>\d{1,2})[日号])?|每月(?P<cn_each>\d{1,2})[日号]"
    r"|(?:下?(?:周|星期|礼拜))(?P<cn_day>[一二三四五六日天])"
    r"|\b(?P<day>mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b"
    rf"(?!,? (?:\d{{1,2}}{_TH}(?: of)?[ -])?{_MONTH}|,? \d{{4}}-)",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"(?<![\d:.-])(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d\d)(?:[.,]\d{1,9})?)?(?![\d:])"
    r"(?:\s?(?P<half>[ap])m\b)?"
    r"|(?<![\d:.-])(?P<h2>\d{1,2})\s?(?P<half2>[ap])m\b"
    r"|(?P<cn_half>上午|下午|晚上|凌晨|中午)?(?P<h3>\d{1,2})[时點点](?:(?P<m3>\d{1,2})分)?"
    r"|\b(?P<word>midnight|noon|midday)\b|(?P<cn_word>午夜|零点|中午)",
    re.IGNORECASE,
)
_JOINT = re.compile(
    r"[\s,T@()·-]{0,4}(?:(?:at|on|by|of|from|the|之?后)[\s,]{0,2}){0,2}"
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}[.,]{0,2}\s)?",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"(?<![\d.])(1[5-9]\d{8}|2\d{9})(\d{3})?(?![\d.]\d|\d)")
# A number that was not understood: the words around it have a form that is unknown here.
_COUNTED = re.compile(
    r"\d[\d.,]{0,12}[ -]?(?:%|(?:hours?|hrs?|h|days?|d|weeks?|minutes?|mins?|tokens?|requests?)\b"
    r"|个?小时|天|分钟|秒|周|个月|次)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Moment:
    """A moment that a text names. `at` None: there is no such moment. `zoned`: it says in
    which zone."""

    at: datetime | None
    start: int
    zoned: bool = True


def moment_in(text: str, now: datetime, home: tzinfo) -> Moment | None:
    """The first moment that a text names. None: it names none.

    `home` is the zone of what names none. A date without a clock is its beginning; a date without
    a year is the next such.
    """
    if epoch := _EPOCH.search(text):
        return Moment(datetime.fromtimestamp(int(epoch[1]), UTC), epoch.start())
    on, clock = _DATE.search(text), _CLOCK.search(text)
    if on and clock and on.start() <= clock.start() < on.end():
        clock = _CLOCK.search(text, on.end())
    parts = sorted((f for f in (on, clock) if f), key=lambda f: f.start())
    if not parts:
        return None
    first = parts[0]
    zone, end = zone_at(text, first.end(), home)
    zoned = end > first.end()
    if len(parts) == 2:
        if _JOINT.fullmatch(text, end, parts[1].start()):
            other, end = zone_at(text, parts[1].end(), home)
            if end > parts[1].end():
                zone, zoned = other, True
        else:
            on, clock = (on, None) if first is on else (None, clock)
    if zone is None or any(c.isdigit() for c in _COUNTED.sub("", text[: first.start()])):
        return Moment(None, first.start())
    return Moment(_moment(on, clock, zone, now), first.start(), zoned)


def _moment(
    on: re.Match[str] | None, clock: re.Match[str] | None, zone: tzinfo, now: datetime
) -> datetime | None:
    today = now.astimezone(zone).date()
    at = _time(clock) if clock else time()
    if at is None:
        return None
    try:
        days = list(_days(on, today)) if on else [today, today + timedelta(days=1)]
    except (ValueError, OverflowError):
        return None
    if on and clock and at == time() and (on["rel"] or "").lower() in ("today", "tonight"):
        days = [today + timedelta(days=1)]  # "midnight tonight" is where the day ends
    if on and clock is None and today in days:
        days = [d for d in days if d != today]  # "later today" names no time
    return next_moment((m for day in days for m in moments(day, at, zone)), now)


def _days(on: re.Match[str], today: date) -> Iterator[date]:
    """The days that a date may mean. Raises ValueError where no such day exists."""
    g = on.groupdict()
    if g["iso_y"]:
        yield date(int(g["iso_y"]), int(g["iso_m"]), int(g["iso_d"]))
    elif g["us_y"]:
        first, second = int(g["us_m"]), int(g["us_d"])
        month, day = (first, second) if first <= 12 else (second, first)
        yield date(int(g["us_y"]), month, day)
    elif month := g["m1"] or g["m2"]:
        number = _MONTHS.index(month[:3].lower()) + 1
        year = g["y1"] or g["y2"]
        yield from _of_year(year, number, int(g["d1"] or g["d2"]), today)
    elif g["cn_m"]:
        yield from _of_year(None, int(g["cn_m"]), int(g["cn_d"]), today)
    elif nth := g["nth"] or g["cn_nth"] or g["cn_each"]:
        later = (g["which"] or "").lower() in ("next", "the next", "the following")
        yield from _of_month(int(nth), today, later=later or bool(g["cn_next"]))
    elif weekday := g["day"] or g["cn_day"]:
        yield from _weekdays(weekday.lower(), today)
    elif word := g["rel"] or g["cn_rel"]:
        tomorrow = word.lower() in ("tomorrow", "明天", "明日", "次日")
        yield today + timedelta(days=int(tomorrow))
    else:
        yield _begin_after(today, g)


def _of_year(year: str | None, month: int, day: int, today: date) -> Iterator[date]:
    if year:
        yield date(int(year), month, day)
        return
    date(2028, month, day)  # raises where no year has such a day
    for number in (today.year, today.year + 1):
        try:
            yield date(number, month, day)
        except ValueError:
            continue


def _of_month(day: int, today: date, *, later: bool) -> Iterator[date]:
    date(2028, 1, day)
    month = today.replace(day=1)
    for _ in range(3):
        if not (later and month == today.replace(day=1)):
            with contextlib.suppress(ValueError):
                yield month.replace(day=day)
        month = _next_month(month)


def _weekdays(name: str, today: date) -> Iterator[date]:
    number = _DAYS.index(name[:3]) if name[:3] in _DAYS else min(6, _CHINESE_DAYS.index(name))
    ahead = (number - today.weekday()) % 7
    yield today + timedelta(days=ahead)
    yield today + timedelta(days=ahead + 7)


def _begin_after(today: date, g: dict[str, str | None]) -> date:
    """The first day after a day, a week, a month or a year that is named by its end, or that of
    the next by its beginning: both are the same moment."""
    unit = (g["period"] or g["at_end"] or g["unit"] or "month").lower()
    if unit == "day":
        return today + timedelta(days=1)
    if unit == "week":
        return today + timedelta(days=7 - today.weekday())
    return date(today.year + 1, 1, 1) if unit == "year" else _next_month(today)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _time(clock: re.Match[str]) -> time | None:
    g = clock.groupdict()
    if word := g["word"] or g["cn_word"]:
        return time(12) if word.lower() in ("noon", "midday", "中午") else time()
    hour = int(g["h"] or g["h2"] or g["h3"])
    minute, second = int(g["m"] or g["m3"] or 0), int(g["s"] or 0)
    if half := g["half"] or g["half2"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half.lower() == "p")
    elif g["cn_half"] in ("下午", "晚上") and hour < 12:
        hour += 12
    if hour == 24 and minute == second == 0:
        hour = 0
    return time(hour, minute, second) if hour <= 23 and minute <= 59 and second <= 59 else None
