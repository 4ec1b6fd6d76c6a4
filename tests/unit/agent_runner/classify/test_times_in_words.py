"""Times in words: every form that providers and agents use, in every zone; the clock stands still."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runner.classify.verdict import classify
from agent_runner.models import Failure
from tests.limits import NOW  # Monday, 10:00 UTC


def retry_at(said: str, provider: str | None = None, code: str | None = None) -> datetime | None:
    failure = Failure("agent", said, provider=provider, status=429, code=code)
    return classify([failure], NOW).retry_at


def moment(told: float | str | None) -> datetime | None:
    if isinstance(told, str):
        return datetime.fromisoformat(told).replace(tzinfo=UTC)
    return None if told is None else NOW + timedelta(seconds=told)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Monthly usage limit reached. It will reset in 2 days 8 hours", 201600),
        ("Your quota will reset after 8h44m7s.", 31447),
        ("resets in 1d 2h", 93600),
        ("Please try again in about an hour.", 3600),
        ("try again in 45 minutes", 2700),
        ("Please wait 30 seconds before retrying.", 30),
        ("Please wait for 2 minutes and try again", 120),
        ("In 45 minutes you can try again.", 2700),
        ("2h 15m until reset", 8100),
        ("Retry-After: 60", 60),
        ("Please retry after 60.", 60),
        ("Please retry after 86400 seconds. Please contact", 86400),
        ("retry_after_ms: 1500", 1.5),
        ("rate limit resets in 120ms", 0.12),
        ("You can try again in 1 day, 2:15:30.", 94530),
        ("limit reached, next reset in 3 hrs", 10800),
        ("Try again in 1 week", 604800),
        ("Limit will reset 3 hours from now", 10800),
        ("Your limit resets on April 20, 2026 at 2:00 AM", None),
        ("Your limit resets on November 30, 2026 at 2:00 AM", "2026-11-30T02:00"),
        ("reset on 30 Nov 2026 02:00", "2026-11-30T02:00"),
        ("reset at 30-Nov-2026 02:00 UTC", "2026-11-30T02:00"),
        ("resets Nov 30 at 7pm", "2026-11-30T19:00"),
        ("resets Nov 30, 7pm (America/New_York)", "2026-12-01T00:00"),
        ("try again at 8:19 PM on Dec 5th, 2026", "2026-12-05T20:19"),
        ("try again at 2026-11-24T03:04:05Z", "2026-11-24T03:04:05"),
        ("try again at 2026-11-24T03:04:05.123+08:00.", "2026-11-23T19:04:05"),
        ("resets at 2026-11-24 03:04:05 +0800", "2026-11-23T19:04:05"),
        ("resets at 2026-11-24 03:04 (UTC+8)", "2026-11-23T19:04"),
        ("resets at 2026/11/24 03:04", "2026-11-24T03:04"),
        ("resets Tuesday at 9:00 AM", "2026-11-24T09:00"),
        ("resets on Monday", "2026-11-30T00:00"),
        ("resets Mon 9am", "2026-11-30T09:00"),
        ("resets Mon 11am", "2026-11-23T11:00"),
        ("available again tomorrow at 9am PT", "2026-11-24T17:00"),
        ("resets tomorrow", "2026-11-24T00:00"),
        ("Resets at midnight UTC", "2026-11-24T00:00"),
        ("Resets at midnight Pacific Time", "2026-11-24T08:00"),
        ("your quota resets at the end of the month", "2026-12-01T00:00"),
        ("your quota resets next month", "2026-12-01T00:00"),
        ("your quota renews on the 1st", "2026-12-01T00:00"),
        ("will be reset on the 1st of each month", "2026-12-01T00:00"),
        ("will be reset on the first day of next month", "2026-12-01T00:00"),
        ("resets at the start of the next calendar month", "2026-12-01T00:00"),
        ("Access resets at 2:55 PM PST.", "2026-11-23T22:55"),
        ("Access resets at 2:55\u202fPM PST.", "2026-11-23T22:55"),
        ("Access resets at 10:57 PM GMT-3.", "2026-11-24T01:57"),
        ("Access resets at 10:57 PM GMT+5:30.", "2026-11-23T17:27"),
        ("Access resets at 9:30 PM JST.", "2026-11-23T12:30"),
        ("Access resets at 9:30 PM CET.", "2026-11-23T20:30"),
        ("resets 9 p.m. (Europe/Paris)", "2026-11-23T20:00"),
        ("您的限额将在 2026-11-24 03:04:05 重置", "2026-11-23T19:04:05"),
        ("已达到 5 小时的使用上限。您的限额将在 2026-11-24 03:04:05 重置。", "2026-11-23T19:04:05"),
        ("请求过于频繁，请30秒后再试", 30),
        ("请 5 分钟后重试", 300),
        ("额度将于 2026年11月24日 03:04 恢复", "2026-11-23T19:04"),
        ("额度将在2天8小时后重置", 201600),
        ("本周额度已用完，将于下周一 00:00 重置", "2026-11-29T16:00"),
        ("限额将于明天 08:00 重置", "2026-11-24T00:00"),
        (
            "[1310][Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-11-30 07:49:08]",
            "2026-11-29T23:49:08",
        ),
        (
            "You've reached your weekly (7-day) usage limit. Your quota will reset when the current 7-day window ends.",
            None,
        ),
        ("Limit resets every 5 hours.", None),
        ("5-hour limit reached ∙ resets 2am", "2026-11-24T02:00"),
        ("reset_at: 1795431600", 3600),
        (
            "Rate limit reached on tokens per day (TPD): Limit 100000, Used 99952, Requested 4500. Please try again in 1h2m49.728s.",
            3769.728,
        ),
        ("Please try again later.", None),
        ("in a moment try again", None),
        ("please retry in a few minutes", None),
        ("resets at 23:30", "2026-11-23T23:30"),
        ("resets 2am (in 16 hours)", 57600),
        ("Rate limit exceeded, please wait 2m 30s", 150),
        (
            "You've hit your limit. Please wait for your limit to reset in 43 hours 12 minutes",
            155520,
        ),
        ("Too many requests; available in 90 s", 90),
        ("Retry in PT1H30M", 5400),
        ("try again after 3:30 PM", "2026-11-23T15:30"),
        ("resets at 12:00 AM ET", "2026-11-24T05:00"),
        ("until Tue, 24 Nov 2026 10:01:00 GMT", "2026-11-24T10:01"),
        ("Next reset: 2026-11-24", "2026-11-24T00:00"),
        ("Your credits will be refreshed on 12/1/2026", "2026-12-01T00:00"),
        ("Your weekly limit resets in 3 days. 5h limit resets in 1 hour", 259200),
        (
            "Please retry in 38s. Your daily limit resets at midnight Pacific time",
            "2026-11-24T08:00",
        ),
        ("quota will reset at noon tomorrow", "2026-11-24T12:00"),
        ("resets at 6 PM tomorrow (CST)", "2026-11-25T00:00"),
        ("on November 30 your limit resets", "2026-11-30T00:00"),
        ("Rate limit hit (resets in: 3m20s)", 200),
        ("Requests to the API under version 2023-05-15 have exceeded. Try again later", None),
        ("retry attempt 3 of 5 failed after 20 s", None),
        ("Your limit resets at 3pm China Standard Time", "2026-11-24T07:00"),
        ("Your limit resets at 8pm Beijing time", "2026-11-23T12:00"),
        ("limit will reset in half an hour", 1800),
        ("wait until 11:30 UTC", 5400),
        ("resets 10:05", 300),
        ("resets 9:50am", 0),
        ("resets 9:40am", "2026-11-24T09:40"),
        ("You can use it again in 2 hours", 7200),
        ("Usage will be available from December 1st", "2026-12-01T00:00"),
        ("The limit lifts at 5pm", "2026-11-23T17:00"),
        ("It resets at 2026-11-24 03:04:05 UTC+08:00", "2026-11-23T19:04:05"),
        ("Retry at Nov 24, 2026, 3:00 AM", "2026-11-24T03:00"),
        ("Retry after: 2026-11-24T03:00:00+00:00", "2026-11-24T03:00"),
        ("Your plan renews Dec 3", "2026-12-03T00:00"),
        ("Cooldown: 300s", 300),
        ("Reset time: 11/24/2026 3:00 AM", "2026-11-24T03:00"),
        ("Resets in 0 days 3 hours 20 minutes", 12000),
        ("next window opens in 20m", 1200),
        ("Limit expires in 20m", 1200),
    ],
)
def test_a_time_is_read_where_a_sentence_says_when_to_come_back(
    said: str, told: float | str | None
) -> None:
    """Q2."""
    assert retry_at(said) == moment(told)


@pytest.mark.parametrize(
    ("said", "provider", "code", "told"),
    [
        # Google counts its days in California, Z.ai and its neighbours write Beijing's time.
        ("Daily limit resets at midnight.", "google", None, "2026-11-24T08:00"),
        ("Your limit will reset at 2026-11-24 05:38:28", "anthropic", "1308", "2026-11-23T21:38:28"),
        ("[1310][Your limit will reset at 2026-11-24 05:38:28]", None, None, "2026-11-23T21:38:28"),
        ("Resets at 20:00. See https://help.aliyun.com/zh", "openai", None, "2026-11-23T12:00"),
        ("kimi: your limit resets at 8 PM CST", "openai", None, "2026-11-23T12:00"),
        ("Your limit will reset at 2026-11-24 05:38:28", "openai", "1300", "2026-11-24T05:38:28"),
        ("2026年11月24日 3:00にリセット", "openai", None, "2026-11-24T03:00"),
        ("kimi: your limit resets at 8 PM UTC", "openai", None, "2026-11-23T20:00"),
        (
            "Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Gemini 2.5 Pro"
            " Requests per day per user per tier' of service 'cloudcode-pa.googleapis.com' for",
            "google", None, "2026-11-24T08:00",
        ),
    ],
)  # fmt: skip
def test_a_time_without_a_zone_is_of_the_providers_own(
    said: str, provider: str, code: str | None, told: str
) -> None:
    """Q2."""
    assert retry_at(said, provider, code) == moment(told)


# --- properties --------------------------------------------------------------------------------

ZONES = {
    "(UTC)": UTC,
    "UTC": UTC,
    "(Asia/Kolkata)": ZoneInfo("Asia/Kolkata"),
    "(America/New_York)": ZoneInfo("America/New_York"),
    "PT": ZoneInfo("America/Los_Angeles"),
    "Pacific Time": ZoneInfo("America/Los_Angeles"),
    "GMT-3": ZoneInfo("Etc/GMT+3"),
    "(UTC+08:00)": ZoneInfo("Etc/GMT-8"),
    "JST": ZoneInfo("Asia/Tokyo"),
    "EST": ZoneInfo("Etc/GMT+5"),
    "China Standard Time": ZoneInfo("Asia/Shanghai"),
}
DATES: list[Callable[[datetime], str]] = [
    lambda d: f"{d:%Y-%m-%d}",
    lambda d: f"{d:%Y/%m/%d}",
    lambda d: f"{d:%B} {d.day}, {d.year}",
    lambda d: f"{d:%b} {d.day}",
    lambda d: f"{d.day} {d:%b %Y}",
    lambda d: f"{d:%b} {d.day}{_th(d.day)}, {d.year}",
    lambda d: f"{d.month}/{d.day}/{d.year}",
    lambda d: f"{d:%A}, {d:%B} {d.day}",
    lambda d: f"{d.year}年{d.month}月{d.day}日",
]
CLOCKS: list[Callable[[datetime], str]] = [
    lambda d: f"{d:%H:%M}",
    lambda d: f"{d:%H:%M:00}",
    lambda d: f"{d.hour % 12 or 12}:{d:%M} {d:%p}",
    lambda d: f"{d.hour % 12 or 12}:{d:%M}{d:%p}".lower(),
    lambda d: f"{d.hour % 12 or 12}:{d:%M}\u202f{d:%p}",
]
CUES = (
    "Your limit will reset at {}.",
    "resets {}",
    "Upgrade to Pro (https://x.ai/a?b=c), or try again at {}.",
    "Usage limit reached for x.\nAccess resets at {}.",
    "You can use it again on {}",
    "Limit 50, used 50. Please retry after {}. See https://docs.example.com",
)
MOMENTS = st.integers(20, 39 * 24 * 60).map(lambda m: NOW + timedelta(minutes=m))


def _th(day: int) -> str:
    return "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


@given(
    MOMENTS,
    st.sampled_from(sorted(ZONES)),
    st.sampled_from(DATES),
    st.sampled_from(CLOCKS),
    st.sampled_from(CUES),
    st.sampled_from(["{0} {1} {2}", "{0} at {1} {2}", "{0}, {1} {2}", "{1} {2} on {0}"]),
)
@settings(max_examples=150, deadline=None)
def test_a_moment_comes_back_from_every_form_that_it_is_written_in(
    at: datetime,
    zone: str,
    date: Callable[[datetime], str],
    clock: Callable[[datetime], str],
    cue: str,
    order: str,
) -> None:
    """Q2."""
    local = at.astimezone(ZONES[zone])
    said = cue.format(order.format(date(local), clock(local), zone))
    assert retry_at(said) == at, said


@given(st.integers(16, 23 * 60 + 44), st.sampled_from(sorted(ZONES)), st.sampled_from(CLOCKS))
@settings(max_examples=50, deadline=None)
def test_a_wall_clock_alone_is_within_a_day(
    minutes: int, zone: str, clock: Callable[[datetime], str]
) -> None:
    """Q2."""
    at = NOW + timedelta(minutes=minutes)
    assert retry_at(f"resets {clock(at.astimezone(ZONES[zone]))} {zone}") == at


@given(
    st.integers(1, 39 * 86_400),
    st.sampled_from([" ", ", ", ""]),
    st.sampled_from([("d", "h", "m", "s"), (" days", " hours", " minutes", " seconds"),
                     ("天", "小时", "分钟", "秒"), (" d", " hrs", " mins", " secs")]),
    st.sampled_from(["try again in {}", "Your quota will reset after {}.", "Please wait {}",
                     "resets in about {}", "{}后重试", "Retry after: {}", "in {} you can retry"]),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_length_of_time_comes_back_from_every_spelling(
    length: int, joint: str, units: tuple[str, ...], cue: str
) -> None:
    """Q2."""
    minutes, seconds = divmod(length, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{n}{u}" for n, u in zip((days, hours, minutes, seconds), units, strict=True) if n]
    said = cue.format(joint.join(parts))
    assert retry_at(said) == NOW + timedelta(seconds=length), said


@given(st.text(alphabet="0123456789:/-. apmresty()天后日月年重置in,", max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_text_is_slow_or_raises(text: str) -> None:
    """Q2."""
    retry_at(f"reset {text} reset")
