"""When a provider will answer again, from every form that was seen; the clock stands still."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runner.classify.clock import TOLERANCE
from agent_runner.classify.verdict import MAX_MESSAGE, MAX_WAIT, classify
from agent_runner.models import Failure
from tests.limits import NOW, corpus

EPOCH = int(NOW.timestamp())


def agent(said: str = "x", **fields: Any) -> Failure:
    return replace(Failure("agent", said, status=429), **fields)


def headers(**values: str) -> Failure:
    return agent(headers={name.replace("_", "-"): value for name, value in values.items()})


def body(**error: Any) -> Failure:
    return agent(body=json.dumps({"error": {"message": "m", **error}}))


def retry_info(delay: object) -> Failure:
    return body(
        details=[{}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    )


def seconds(failure: Failure, now: datetime = NOW) -> float | None:
    at = classify([failure], now).retry_at
    assert at is None or at.utcoffset() == timedelta(0)
    return (at - now).total_seconds() if at else None


@pytest.mark.parametrize(
    ("told", "after"),
    [
        # An epoch in fields.
        (agent(reset_at=NOW + timedelta(hours=1), retry_after=5.0), 3600),
        (agent(reset_at=datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=1)))), 3600),
        (agent(reset_at=datetime(2026, 11, 23, 11)), 3600),  # noqa: DTZ001
        (body(resets_at=EPOCH + 48), 48),
        (body(resets_at=(EPOCH + 48) * 1000), 48),
        (body(resetsAt=str(EPOCH + 48)), 48),
        (body(resets_at=EPOCH + 48, resets_in_seconds=50), 48),
        (body(resets_at=True), None),
        (body(resets_at=1e300), None),
        # Headers.
        (headers(retry_after="7"), 7),
        (headers(retry_after=str(EPOCH + 60)), 60),
        (headers(retry_after="1m30s"), 90),
        (headers(retry_after="2026-11-23T10:01:00Z"), 60),
        (headers(x_ratelimit_reset=str((EPOCH + 60) * 1000)), 60),
        (headers(x_ratelimit_reset=str(EPOCH + 60)), 60),
        (headers(x_ratelimit_reset="60"), 60),
        (headers(x_ratelimit_reset_ms="1500"), 1.5),
        (headers(x_ratelimit_reset_after="2.5"), 2.5),
        (headers(x_ratelimit_reset="2026-11-23T10:01:00"), 60),
        (headers(x_ratelimit_reset="Mon, 23 Nov 2026 10:01:00 GMT"), 60),
        (headers(x_ratelimit_reset="soon"), None),
        (headers(x_ratelimit_reset_requests="6m0s", x_ratelimit_reset_tokens="120ms"), 360),
        (headers(x_ratelimit_reset_tokens_day="1d2h"), 93_600),
        # A budget that is whole again later than the next request may come.
        (headers(retry_after="7", x_ratelimit_reset_tokens="6m0s"), 7),
        (
            headers(
                x_ratelimit_remaining_requests="12",
                x_ratelimit_reset_requests="1h",
                x_ratelimit_remaining_tokens="0",
                x_ratelimit_reset_tokens="2m",
            ),
            120,
        ),
        (headers(x_ratelimit_remaining="3", x_ratelimit_reset="60"), None),
        (headers(ratelimit_remaining="0", ratelimit_reset="50"), 50),
        (headers(ratelimit="limit=100, remaining=0, reset=50"), 50),
        (headers(ratelimit="limit=100, remaining=7, reset=50"), None),
        (headers(ratelimit='"burst";r=0;t=30, "day";r=0;t=7200, "week";r=9;t=90000'), 7200),
        (headers(ratelimit='"default";r=5;t=30'), None),
        (agent(headers={"llm_provider-x-ratelimit-reset-tokens": "6m0s"}), 360),
        # A window that is used up, and a delay that is only a minute's.
        (
            headers(
                retry_after="7",
                anthropic_ratelimit_unified_status="rejected",
                anthropic_ratelimit_unified_reset=str(EPOCH + 7200),
            ),
            7200,
        ),
        (
            headers(
                x_codex_primary_used_percent="100",
                x_codex_primary_reset_after_seconds="120",
                x_codex_secondary_used_percent="100",
                x_codex_secondary_reset_after_seconds="9000",
            ),
            9000,
        ),
        # Headers of an answer behind the answer, and other fields.
        (body(metadata={"headers": {"X-RateLimit-Reset": str((EPOCH + 60) * 1000)}}), 60),
        (body(provider_specific_fields={"response_headers": {"Retry-After": "7"}}), 7),
        (body(metadata={"headers": [7]}), None),
        (body(metadata={"retry_after_seconds": 30}), 30),
        (body(retry_after_ms=1500), 1.5),
        (body(details=[{"metadata": {"quotaResetDelay": "8h44m7.5s"}}]), 31_447.5),
        (body(details=[{"metadata": {"quotaResetTimeStamp": "2026-11-23T11:00:00Z"}}]), 3600),
        (body(resets_at="2026-11-23T11:00:00+00:00"), 3600),
        (body(reset_time=EPOCH + 48), 48),
        (headers(retry_after="7.5"), 7.5),
        (headers(retry_after="0"), 0),
        (headers(retry_after_ms="1500", retry_after="2"), 1.5),
        (headers(retry_after="Mon, 23 Nov 2026 10:01:00 GMT"), 60),
        (headers(retry_after="Mon, 23 Nov 2026 12:01:00 +0200"), 60),
        (headers(retry_after="Mon, 23 Nov 2026 10:01:00 -0000"), 60),
        (headers(retry_after="Mon, 23 Nov 99999999999999999999 10:01:00 GMT"), None),
        (headers(retry_after="soon"), None),
        (headers(retry_after="-7"), None),
        (headers(retry_after="soon", anthropic_ratelimit_unified_reset=str(EPOCH + 60)), 60),
        (headers(anthropic_ratelimit_unified_reset=str(EPOCH + 60)), 60),
        (headers(anthropic_ratelimit_unified_reset="9" * 15), None),
        (
            headers(
                anthropic_ratelimit_unified_status="allowed",
                anthropic_ratelimit_unified_reset=str(EPOCH + 60),
            ),
            None,
        ),
        (
            headers(
                anthropic_ratelimit_unified_5h_status="rejected",
                anthropic_ratelimit_unified_5h_reset=str(EPOCH + 90),
                anthropic_ratelimit_unified_7d_status="allowed",
                anthropic_ratelimit_unified_7d_reset=str(EPOCH + 90_000),
            ),
            90,
        ),
        (
            headers(
                anthropic_ratelimit_requests_remaining="5",
                anthropic_ratelimit_requests_reset="2026-11-23T11:00:00Z",
                anthropic_ratelimit_input_tokens_remaining="0",
                anthropic_ratelimit_input_tokens_reset="2026-11-23T10:00:30Z",
                anthropic_ratelimit_output_tokens_remaining="0",
                anthropic_ratelimit_output_tokens_reset="2026-11-23T11:00:40+01:00",
            ),
            40,
        ),
        (headers(anthropic_ratelimit_tokens_reset="2026-11-23T10:00:30Z"), 30),
        (headers(anthropic_ratelimit_tokens_reset="tomorrow"), None),
        (headers(anthropic_ratelimit_tokens_reset="9999-12-31T23:59:59-23:00"), None),
        (headers(x_codex_primary_reset_at=str(EPOCH + 120)), 120),
        (
            headers(
                x_codex_primary_used_percent="100.0",
                x_codex_primary_reset_at=str(EPOCH + 120),
                x_codex_secondary_used_percent="12",
                x_codex_secondary_reset_at=str(EPOCH + 9000),
            ),
            120,
        ),
        (headers(x_codex_primary_used_percent="3", x_codex_primary_reset_at=str(EPOCH + 9)), None),
        (headers(x_codex_primary_used_percent="?", x_codex_primary_reset_at=str(EPOCH + 9)), None),
        # Seconds in fields.
        (agent(retry_after=5.0), 5),
        (agent(retry_after=1e12), None),
        (agent(retry_after=float("nan")), None),
        (agent(retry_after=-5.0), None),
        (body(resets_in_seconds=3600), 3600),
        (body(resets_in_seconds=1e300), None),
        (retry_info("7s"), 7),
        (retry_info("1.5s"), 1.5),
        (retry_info("7"), None),
        (retry_info(7), None),
        (body(details="7s"), None),
        (body(details=[7, {"retryDelay": "7s"}]), None),
        # Text.
        (agent("Please try again in 7s."), 7),
        (agent("try again in 20 minutes"), 1200),
        (agent("try again in 1h30m"), 5400),
        (agent("try again in 6m0s."), 360),
        (agent("try again in 1 hour, 5 minutes and 10 seconds"), 3910),
        (agent("try again in 120ms"), 0.12),
        (agent("Please retry in 19.5s."), 19.5),
        (agent("Suggested retry after 7s."), 7),
        (agent("Try again after 2 days"), 172_800),
        (agent("Retry after in 2m"), 120),
        (agent("try again in 7 sheep"), None),
        (agent("try again in a while"), None),
        (agent("try again in 999999999 days"), None),
        (agent("Claude AI usage limit reached|1795431600"), 3600),
        (agent("Claude AI usage limit reached|1795431600000"), 3600),
        (agent("Claude AI usage limit reached|17954316000"), None),
        (agent("You will regain access on 2026-11-24 at 00:00 UTC."), 14 * 3600),
        (agent("regain access on 2026-11-23 at 12:30 UTC"), 9000),
        (agent("regain access on 2026-13-45 at 00:00 UTC"), None),
        # The day of a cycle's end is over everywhere a day later.
        (agent("when your monthly cycle ends on 12/17/2026"), (23 * 24 + 14) * 3600),
        (agent("when your monthly cycle ends on 11/23/2026"), None),
        (agent("when your monthly cycle ends on 11/17/2025"), None),
        (agent("when your monthly cycle ends on 2/17/2027"), None),
        (agent("when your monthly cycle ends on 17/11/2026"), None),
        (agent("cycle ends on 12/31/9999"), None),
        # Not believed: past, or further away than a month.
        (agent(reset_at=NOW - TOLERANCE), -60),
        (agent(reset_at=NOW - TOLERANCE - timedelta(seconds=1)), None),
        (agent(reset_at=NOW + MAX_WAIT), MAX_WAIT.total_seconds()),
        (agent(reset_at=NOW + MAX_WAIT + timedelta(seconds=1)), None),
        (agent("try again in 7s", reset_at=NOW - timedelta(hours=1)), 7),
        # A field is better than words, but a minute's delay is not about a week's limit.
        (agent("try again in 20 minutes", retry_after=60.0), 60),
        (agent("Weekly limit reached, resets in 4 days", retry_after=60.0), 345_600),
        (
            replace(headers(retry_after="30"), message="You can try again in 2 days 8 hours"),
            201_600,
        ),
        (replace(headers(retry_after="7200"), message="You can try again in 2 days"), 7200),
        (replace(retry_info("38s"), message="GenerateRequestsPerDay"), 22 * 3600),
        (replace(headers(retry_after="38"), message="GenerateRequestsPerDay"), 22 * 3600),
    ],
)
def test_the_reset_time_is_the_first_credible_one(told: Failure, after: float | None) -> None:
    """D1, K2."""
    assert seconds(told) == after


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "now", "at"),
    [
        ("resets 5:10pm (Europe/Paris)", "2026-11-23T10:00", "2026-11-23T16:10"),
        ("resets 5:10pm (Europe/Paris)", "2026-07-01T10:00", "2026-07-01T15:10"),
        ("resets 10am (UTC)", "2026-11-23T09:59", "2026-11-23T10:00"),
        # Just past is now: seconds are left out, and a limit may linger.
        ("resets 10am (UTC)", "2026-11-23T10:01", "2026-11-23T10:01"),
        ("resets 10am (UTC)", "2026-11-23T10:14", "2026-11-23T10:14"),
        ("resets Nov 23, 10am (UTC)", "2026-11-23T10:14", "2026-11-23T10:14"),
        ("resets 10am (UTC)", "2026-11-23T10:15", "2026-11-24T10:00"),
        ("resets 10am", "2026-11-23T08:00", "2026-11-23T10:00"),
        ("resets at 10 am (GMT)", "2026-11-23T08:00", "2026-11-23T10:00"),
        ("resets 12am (UTC)", "2026-11-23T10:00", "2026-11-24T00:00"),
        ("resets 12pm (UTC)", "2026-11-23T10:00", "2026-11-23T12:00"),
        ("resets 12:30am (UTC)", "2026-11-23T00:00", "2026-11-23T00:30"),
        # It is another day there already, or still.
        ("resets 3am (Pacific/Auckland)", "2026-11-23T13:00", "2026-11-23T14:00"),
        ("resets 11pm (America/Anchorage)", "2026-11-23T05:00", "2026-11-23T08:00"),
        ("resets 2:50am (Asia/Kathmandu)", "2026-11-23T20:00", "2026-11-23T21:05"),
        # Over midnight of the new year.
        ("resets 1am (UTC)", "2026-12-31T23:30", "2027-01-01T01:00"),
        # Codex writes in the zone of the sandbox, which is UTC.
        ("try again at 10:00 AM.", "2026-11-23T08:00", "2026-11-23T10:00"),
        ("try again at 1:05 AM.", "2026-11-23T23:00", "2026-11-24T01:05"),
        ("try again at Nov 24th, 2026 10:00 AM.", "2026-11-23T10:00", "2026-11-24T10:00"),
        ("try again at Dec 1st, 2026 12:05 AM.", "2026-11-23T10:00", "2026-12-01T00:05"),
        ("try again at Nov 22nd, 2026 10:00 AM.", "2026-11-23T10:00", None),
        ("try again at Nov 31st, 2026 10:00 AM.", "2026-11-23T10:00", None),
        # A date without a year is the next one.
        ("resets Nov 27, 10:59am (America/New_York)", "2026-11-23T10:00", "2026-11-27T15:59"),
        ("resets Oct 9 at 5pm (Europe/Paris)", "2026-10-05T10:00", "2026-10-09T15:00"),
        ("resets January 3, 9am (UTC)", "2026-12-28T10:00", "2027-01-03T09:00"),
        ("resets Jan 1, 9am (Asia/Tokyo)", "2026-12-31T20:00", "2027-01-01T00:00"),
        ("resets Nov 22, 9am (UTC)", "2026-11-23T10:00", None),
        ("resets Feb 29, 9am (UTC)", "2028-02-20T10:00", "2028-02-29T09:00"),
        ("resets Feb 29, 9am (UTC)", "2026-02-20T10:00", None),
        ("resets Foo 29, 9am (UTC)", "2026-02-20T10:00", None),
        # Paris skips 2:00 to 3:00 on 2026-03-29 and has it twice on 2026-10-25.
        ("resets 2:30am (Europe/Paris)", "2026-03-28T22:00", "2026-03-29T01:30"),
        ("resets 3:30am (Europe/Paris)", "2026-03-28T22:00", "2026-03-29T01:30"),
        ("resets 2:30am (Europe/Paris)", "2026-10-24T22:00", "2026-10-25T00:30"),
        ("resets 2:30am (Europe/Paris)", "2026-10-25T00:45", "2026-10-25T01:30"),
        ("resets 2:30am (Europe/Paris)", "2026-10-25T01:45", "2026-10-26T01:30"),
        ("resets 9am (Europe/Paris)", "2026-10-24T20:00", "2026-10-25T08:00"),
        # Zones and hours that there are not.
        ("resets 9am (Nowhere/Land)", "2026-11-23T10:00", None),
        ("resets 9am (Europe)", "2026-11-23T10:00", None),
        ("resets 9am (/etc/passwd)", "2026-11-23T10:00", None),
        ("resets 19pm (UTC)", "2026-11-23T10:00", None),
        ("resets 0am (UTC)", "2026-11-23T10:00", None),
        ("resets 9:75am (UTC)", "2026-11-23T10:00", None),
        ("try again at Dec 31st, 9999 11:00 PM.", "2026-11-23T10:00", None),
        ("resets Dec 31, 9999 11pm (America/New_York)", "2026-11-23T10:00", None),
        # Google counts days in California.
        (
            "You have exhausted your daily quota on this model.",
            "2026-11-23T10:00",
            "2026-11-24T08:00",
        ),
        (
            "You have exhausted your daily quota on this model.",
            "2026-11-23T07:59",
            "2026-11-23T08:00",
        ),
        (
            "You have exhausted your daily quota on this model.",
            "2026-07-01T10:00",
            "2026-07-02T07:00",
        ),
        ("GenerateRequestsPerDay. Please retry in 38s.", "2026-11-23T10:00", "2026-11-24T08:00"),
    ],
)
def test_a_wall_clock_is_the_next_that_its_zone_shows(said: str, now: str, at: str | None) -> None:
    """K2: over midnight, the new year, and both changes of the clocks."""
    assert classify([agent(said)], utc(now)).retry_at == (at and utc(at))


def test_days_of_california_are_known_without_a_time_zone_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a small base image: an hour late in summer, and UTC needs none."""
    monkeypatch.setattr("agent_runner.classify.zones.ZoneInfo", _no_zone)
    assert seconds(agent("daily quota on this model")) == 22 * 3600
    assert seconds(agent("resets 11am (UTC)")) == 3600
    assert seconds(agent("resets 11am (Europe/Paris)")) is None


