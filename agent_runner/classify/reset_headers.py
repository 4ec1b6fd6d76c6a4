"""Reads reset times from headers, of the answer or of one that its body passes on. Pure.

`retry-after` and the windows of a subscription (anthropic-ratelimit-unified-*, x-codex-*) say when
the next request may come. The others (x-ratelimit-*, ratelimit-*, RateLimit) say when a budget is
whole again, which a request need not wait for where `retry-after` says better: they count where it
is missing, and only budgets of which nothing is left. Of several the latest decides: until then
every request is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from agent_runner.classify.duration_words import whole_span

MAX_SECONDS = 40 * 86_400.0

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?")
_EPOCH = 1e9  # as a length it is 31 years
_MILLISECONDS = 1e11  # as seconds this is the year 5138
_ANTHROPIC = re.compile(r"anthropic-ratelimit-([a-z0-9-]{1,40})-reset")
_BUDGET = re.compile(
    r"(?:x-)?rate-?limit(?:bysize)?-(?:[a-z0-9-]{1,40}-)?reset(?:-[a-z0-9-]{1,40})?"
)
_UNIT = re.compile(r"-(?:after|at|time|ms|seconds)\b")
_ROUTED = "llm_provider-"
_PARAM = re.compile(r"\b([a-z]{1,12})=\"?([\d.]{1,20})")
_EARLIER = re.compile(r"\b(limit|remaining|reset)=\"?([\d.]{1,20})")


def from_headers(headers: Mapping[str, str], now: datetime) -> Iterator[datetime | None]:
    """The times in an answer's headers, in UTC, the most important first. Header names are lower
    case."""
    headers = {name.removeprefix(_ROUTED): value for name, value in headers.items()}
    hard = [*_retry_after(headers, now), *_windows(headers, now)]
    yield from latest(hard)
    yield from latest(_budgets(headers, now))


def latest(times: Iterator[datetime | None] | list[datetime | None]) -> Iterator[datetime]:
    known = [at for at in times if at is not None]
    return iter([max(known)] if known else ())


def _retry_after(headers: Mapping[str, str], now: datetime) -> list[datetime | None]:
    milliseconds = number(headers.get("retry-after-ms", headers.get("x-ms-retry-after-ms")))
    if milliseconds is not None and (at := after(now, milliseconds / 1000)) is not None:
        return [at]
    names = ("retry-after", "x-retry-after", "retry_after")
    value = next((headers[name] for name in names if name in headers), None)
    return [moment(value, now)]


def _windows(headers: Mapping[str, str], now: datetime) -> Iterator[datetime | None]:
    """The reset times of a subscription's windows that are used up."""
    status = "anthropic-ratelimit-unified-status"
    if headers.get(status, "rejected") == "rejected":
        yield epoch(number(headers.get("anthropic-ratelimit-unified-reset")))
        for name, value in headers.items():
            window = name.removesuffix("-reset")
            of_one = name.startswith("anthropic-ratelimit-unified-") and name != window
            if of_one and headers.get(f"{window}-status") == "rejected":
                yield epoch(number(value))
    for window in ("primary", "secondary"):
        used = number(headers.get(f"x-codex-{window}-used-percent", "100"))
        if used is not None and used >= 100:
            yield epoch(number(headers.get(f"x-codex-{window}-reset-at")))
            yield after(now, number(headers.get(f"x-codex-{window}-reset-after-seconds")))


def _budgets(headers: Mapping[str, str], now: datetime) -> Iterator[datetime | None]:
    """The reset times of budgets with nothing left, or without a word of what is left."""
    for name, value in headers.items():
        if (match := _ANTHROPIC.fullmatch(name)) and not match[1].startswith("unified"):
            left = headers.get(f"anthropic-ratelimit-{match[1]}-remaining", "0")
            if _is_nothing(left):
                yield moment(value, now)
        elif _BUDGET.fullmatch(name):
            rest = _UNIT.sub("", name).replace("reset", "remaining")
            if _is_nothing(headers.get(rest, "0")):
                is_ms = name.endswith("-ms")
                length = number(value) if is_ms else None
                yield moment(value, now) if length is None else after(now, length / 1000)
        elif name in ("ratelimit", "x-ratelimit"):
            yield from _structured(value, now)


def _structured(value: str, now: datetime) -> Iterator[datetime | None]:
    """`RateLimit: "default";r=0;t=30`, or `limit=100, remaining=0, reset=50` of earlier drafts:
    https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/."""
    if earlier := dict(_EARLIER.findall(value)):
        if _is_nothing(earlier.get("remaining", "0")):
            yield moment(earlier.get("reset"), now)
        return
    for item in value.split(",")[:20]:
        params = dict(_PARAM.findall(item))
        if _is_nothing(params.get("r", "0")):
            yield moment(params.get("t"), now)


def _is_nothing(left: str) -> bool:
    return number(left) in (0, None)


# Values


def moment(value: object, now: datetime) -> datetime | None:
    """The moment that a header or a field means: seconds from now, an epoch, a length of time such
    as "6m0s", a date in the form of HTTP or of ISO 8601."""
    if (count := number(value)) is not None:
        return epoch(count) if count >= _EPOCH else after(now, count)
    if not isinstance(value, str) or not value.strip():
        return None
    if (span := whole_span(value.replace("PT", "").replace("pt", ""))) is not None:
        return after(now, span.total_seconds())
    return parsed(value, datetime.fromisoformat) or parsed(value, parsedate_to_datetime)


def after(now: datetime, seconds: float | None) -> datetime | None:
    """The moment so many seconds after `now`; None if that is not credible."""
    if seconds is None or not 0 <= seconds <= MAX_SECONDS:
        return None
    return now + timedelta(seconds=seconds)


def number(value: object) -> float | None:
    """A number, from JSON or from a header; None for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def epoch(value: float | None) -> datetime | None:
    """The moment of seconds, or milliseconds, since 1970."""
    if value is None or not 0 < value < 1e14:
        return None
    return datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)


def parsed(text: str, parse: Callable[[str], datetime]) -> datetime | None:
    """A date in UTC, which is also assumed if it names no zone."""
    try:
        return utc(parse(text.strip()))
    except (ValueError, OverflowError, TypeError):
        return None


def utc(at: datetime) -> datetime | None:
    """The same moment in UTC."""
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError:
        return None
