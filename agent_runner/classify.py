"""A provider's error to a pause reason. Pure; the rules are a table.

Only fields that carry errors are read (D3): what the gateway saw first, then what the agent's own
structured fields say. The rules and their order are from facts/agents.md, section 6; each message
that was observed is a file in tests/data/limits with the expected reason in its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent_runner.agents.protocol import Failure
from agent_runner.models import PauseReason

MAX_WAIT = timedelta(days=40)
"""A reset time further away than the longest billing month is not believed."""

MAX_MESSAGE = 500


@dataclass(frozen=True)
class Verdict:
    """What an error means. `reason` None: it is fatal. `transient`: worth trying again in place,
    if the wait until `retry_at` is short."""

    reason: PauseReason | None
    message: str
    provider: str | None = None
    retry_at: datetime | None = None
    transient: bool = False


@dataclass(frozen=True)
class _Rule:
    """All that is set must hold. `statuses` with None in it: no status was told."""

    reason: PauseReason
    statuses: frozenset[int | None] = frozenset()
    codes: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    header: tuple[str, str] | None = None

    def fits(self, failure: Failure, text: str) -> bool:
        codes = {str(c).lower() for c in (failure.type, failure.code) if c is not None}
        return (
            (not self.statuses or failure.status in self.statuses)
            and (not self.codes or bool(self.codes & codes))
            and (self.text is None or self.text.search(text) is not None)
            and (self.unless is None or self.unless.search(text) is None)
            and (self.header is None or failure.headers.get(self.header[0]) == self.header[1])
        )


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CREDITS_TEXT = _any(
    r"credit balance (?:is )?too low",
    r"quota exceeded\. check your plan",
    r"insufficient[_ ](?:quota|credits?|balance)",
    r"out of (?:usage )?credits",
    r"org(?:anization)? is out of usage",
    r"credits? (?:are )?(?:exhausted|depleted)",
    r"payment required",
    r"issue with your billing",
    r"billing hard limit",
    r"workspace credit limit",
    r"spend cap",
)
_WINDOW_TEXT = _any(
    r"you'?ve hit your .{0,20}limit",
    r"usage limit (?:has been )?reached",
    r"specified API usage limits",
    r"regain access on",
    r"exhausted your (?:daily )?quota",
)
_RATE_TEXT = _any(
    r"rate limit (?:reached|exceeded)",
    r"request rejected \(429\)",
    r"too many requests",
    r"exceeded retry limit, last status: 429",
    r"RESOURCE_EXHAUSTED",
    r"resource has been exhausted",
    r"API Error: 429\b",
)
_OVERLOADED_TEXT = _any(
    r"overloaded",
    r"at capacity",
    r"experiencing high demand",
    r"no capacity available",
    r"UNAVAILABLE",
    r"API Error: 5\d\d\b",
)
_NETWORK_TEXT = _any(
    r"connection (?:dropped|refused|reset|error)",
    r"ECONNRE(?:SET|FUSED)",
    r"stream disconnected",
    r"error sending request",
    r"cannot connect to api",
    r"timed out",
    r"fetch failed",
)
_AUTH_TEXT = _any(
    r"invalid api key",
    r"incorrect api key",
    r"api key not valid",
    r"API_KEY_INVALID",
    r"not logged in",
    r"authentication (?:failed|required|error)",
    r"failed to authenticate",
    r"missing (?:api key|environment variable)",
    r"unexpected status 40[13]",
)

_NO_STATUS: frozenset[int | None] = frozenset({None, 200})
_FIVE_HUNDREDS: frozenset[int | None] = frozenset(range(500, 600))

_RULES: Sequence[_Rule] = (
    # A code or a status of its own.
    _Rule(PauseReason.CREDITS, codes=_of("usage_limit_exceeded"), text=_any(r"quota exceeded")),
    _Rule(
        PauseReason.CREDITS,
        codes=_of("insufficient_quota billing_hard_limit_reached billing_error credits_exhausted"),
    ),
    _Rule(PauseReason.CREDITS, statuses=frozenset({402})),
    _Rule(PauseReason.USAGE_WINDOW, codes=_of("usage_limit_reached usage_limit_exceeded")),
    # 400 is not always fatal: the text comes before the status.
    _Rule(PauseReason.CREDITS, statuses=frozenset({400}), text=_CREDITS_TEXT),
    _Rule(PauseReason.USAGE_WINDOW, statuses=frozenset({400}), text=_WINDOW_TEXT),
    _Rule(
        PauseReason.AUTH, statuses=frozenset({400}), text=_any("API_KEY_INVALID", "key not valid")
    ),
    # 429 has four meanings.
    _Rule(
        PauseReason.USAGE_WINDOW,
        statuses=frozenset({429}),
        header=("anthropic-ratelimit-unified-status", "rejected"),
    ),
    _Rule(PauseReason.USAGE_WINDOW, statuses=frozenset({429}), text=_any("daily quota", "PerDay")),
    _Rule(
        # Gemini says the same of a minute's limit, but then with "retry in".
        PauseReason.CREDITS,
        statuses=frozenset({429}),
        text=_any(
            r"credits? (?:are )?depleted",
            r"exceeded your current quota, please check your plan and billing",
        ),
        unless=_any(r"retry in"),
    ),
    _Rule(
        PauseReason.CREDITS,
        statuses=frozenset({429}),
        text=_CREDITS_TEXT,
        unless=_any(r"retry in"),
    ),
    _Rule(PauseReason.USAGE_WINDOW, statuses=frozenset({429}), text=_WINDOW_TEXT),
    _Rule(PauseReason.RATE_LIMIT, statuses=frozenset({429})),
    _Rule(PauseReason.TRANSIENT, statuses=_FIVE_HUNDREDS | {408}),
    _Rule(PauseReason.AUTH, statuses=frozenset({401, 403})),
    # Codes where the status is lost: errors inside a stream, and the agents' own classes.
    _Rule(
        PauseReason.TRANSIENT,
        statuses=_NO_STATUS,
        codes=_of(
            "overloaded overloaded_error server_is_overloaded server_overloaded unavailable"
            " server_error api_error internal_server_error connection_failed timeout_error"
            " no_result silence"
        ),
    ),
    _Rule(
        PauseReason.AUTH,
        statuses=_NO_STATUS,
        codes=_of(
            "authentication_error authentication_failed permission_error oauth_org_not_allowed"
            " account_on_hold verification_required cloud_credential_error"
        ),
    ),
    # Text alone, where there is no status: the rarest meaning first.
    _Rule(PauseReason.CREDITS, statuses=_NO_STATUS, text=_CREDITS_TEXT),
    _Rule(PauseReason.USAGE_WINDOW, statuses=_NO_STATUS, text=_WINDOW_TEXT),
    _Rule(
        PauseReason.RATE_LIMIT,
        statuses=_NO_STATUS,
        codes=_of("rate_limit rate_limit_error rate_limit_exceeded"),
    ),
    _Rule(PauseReason.RATE_LIMIT, statuses=_NO_STATUS, text=_RATE_TEXT),
    _Rule(PauseReason.TRANSIENT, statuses=_NO_STATUS, text=_OVERLOADED_TEXT),
    _Rule(PauseReason.AUTH, statuses=_NO_STATUS, text=_AUTH_TEXT),
    _Rule(PauseReason.TRANSIENT, statuses=_NO_STATUS, text=_NETWORK_TEXT),
)

_IN_PLACE = frozenset({PauseReason.TRANSIENT, PauseReason.RATE_LIMIT})
_DATED = _IN_PLACE | {PauseReason.USAGE_WINDOW}


def classify(failures: Sequence[Failure], now: datetime) -> Verdict:
    """What the failures mean. The gateway's come before the agent's; the first that a rule knows
    decides, and if none is known it is fatal."""
    ordered = sorted(failures, key=lambda f: f.source != "gateway")
    for failure in ordered:
        if (reason := _reason(failure)) is not None:
            return Verdict(
                reason=reason,
                message=_message(failure),
                provider=failure.provider or _provider(ordered),
                retry_at=_first_reset(ordered, now) if reason in _DATED else None,
                transient=reason in _IN_PLACE,
            )
    message = _message(ordered[-1]) if ordered else "it failed and said nothing"
    return Verdict(reason=None, message=message, provider=_provider(ordered))


def _reason(failure: Failure) -> PauseReason | None:
    if failure.interrupted:
        return PauseReason.INTERRUPTED
    text = failure.message.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return next((rule.reason for rule in _RULES if rule.fits(failure, text)), None)


def _provider(failures: Sequence[Failure]) -> str | None:
    return next((f.provider for f in failures if f.provider), None)


_KEY = re.compile(r"\b(?:sk|pk|key|ghp|gho|xox[bp])[-_][A-Za-z0-9_*-]{8,}|AIza[A-Za-z0-9_-]{20,}")


def _message(failure: Failure) -> str:
    """The message in one line, without what looks like a key, of bounded length."""
    text = _KEY.sub("[key]", " ".join(failure.message.split()))
    text = "".join(c for c in text if c.isprintable())
    return text[:MAX_MESSAGE] or f"it failed with status {failure.status}"


# --- when it may go on -----------------------------------------------------------------------


def _first_reset(failures: Sequence[Failure], now: datetime) -> datetime | None:
    for failure in failures:
        for source in _RESET_SOURCES:
            found = source(failure, now)
            if found is not None and now - timedelta(minutes=1) <= found <= now + MAX_WAIT:
                return found
    return None


def _after(now: datetime, seconds: float) -> datetime | None:
    return now + timedelta(seconds=seconds) if 0 <= seconds <= MAX_WAIT.total_seconds() else None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d{1,15}(?:\.\d+)?", text) else None


def _epoch(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _date(text: str, read: Callable[[str], datetime]) -> datetime | None:
    try:
        found = read(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _from_reset_at(failure: Failure, now: datetime) -> datetime | None:
    return failure.reset_at


def _from_headers(failure: Failure, now: datetime) -> datetime | None:
    headers = failure.headers
    if (value := _number(headers.get("retry-after-ms"))) is not None:
        return _after(now, value / 1000)
    if (text := headers.get("retry-after")) is not None:
        if (value := _number(text)) is not None:
            return _after(now, value)
        return _date(text, parsedate_to_datetime)
    for name in ("anthropic-ratelimit-unified-reset", "x-codex-primary-reset-at"):
        if (value := _number(headers.get(name))) is not None:
            return _epoch(value)
    return _exhausted_reset(headers)


def _exhausted_reset(headers: Mapping[str, str]) -> datetime | None:
    """anthropic-ratelimit-<what>-reset tells of every budget; those with nothing left count."""
    found: list[datetime] = []
    for name, text in headers.items():
        what = re.fullmatch(r"anthropic-ratelimit-([a-z-]+)-reset", name)
        if what and headers.get(f"anthropic-ratelimit-{what[1]}-remaining") == "0":
            date = _date(text, datetime.fromisoformat)
            found += [date] if date else []
    return max(found, default=None)


def _from_retry_after(failure: Failure, now: datetime) -> datetime | None:
    return None if failure.retry_after is None else _after(now, failure.retry_after)


_IN = re.compile(
    r"(?:try again|retry)(?: after)? in (\d{1,9}(?:\.\d{1,9})?) ?(ms|s|m|h)", re.IGNORECASE
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_CLOCK = re.compile(r"resets (\d{1,2})(?::(\d\d))?([ap]m) \(([A-Za-z0-9_+/-]{1,40})\)")
_REGAIN = re.compile(r"regain access on (\d{4}-\d\d-\d\d) at 00:00 UTC")
_EPOCH = re.compile(r"usage limit reached\|(\d{10})\b")


def _from_text(failure: Failure, now: datetime) -> datetime | None:
    text = failure.message
    if found := _IN.search(text):
        return _after(now, float(found[1]) * _UNITS[found[2].lower()])
    if found := _EPOCH.search(text):
        return _epoch(float(found[1]))
    if found := _REGAIN.search(text):
        return _date(found[1], datetime.fromisoformat)
    if found := _CLOCK.search(text):
        return _next_clock(found, now)
    return None


def _next_clock(found: re.Match[str], now: datetime) -> datetime | None:
    """The next time that a clock of the zone named shows this hour."""
    try:
        zone = ZoneInfo(found[4])
        hour = int(found[1]) % 12 + (12 if found[3] == "pm" else 0)
        local = now.astimezone(zone)
        at = local.replace(hour=hour, minute=int(found[2] or 0), second=0, microsecond=0)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    if at <= local:
        at += timedelta(days=1)
    return at.astimezone(UTC)


_RESET_SOURCES: Sequence[Callable[[Failure, datetime], datetime | None]] = (
    _from_reset_at,
    _from_headers,
    _from_retry_after,
    _from_text,
)
