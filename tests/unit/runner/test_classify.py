"""Provider errors to pause reasons: one file of the corpus a message."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_runner.agents.protocol import Failure
from agent_runner.classify import classify
from agent_runner.models import PauseReason
from agent_runner.steps import wait_in_place

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
CORPUS = sorted((Path(__file__).parents[2] / "data" / "limits").glob("*.json"))


def failure(path: Path) -> Failure:
    return Failure(**{"source": "agent", **json.loads(path.read_text())})


def agent(message: str, **fields: object) -> Failure:
    return replace(Failure("agent", message), **fields)


def reset(found: Failure) -> float | None:
    at = classify([found], NOW).retry_at
    return (at - NOW).total_seconds() if at else None


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_each_observed_message_has_its_reason_and_its_time(path: Path) -> None:
    """D1, D8, facts/agents.md section 6."""
    _, expected, *after = path.stem.split("--")
    verdict = classify([failure(path)], NOW)
    assert (verdict.reason or "fatal") == expected
    assert verdict.transient is (expected in {"transient", "rate_limit"})
    wanted = NOW + timedelta(seconds=int(after[0])) if after else None
    assert verdict.retry_at == wanted


def test_the_gateway_is_believed_before_the_agent() -> None:
    """DESIGN 7: evidence in this order."""
    seen = Failure("gateway", "credit balance is too low", provider="anthropic", status=400)
    verdict = classify([agent("Overloaded", status=529), seen], NOW)
    assert (verdict.reason, verdict.provider) == (PauseReason.CREDITS, "anthropic")


def test_the_agent_is_asked_where_the_gateway_s_answer_says_nothing() -> None:
    seen = Failure("gateway", "bad", provider="anthropic", status=404)
    verdict = classify([seen, agent("Credit balance is too low", code="billing_error")], NOW)
    assert (verdict.reason, verdict.provider) == (PauseReason.CREDITS, "anthropic")


def test_no_failure_and_an_unknown_one_are_fatal() -> None:
    """D2."""
    assert classify([], NOW).reason is None
    assert classify([agent("I could not find the file")], NOW).reason is None


def test_our_own_signal_is_an_interruption() -> None:
    """D8."""
    verdict = classify([agent("rate limit reached", interrupted=True)], NOW)
    assert verdict.reason is PauseReason.INTERRUPTED


def test_a_step_time_out_text_is_not_retryable_but_a_connection_s_is() -> None:
    """D4."""
    assert classify([agent("step timeout after 1800s")], NOW).reason is None
    assert classify([agent("connection timed out")], NOW).transient


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        (agent("x", status=429, headers={"retry-after-ms": "1500"}), 1.5),
        (agent("x", status=429, headers={"retry-after": "Mon, 23 Nov 2026 10:01:00 GMT"}), 60),
        (agent("x", status=429, headers={"retry-after": "soon"}), None),
        (agent("x", status=429, headers={"anthropic-ratelimit-unified-reset": "1795428060"}), 60),
        (agent("x", status=429, headers={"x-codex-primary-reset-at": "1795428120"}), 120),
        (
            agent(
                "x",
                status=429,
                headers={
                    "anthropic-ratelimit-requests-remaining": "5",
                    "anthropic-ratelimit-requests-reset": "2026-11-23T11:00:00Z",
                    "anthropic-ratelimit-tokens-remaining": "0",
                    "anthropic-ratelimit-tokens-reset": "2026-11-23T10:00:30Z",
                },
            ),
            30,
        ),
        (agent("x", status=429, retry_after=5.0), 5),
        (agent("x", status=429, reset_at=NOW + timedelta(hours=1), retry_after=5.0), 3600),
        (agent("x", status=429, retry_after=1e12), None),
        (agent("x", status=429, reset_at=NOW - timedelta(hours=1)), None),
        (agent("x", status=429, reset_at=NOW + timedelta(days=400)), None),
        (agent("x", status=429, headers={"anthropic-ratelimit-unified-reset": "9" * 15}), None),
        (agent("retry in 2m", status=429), 120),
        (agent("resets 9am (UTC)", status=429), 23 * 3600),
        (agent("resets 12am (UTC)", status=429), 14 * 3600),
        (agent("resets 9am (Nowhere/Land)", status=429), None),
        (agent("resets 19pm (UTC)", status=429), 9 * 3600),
        (agent("resets 9:75am (UTC)", status=429), None),
        (agent("regain access on 2026-13-45 at 00:00 UTC", status=429), None),
    ],
)
def test_the_reset_time_is_the_first_that_is_told_and_credible(
    found: Failure, seconds: float | None
) -> None:
    """K2."""
    assert reset(found) == seconds


def test_auth_and_credits_have_no_date() -> None:
    """D9."""
    assert reset(agent("no", status=401, retry_after=5.0)) is None
    assert reset(agent("no", status=402, retry_after=5.0)) is None


def test_a_message_is_one_bounded_line_without_keys() -> None:
    """DESIGN 12.4."""
    text = "bad\n\x1b[31mkey sk-ant-REDACTED " + "x" * 900
    message = classify([agent(text, status=401)], NOW).message
    assert message.startswith("bad [31mkey [key] xxx")
    assert len(message) == 500
    assert classify([agent("", status=503)], NOW).message == "it failed with status 503"


def test_short_waits_are_made_in_place_and_long_ones_are_pauses() -> None:
    """D5."""
    limited = classify([agent("x", status=429, retry_after=30.0)], NOW)
    assert wait_in_place(limited, 10, 60, NOW) == 30
    assert wait_in_place(limited, 40, 60, NOW) == 40
    assert wait_in_place(limited, 10, 20, NOW) is None
    assert wait_in_place(limited, None, 60, NOW) is None
    assert wait_in_place(classify([agent("x", status=500)], NOW), 10, 60, NOW) == 10
    assert wait_in_place(classify([agent("x", status=402)], NOW), 10, 60, NOW) is None
