"""When a provider will answer again, from every form that was seen (facts/agents.md, section 6).

In this order, the first that is credible: an epoch in the agent's or the provider's own fields;
headers; for Google's daily quota the next midnight where it is counted, because the delay that
comes with it is only a minute's; seconds in fields; text. Pure; all times are aware, in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, cast

from agent_runner.agents.protocol import Failure
from agent_runner.classify.clock import TOLERANCE, moments, next_moment, zone_named
from agent_runner.classify.told import Told, mapping
from agent_runner.classify.wording import from_text

MAX_WAIT = timedelta(days=40)
"""A time further away than the longest billing month is not believed."""

Found = Iterator[datetime | None]

_MAX_DETAILS = 20
_MILLISECONDS = 1e11  # as seconds this is the year 5138
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_ANTHROPIC = re.compile(r"anthropic-ratelimit-([a-z0-9-]{1,40})-reset")
_DAILY_QUOTA = re.compile(r"daily quota on this model|PerDay")
_PACIFIC_STANDARD = timezone(timedelta(hours=-8))


@dataclass(frozen=True)
class Reset:
    """`in_words`: the time stands in a message, and in no field of its own."""

    at: datetime
    in_words: bool = False


def reset_time(failure: Failure, told: Told, now: datetime) -> Reset | None:
    """The first time that is told and credible: not past by more than TOLERANCE (clocks differ),
    nor beyond MAX_WAIT."""
    for source in _SOURCES:
        for at in source(failure, told, now):
            if at is not None and now - TOLERANCE <= at <= now + MAX_WAIT:
                return Reset(at, in_words=source in _IN_WORDS)
    return None


def _from_epochs(failure: Failure, told: Told, now: datetime) -> Found:
    if failure.reset_at is not None:
        yield _utc(failure.reset_at)
    for name in ("resets_at", "resetsAt"):
        yield _epoch(_number(told.error.get(name)))


def _from_headers(failure: Failure, told: Told, now: datetime) -> Found:
    headers = told.headers
    milliseconds = _number(headers.get("retry-after-ms"))
    yield _after(now, None if milliseconds is None else milliseconds / 1000)
    yield _after(now, _number(headers.get("retry-after")))
    yield _parsed(headers.get("retry-after"), parsedate_to_datetime)
    if headers.get("anthropic-ratelimit-unified-status", "rejected") == "rejected":
        yield _epoch(_number(headers.get("anthropic-ratelimit-unified-reset")))
    yield from _longest(_anthropic_resets(headers))
    yield from _longest(_codex_resets(headers))


def _anthropic_resets(headers: Mapping[str, str]) -> Found:
    """anthropic-ratelimit-<what>-reset tells of every budget; those with nothing left count."""
    for name, value in headers.items():
        if not (found := _ANTHROPIC.fullmatch(name)):
            continue
        budget = f"anthropic-ratelimit-{found[1]}"
        left = headers.get(f"{budget}-remaining", "0")
        if left == "0" and headers.get(f"{budget}-status", "rejected") == "rejected":
            yield _epoch(_number(value)) or _parsed(value, datetime.fromisoformat)


def _codex_resets(headers: Mapping[str, str]) -> Found:
    for window in ("primary", "secondary"):
        used = _number(headers.get(f"x-codex-{window}-used-percent", "100"))
        if used is not None and used >= 100:
            yield _epoch(_number(headers.get(f"x-codex-{window}-reset-at")))


def _longest(times: Found) -> Iterator[datetime]:
    found = [at for at in times if at is not None]
    return iter([max(found)] if found else ())


def _from_quota_name(failure: Failure, told: Told, now: datetime) -> Found:
    if any("PerDay" in name for name in told.names):
        yield _next_day_of_google(now)


def _from_daily_words(failure: Failure, told: Told, now: datetime) -> Found:
    if _DAILY_QUOTA.search(told.text):
        yield _next_day_of_google(now)


def _next_day_of_google(now: datetime) -> datetime | None:
    # An hour late in summer where the sandbox has no time zones.
    zone = zone_named("America/Los_Angeles") or _PACIFIC_STANDARD
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return next_moment(moments(tomorrow, time(), zone), now)


def _from_seconds(failure: Failure, told: Told, now: datetime) -> Found:
    yield _after(now, failure.retry_after)
    yield _after(now, _number(told.error.get("resets_in_seconds")))
    details = told.error.get("details")
    for detail in islice(
        cast(list[object], details) if isinstance(details, list) else (), _MAX_DETAILS
    ):
        yield _after(now, _retry_delay(mapping(detail)))


def _retry_delay(detail: Mapping[str, Any]) -> float | None:
    """`google.rpc.RetryInfo`: https://cloud.google.com/apis/design/errors#error_details."""
    if not str(detail.get("@type")).endswith("google.rpc.RetryInfo"):
        return None
    found = _DURATION.fullmatch(str(detail.get("retryDelay")))
    return float(found[1]) if found else None


def _from_text(failure: Failure, told: Told, now: datetime) -> Found:
    return from_text(told.text, now)


_SOURCES: tuple[Callable[[Failure, Told, datetime], Found], ...] = (
    _from_epochs,
    _from_headers,
    _from_quota_name,
    _from_daily_words,
    _from_seconds,
    _from_text,
)
_IN_WORDS = (_from_daily_words, _from_text)


def _after(now: datetime, seconds: float | None) -> datetime | None:
    if seconds is None or not 0 <= seconds <= MAX_WAIT.total_seconds():
        return None
    return now + timedelta(seconds=seconds)


def _number(value: object) -> float | None:
    """A number, as JSON or as a header has it; None for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def _epoch(value: float | None) -> datetime | None:
    """Seconds since 1970, or milliseconds."""
    if value is None or not 0 < value < 1e14:
        return None
    return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)


def _parsed(text: str | None, parse: Callable[[str], datetime]) -> datetime | None:
    if text is None:
        return None
    try:
        return _utc(parse(text))
    except (ValueError, OverflowError):
        return None


def _utc(at: datetime) -> datetime | None:
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        return None
