"""Finds time zones by the names in messages, and the provider's own zone if they name none.

Abbreviations are fixed offsets, also in the season in which they do not apply: who writes "PST" in
July with a program's help means it. Sources: the time zone database, RFC 9557; for Z.ai the times
in its errors 1308 and 1310, which are Beijing's; for Google the documented reset at midnight
Pacific time. Pure.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

CHINA = timezone(timedelta(hours=8))
_PACIFIC_STANDARD = timezone(timedelta(hours=-8))

_HOURS = {
    "utc": 0, "gmt": 0, "z": 0, "wet": 0, "west": 1, "bst": 1, "cet": 1, "cest": 2, "mez": 1,
    "mesz": 2, "eet": 2, "eest": 3, "cat": 2, "eat": 3, "wat": 1, "sast": 2, "msk": 3, "trt": 3,
    "gst": 4, "pkt": 5, "ist": 5.5, "npt": 5.75, "ict": 7, "wib": 7, "sgt": 8, "hkt": 8,
    "pht": 8, "myt": 8, "awst": 8, "jst": 9, "kst": 9, "acst": 9.5, "acdt": 10.5, "aest": 10,
    "aedt": 11, "nzst": 12, "nzdt": 13, "hst": -10, "akst": -9, "akdt": -8, "pst": -8, "pdt": -7,
    "mst": -7, "mdt": -6, "cst": -6, "cdt": -5, "est": -5, "edt": -4, "ast": -4, "adt": -3,
    "nst": -3.5, "ndt": -2.5, "brt": -3, "art": -3, "clt": -4, "clst": -3, "cot": -5, "pet": -5,
}  # fmt: skip
_PLACES = {
    "pt": "America/Los_Angeles", "mt": "America/Denver", "ct": "America/Chicago",
    "et": "America/New_York", "pacific": "America/Los_Angeles", "mountain": "America/Denver",
    "central": "America/Chicago", "eastern": "America/New_York", "beijing": "Asia/Shanghai",
    "china": "Asia/Shanghai", "北京": "Asia/Shanghai", "japan": "Asia/Tokyo",
    "tokyo": "Asia/Tokyo", "korea": "Asia/Seoul", "singapore": "Asia/Singapore",
    "india": "Asia/Kolkata", "london": "Europe/London", "paris": "Europe/Paris",
    "berlin": "Europe/Berlin", "central european": "Europe/Paris", "sydney": "Australia/Sydney",
    "australian eastern": "Australia/Sydney", "greenwich mean": "Etc/UTC",
    "coordinated universal": "Etc/UTC", "universal": "Etc/UTC",
}  # fmt: skip
# If there is no time zone database. In summer it is an hour late in some of them.
_STANDARD = {
    "America/Los_Angeles": -8, "America/Denver": -7, "America/Chicago": -6,
    "America/New_York": -5, "Asia/Shanghai": 8, "Asia/Tokyo": 9, "Asia/Seoul": 9,
    "Asia/Singapore": 8, "Asia/Kolkata": 5.5, "Etc/UTC": 0,
}  # fmt: skip
_ABBREVIATIONS = "|".join(sorted((*_HOURS, "pt", "mt", "ct", "et"), key=len, reverse=True))
_TIMES = "|".join(sorted((p for p in _PLACES if len(p) > 2), key=len, reverse=True))
_AREAS = (
    "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Etc|Europe"
    "|Indian|Mexico|Pacific|US"
)

_ZONE = re.compile(
    r"\s?[,(\[]{0,2}\s?(?:in )?(?:the )?(?:"
    rf"(?P<place>(?:{_AREAS})(?:/[A-Za-z0-9_+-]{{1,30}}){{1,3}})"
    r"|(?:UTC|GMT) ?(?P<from_utc>[+\u2212-] ?\d{1,2}(?::?\d\d)?)(?!\d)"
    r"|(?P<offset>[+\u2212-]\d\d(?::?\d\d)?)(?![\d:])"
    rf"|(?P<short>{_ABBREVIATIONS})(?![\w/])"
    rf"|(?P<named>{_TIMES})(?P<season>[ -](?:standard|daylight|summer))?(?: |-)?(?:time|时间)"
    r"|(?P<coast>pacific|eastern|mountain|central)(?![\w /-])"
    r")\s?[\])]?",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"\s?\(([A-Za-z0-9_+/-]{1,40})\)")
_LOCAL = frozenset({"local", "localtime"})

_CHINESE = re.compile(
    r"[\u4e00-\u9fff]|\[13[0-2]\d\]|\b(?:bigmodel\.cn|z\.ai|zhipu|glm-|kimi|moonshot|aliyun"
    r"|dashscope|model ?studio|volcengine|minimax|deepseek|siliconflow)",
    re.IGNORECASE,
)
_KANA = re.compile(r"[\u3040-\u30ff]")
_ZAI_CODE = re.compile(r"13[0-2]\d")
_NOT_ZAI = frozenset({"1300"})  # Mistral's only code of this form


def zone_named(name: str | None) -> tzinfo | None:
    """The zone of that name; UTC without a name, because agents run with TZ=UTC. None: it is not
    known."""
    if name is None or name.upper() in ("UTC", "GMT", "Z"):
        return UTC  # also if there is no time zone database
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hours = _STANDARD.get(name)
        return None if hours is None else timezone(timedelta(hours=hours))


def pacific() -> tzinfo:
    """The zone in which Google counts days. Without a time zone database it is an hour late in
    summer."""
    return zone_named("America/Los_Angeles") or _PACIFIC_STANDARD


def home_zone(provider: str | None, codes: frozenset[str], text: str) -> tzinfo:
    """The zone of a provider's times that name none: its own if that is known, else UTC, because
    agents run with TZ=UTC and write local times."""
    zai = any(_ZAI_CODE.fullmatch(code) for code in codes - _NOT_ZAI)
    if zai or (_CHINESE.search(text) and not _KANA.search(text)):
        return CHINA
    return pacific() if provider == "google" else UTC


def zone_at(text: str, start: int, home: tzinfo) -> tuple[tzinfo | None, int]:
    """The zone that a text names at a place, and the end of its name. (home, start) if it names
    none; (None, ...) if it names an unknown one."""
    match = _ZONE.match(text, start)
    if match is None:
        other = _IN_BRACKETS.match(text, start)
        if other is None or other[1].lower() in _LOCAL:
            return home, other.end() if other else start
        return zone_named(other[1]), other.end()
    return _zone(match, home), match.end()


def _zone(match: re.Match[str], home: tzinfo) -> tzinfo | None:
    if place := match["place"]:
        return zone_named(place)
    if offset := match["from_utc"] or match["offset"]:
        return _offset(offset)
    if short := match["short"]:
        if short.lower() == "cst" and home is CHINA:
            return CHINA
        if short.lower() in _PLACES:
            return zone_named(_PLACES[short.lower()])
        return timezone(timedelta(hours=_HOURS[short.lower()])) if _HOURS[short.lower()] else UTC
    return zone_named(_PLACES[(match["named"] or match["coast"]).lower()])


def _offset(text: str) -> tzinfo | None:
    digits = re.sub(r"\D", "", text)
    hours, minutes = (digits, "0") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    if int(hours) > 14 or int(minutes) > 59:
        return None
    length = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(length if text.startswith("+") else -length) if length else UTC
