"""How full an account's windows are, from the headers of an answer; the clock stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rover_mcp.domain.usage_window import WindowState
from rover_mcp.gateway.window_headers import MOST, Window, windows_of

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
OPEN, NEARLY, CLOSED = WindowState
U = "anthropic-ratelimit-unified-"
X = "x-codex-"
AT_MIDNIGHT = str(int((NOW + timedelta(hours=4)).timestamp()))
ON_FRIDAY = str(int((NOW + timedelta(days=4)).timestamp()))
MIDNIGHT, FRIDAY = NOW + timedelta(hours=4), NOW + timedelta(days=4)


def told(headers: dict[str, str]) -> list[Window]:
    return windows_of(headers, NOW)


def test_anthropic_tells_a_share_and_a_status_of_each_window() -> None:
    """Q3."""
    assert told({
        f"{U}status": "allowed_warning", f"{U}reset": AT_MIDNIGHT,
        f"{U}representative-claim": "five_hour",
        f"{U}5h-status": "allowed_warning", f"{U}5h-utilization": "0.92", f"{U}5h-reset": AT_MIDNIGHT,
        f"{U}7d-status": "allowed", f"{U}7d-utilization": "0.83", f"{U}7d-reset": ON_FRIDAY,
        f"{U}overage-status": "rejected", f"{U}overage-disabled-reason": "org_level_disabled",
        f"{U}grace-5h-utilization": "0.5",
    }) == [
        Window("5-hour window", NEARLY, 0.92, MIDNIGHT),
        Window("7-day window", OPEN, 0.83, FRIDAY),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "window"),
    [
        (
            {f"{U}status": "rejected", f"{U}representative-claim": "seven_day_opus",
             f"{U}reset": ON_FRIDAY},
            Window("7-day window of opus", CLOSED, None, FRIDAY),
        ),
        (
            {f"{U}status": "rejected", f"{U}representative-claim": "seven_day_overage_included"},
            Window("7-day window of models with extra usage", CLOSED),
        ),
        ({f"{U}7d_sonnet-utilization": "0.4"}, Window("7-day window of sonnet", OPEN, 0.4)),
        ({f"{U}5h-utilization": "0.8300000000000001"}, Window("5-hour window", OPEN, 0.83)),
        ({f"{U}5h-utilization": "1.02"}, Window("5-hour window", CLOSED, 1.0)),
        (
            {f"{X}primary-used-percent": "100.0", f"{X}primary-window-minutes": "300",
             f"{X}primary-reset-at": AT_MIDNIGHT},
            Window("5-hour window", CLOSED, 1.0, MIDNIGHT),
        ),
        (
            {f"{X}secondary-used-percent": "83", f"{X}secondary-window-minutes": "10080",
             f"{X}secondary-reset-after-seconds": str(4 * 86_400)},
            Window("7-day window", OPEN, 0.83, FRIDAY),
        ),
        ({f"{X}primary-used-percent": "95"}, Window("primary window", NEARLY, 0.95)),
        ({f"{X}primary-used-percent": "1", f"{X}primary-window-minutes": "90"},
         Window("90-minute window", OPEN, 0.01)),
        ({f"{X}spark-primary-used-percent": "50", f"{X}spark-primary-window-minutes": "1440",
          f"{X}spark-limit-name": "GPT-5.3-Codex-Spark"},
         Window("1-day window of GPT-5.3-Codex-Spark", OPEN, 0.5)),
        ({"x-ratelimit-limit-requests": "200", "x-ratelimit-remaining-requests": "20",
          "x-ratelimit-reset-requests": "4h0m0s"},
         Window("window of requests", OPEN, 0.9, MIDNIGHT)),
    ],
)  # fmt: skip
def test_each_provider_tells_its_windows_in_its_own_way(
    headers: dict[str, str], window: Window
) -> None:
    """Q3."""
    [found] = told(headers)
    assert (found.name, found.state, found.opens) == (window.name, window.state, window.opens)
    assert found.used == pytest.approx(window.used) if window.used is not None else not found.used
    routed = {f"llm_provider-{name}": value for name, value in headers.items()}
    assert told(routed) == [found]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {f"{U}status": "allowed"},
        {f"{U}status": "allowed", f"{U}representative-claim": "\x1b[31mfive_hour"},
        {f"{U}5h-utilization": "9e99"},
        {f"{U}5h-utilization": "-1"},
        {f"{U}5h-utilization": "17"},
        {f"{U}5h-status": "perhaps"},
        {f"{U}5h-reset": AT_MIDNIGHT},
        {f"{U}overage-utilization": "0.5"},
        {f"{X}primary-used-percent": "nan"},
        {f"{X}primary-used-percent": "0", f"{X}primary-window-minutes": "0"},
        # Budgets of a minute are no windows.
        {"x-ratelimit-limit-requests": "200", "x-ratelimit-remaining-requests": "20",
         "x-ratelimit-reset-requests": "8.64s"},
        {"x-ratelimit-remaining-requests": "20", "x-ratelimit-reset-requests": "4h"},
        {"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0",
         "x-ratelimit-reset-tokens": "4h"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_tells_nothing(headers: dict[str, str]) -> None:
    """What others wrote is parsed within limits."""
    assert told(headers) == []


@pytest.mark.parametrize("reset", ["0", "1", "99999999999999", "soon", "-5", AT_MIDNIGHT + "0" * 9])
def test_a_time_that_cannot_be_meant_is_not_taken(reset: str) -> None:
    """Nor one that has passed."""
    assert told({f"{U}5h-utilization": "0.5", f"{U}5h-reset": reset})[0].opens is None


def test_a_name_of_the_providers_own_is_bounded() -> None:
    """What others wrote is parsed within limits."""
    for name in ("\x1b[2Jx", "x" * 41, "", "a\nb"):
        headers = {f"{X}a-primary-used-percent": "5", f"{X}a-limit-name": name}
        assert [w.name for w in told(headers)] == ["primary window"]
    many = {f"{X}n{i}-primary-used-percent": "5" for i in range(50)}
    assert len(told(many)) == MOST


NAMES = st.sampled_from(
    [f"{U}{n}" for n in ("status", "reset", "representative-claim", "5h-status", "7d-utilization",
                         "5h-reset", "7d_opus-status")]
    + [f"{X}{n}" for n in ("primary-used-percent", "primary-window-minutes", "primary-reset-at",
                           "a-secondary-used-percent", "a-limit-name")]
    + [f"x-ratelimit-{n}-requests" for n in ("limit", "remaining", "reset")]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=30), st.integers().map(str), st.floats().map(str),
    st.sampled_from(["allowed", "allowed_warning", "rejected", "five_hour", AT_MIDNIGHT, "1", "0"]),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(NAMES, VALUES))
def test_nothing_that_a_provider_says_breaks_the_reading(headers: dict[str, str]) -> None:
    """What others wrote is parsed within limits."""
    for window in told(headers):
        assert window.name.isascii()
        assert window.name.isprintable()
        assert window.used is None or 0 <= window.used <= 1
        assert window.opens is None or window.opens > NOW
