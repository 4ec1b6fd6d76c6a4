"""Finds when a provider will answer again. Pure; all times are aware, in UTC.

Two times of one error never disagree: one of them decides.
1. A moment in a field of its own (`resets_at`, `quotaResetTimeStamp`, `quotaResetDelay`).
2. For a day's quota of Google's the next midnight where it is counted. The delay that comes with
   it (`RetryInfo`, `retry-after`) is only a minute's.
3. Headers, then those that the body passes on; see reset_headers.py for which of them.
4. A delay in a field (`retry_after`, `retryDelay`).
5. The words, of several times the latest.
A delay of up to A_MINUTE (3, 4) is about a minute's budget. Where the words tell of a time that is
AN_HOUR or more away, that budget is not the one that is used up, and the words decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any, cast

from agent_runner.classify.clock import TOLERANCE, moments, next_moment
from agent_runner.classify.failure_facts import FailureFacts, mapping
from agent_runner.classify.reset_headers import after, epoch, from_headers, moment, number, utc
from agent_runner.classify.wording import from_text
from agent_runner.classify.zones import home_zone, pacific
from agent_runner.models import Failure

MAX_WAIT = timedelta(days=40)
"""A time further away than the longest billing month is not believed."""

A_MINUTE = timedelta(minutes=5)
AN_HOUR = timedelta(hours=1)

Times = Iterator[datetime | None]

_MAX_DETAILS = 20
_DAILY_QUOTA = re.compile(r"daily quota on this model|PerDay")
_DAILY_LIMIT = re.compile(
    r"quota exceeded for quota metric '[^']{1,200}' and limit '[^']{1,200} per day\b[^']{0,100}'"
    r" of service '[\w.-]{1,80}\.googleapis\.com'",
    re.IGNORECASE,
)
_MOMENT = re.compile(
    r"(?:quota|limit|window|next|usage|rate|token|request)*"
    r"(?:resets?(?:at|on|time|timestamp|date|dateutc)|availableat|retryat|tryagainat|blockeduntil"
    r"|nextflushtime)"
)
_DELAY = re.compile(r"(?:resets?in|(?:retry|reset)after|wait|retryin)(?:seconds|secs?|s)?")
_HEADERS = ("headers", "response_headers", "responseHeaders")
_INNER = ("metadata", "provider_specific_fields", "data")


@dataclass(frozen=True)
class Reset:
    """A time to try again. `in_words`: it was read from a message, not from a field."""

    at: datetime
    in_words: bool = False


def reset_time(failure: Failure, facts: FailureFacts, now: datetime) -> Reset | None:
    """The time that decides, if it is credible: not past by more than TOLERANCE, nor beyond
    MAX_WAIT."""
    for source in _SOURCES:
        at = _first(source(failure, facts, now), now)
        if at is None:
            continue
        if source in _MAY_BE_A_MINUTE and at - now <= A_MINUTE:
            words = _first(_from_text(failure, facts, now), now)
            if words is not None and words - now >= AN_HOUR:
                return Reset(words, in_words=True)
        return Reset(at, in_words=source in _IN_WORDS)
    return None


def _first(times: Times, now: datetime) -> datetime | None:
    """The first credible one of some times."""
    credible = (at for at in times if at and now - TOLERANCE <= at <= now + MAX_WAIT)
    return next(credible, None)


def _from_fields(failure: Failure, facts: FailureFacts, now: datetime) -> Times:
    if failure.reset_at is not None:
        yield utc(failure.reset_at)
    for fields in _objects(facts):
        for value in _values(fields, _MOMENT):
            at = number(value)
            yield moment(value, now) if at is None else epoch(at)
        yield moment(fields.get("quotaResetDelay"), now)


def tells_a_time(name: str) -> bool:
    """Whether a field of that name says when, or after how long, a provider answers again."""
    plain = _plain(name)
    return bool(_MOMENT.fullmatch(plain) or _DELAY.fullmatch(plain))


def _values(fields: Mapping[str, Any], named: re.Pattern[str]) -> Iterator[object]:
    """The values of the fields with such names, however they are spelt: `resets_at`, `resetsAt`."""
    named_so = (v for k, v in fields.items() if len(k) < 40 and named.fullmatch(_plain(k)))
    return islice(named_so, _MAX_DETAILS)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _objects(facts: FailureFacts) -> Iterator[Mapping[str, Any]]:
    """The provider's error object, and those of its parts that may hold times."""
    yield facts.error
    for name in _INNER:
        yield mapping(facts.error.get(name))
    details = facts.error.get("details")
    yield mapping(details)
    for detail in islice(
        cast(list[object], details) if isinstance(details, list) else (), _MAX_DETAILS
    ):
        yield mapping(detail)
        yield mapping(mapping(detail).get("metadata"))


def _from_own_headers(failure: Failure, facts: FailureFacts, now: datetime) -> Times:
    return from_headers(facts.headers, now)


def _from_inner_headers(failure: Failure, facts: FailureFacts, now: datetime) -> Times:
    for fields in _objects(facts):
        for name in _HEADERS:
            if inner := mapping(fields.get(name)):
                named = islice(inner.items(), 100)
                yield from from_headers({str(k).lower(): str(v)[:200] for k, v in named}, now)


def _from_quota_name(failure: Failure, facts: FailureFacts, now: datetime) -> Times:
    if any("PerDay" in name for name in facts.names):
        yield _next_day_of_google(now)


def _from_daily_words(failure: Failure, facts: FailureFacts, now: datetime) -> Times:
    if _DAILY_QUOTA.search(facts.text) or _DAILY_LIMIT.match(facts.message):
        yield _next_day_of_google(now)


def _next_day_of_google(now: datetime) -> datetime | None:
    zone = pacific()
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return next_moment(moments(tomorrow, time(), zone), now)


def _from_delays(failure: Failure, facts: FailureFacts, now: datetime) -> Times:
    yield after(now, failure.retry_after)
    for fields in _objects(facts):
        for value in _values(fields, _DELAY):
            yield moment(value, now)
        milliseconds = number(fields.get("retry_after_ms"))
        yield after(now, None if milliseconds is None else milliseconds / 1000)
        # https://cloud.google.com/apis/design/errors#error_details
        if str(fields.get("@type")).endswith("google.rpc.RetryInfo"):
            delay = fields.get("retryDelay")
            yield moment(delay, now) if isinstance(delay, str) and delay.endswith("s") else None


def _from_text(failure: Failure, facts: FailureFacts, now: datetime) -> Times:
    home = home_zone(failure.provider, facts.codes, facts.text)
    return iter([*from_text(facts.text, now, home)])


_SOURCES: tuple[Callable[[Failure, FailureFacts, datetime], Times], ...] = (
    _from_fields,
    _from_quota_name,
    _from_daily_words,
    _from_own_headers,
    _from_inner_headers,
    _from_delays,
    _from_text,
)
_MAY_BE_A_MINUTE = (_from_own_headers, _from_inner_headers, _from_delays)
_IN_WORDS = (_from_daily_words, _from_text)