def _no_zone(name: str) -> object:
    raise FileNotFoundError(name)


# --- properties --------------------------------------------------------------------------------

PIECES = """
resets |try again |in |at |am|pm|10:30|99|(Europe/Paris)|(UTC)|Nov 24th, 2026 |Feb 29, |retry in |7s|1h
|cycle ends on |2/30/2027|regain access on 2026-11-24 at 25:00 UTC|PerDay|{|usage limit reached|1795431600
"""
FRAGMENTS = st.sampled_from([*(m.failure.message for m in corpus()), "|", *PIECES.split("|")])
TEXTS = st.lists(FRAGMENTS | st.text(max_size=12), max_size=6).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["error", "message", "type", "code", "status", "resets_at", "resets_in_seconds",
             "details", "@type", "retryDelay"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=8,
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after",
            "retry-after-ms",
            "anthropic-ratelimit-unified-reset",
            "anthropic-ratelimit-unified-status",
            "anthropic-ratelimit-tokens-reset",
            "anthropic-ratelimit-tokens-remaining",
            "x-codex-primary-reset-at",
            "x-codex-primary-used-percent",
            "x-ratelimit-reset",
            "x-ratelimit-reset-tokens",
            "ratelimit",
        ]
    ),
    st.text(max_size=30)
    | st.integers(0, 2 * 10**13).map(str)
    | st.datetimes().map(lambda d: f"{d:%a, %d %b} {d.year:04} {d:%H:%M:%S} GMT")
    | st.datetimes().map(lambda d: d.isoformat() + "+23:59"),
)
FAILURES = st.builds(
    Failure,
    source=st.sampled_from(["gateway", "agent"]),
    message=TEXTS | JSON.map(json.dumps),
    provider=st.none() | st.just("anthropic"),
    status=st.none() | st.sampled_from([200, 400, 401, 402, 408, 429, 503]) | st.integers(),
    type=st.none() | TEXTS,
    code=st.none() | st.sampled_from(["usage_limit_reached", "rate_limit", "billing_error"]),
    headers=HEADERS,
    retry_after=st.none() | st.floats(),
    reset_at=st.none()
    | st.datetimes(timezones=st.none() | st.sampled_from([UTC, timezone(timedelta(hours=-23))])),
    interrupted=st.booleans(),
    body=st.just("") | JSON.map(json.dumps) | TEXTS,
)
NOWS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.lists(FAILURES, max_size=3), NOWS)
@settings(max_examples=100, deadline=None)
def test_any_failure_is_classified_with_a_reset_time_within_bounds(
    failures: list[Failure], now: datetime
) -> None:
    """K2."""
    verdict = classify(failures, now)
    assert verdict.message
    assert len(verdict.message) <= MAX_MESSAGE
    assert verdict.message.isprintable()
    if verdict.retry_at is not None:
        assert verdict.retry_at.tzinfo is UTC
        assert now - TOLERANCE <= verdict.retry_at <= now + MAX_WAIT
