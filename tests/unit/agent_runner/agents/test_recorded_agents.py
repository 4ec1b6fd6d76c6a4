"""What gemini, qwen and copilot print, read by pure folds. Each line
was recorded from the real CLI against a fake provider; tests/matrix drives them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.agents import copilot, gemini, qwen
from agent_runner.agents.headless import EventStream, parse_line
from agent_runner.agents.settings_file import merged
from agent_runner.classify.verdict import classify
from agent_runner.models import PauseReason, Usage

RECORDED = Path(__file__).parent / "recorded"
NOW = datetime(2026, 11, 25, 21, 32, tzinfo=UTC)
READINGS: dict[str, Callable[[], EventStream]] = {
    "gemini": gemini.GeminiStream,
    "qwen": qwen.QwenStream,
    "copilot": lambda: copilot.CopilotStream("openai", session_id="s"),
}
WINDOW_END = datetime(2026, 11, 26, 0, 33, 32, tzinfo=UTC)


def read(
    agent: str, recording: str, reading: EventStream | None = None
) -> tuple[EventStream, list[str]]:
    """The fold over a recording, and what people saw of it."""
    reading = reading or READINGS[agent]()
    lines: list[str] = []
    for line in (RECORDED / agent / f"{recording}.jsonl").read_text().splitlines():
        event = parse_line(line)
        assert event is not None
        lines += reading.take(event)
    return reading, lines


@pytest.mark.parametrize("agent", READINGS)
def test_a_run_that_writes_a_file_succeeds(agent: str) -> None:
    reading, lines = read(agent, "success")
    assert reading.ended
    assert reading.succeeded
    assert reading.text == "All done."
    assert reading.session_id
    assert any("hello.txt" in line for line in lines)
    assert "All done." in lines


@pytest.mark.parametrize("agent", ["gemini", "qwen"])
def test_tokens_are_counted_and_what_a_cache_held_is_counted_apart(agent: str) -> None:
    reading, _ = read(agent, "success")
    assert reading.usage == Usage(input_tokens=200, output_tokens=50, cache_read_tokens=40)


def test_a_resumed_run_of_qwen_counts_its_own_tokens_only() -> None:
    """Its result counts the whole session."""
    reading, _ = read("qwen", "success_resumed", qwen.QwenStream(resumed=True))
    assert reading.usage == Usage(input_tokens=100, output_tokens=25, cache_read_tokens=20)


def test_copilots_tokens_are_in_its_sessions_own_file() -> None:
    record = (
        '{"type":"session.usage_record","data":{"usage":{"inputTokens":120,"outputTokens":25,'
        '"cacheReadTokens":20,"cacheWriteTokens":0}}}'
    )
    run = ['{"type":"session.start"}', record, record, "torn {"]
    assert copilot.stored_usage(run) == Usage(
        input_tokens=200, output_tokens=50, cache_read_tokens=40
    )
    again = copilot.stored_usage([*run, '{"type":"session.resume"}', record])
    assert again.output_tokens == 25


@pytest.mark.parametrize(
    ("agent", "recording", "code", "status", "reason", "retry_at"),
    [
        ("gemini", "rate_limit", 173, 429, PauseReason.RATE_LIMIT, NOW.replace(second=7)),
        ("gemini", "credit", 173, 429, PauseReason.CREDITS, None),
        ("gemini", "overloaded", 247, 503, PauseReason.TRANSIENT, None),
        ("gemini", "server_error", 244, 500, PauseReason.TRANSIENT, None),
        ("gemini", "auth", 144, 400, PauseReason.AUTH, None),
        ("gemini", "late_credit", 173, 429, PauseReason.CREDITS, None),
        ("copilot", "rate_limit", 1, 429, PauseReason.RATE_LIMIT, NOW.replace(second=7)),
        ("copilot", "credit", 1, 429, PauseReason.CREDITS, None),
        ("copilot", "usage_window", 1, 429, PauseReason.USAGE_WINDOW, WINDOW_END),
        ("copilot", "overloaded", 1, 503, PauseReason.TRANSIENT, None),
        ("copilot", "auth", 1, 401, PauseReason.AUTH, None),
        ("copilot", "late_credit", 1, 429, PauseReason.CREDITS, None),
        ("qwen", "rate_limit", 1, None, PauseReason.RATE_LIMIT, NOW.replace(second=7)),
        ("qwen", "overloaded", 1, None, PauseReason.TRANSIENT, None),
        ("qwen", "auth", 1, None, PauseReason.AUTH, None),
        ("qwen", "late_credit", 1, None, PauseReason.CREDITS, None),
    ],
)
def test_a_providers_refusal_is_read_from_fields(
    agent: str,
    recording: str,
    code: int,
    status: int | None,
    reason: PauseReason,
    retry_at: datetime | None,
) -> None:
    """D1, D3: the pause that follows, with the time where the provider told one."""
    reading, _ = read(agent, recording)
    assert not reading.succeeded
    failure = reading.failure(code, [])
    assert failure.status == status
    verdict = classify([failure], NOW)
    assert verdict.reason == reason
    assert verdict.retry_at == retry_at


def test_geminis_daily_quota_is_a_closed_window() -> None:
    reading, _ = read("gemini", "usage_window")
    verdict = classify([reading.failure(173, [])], NOW)
    assert verdict.reason == PauseReason.USAGE_WINDOW
    assert verdict.retry_at is not None


@pytest.mark.parametrize("agent", READINGS)
def test_a_session_that_is_gone_is_known_by_what_it_says(agent: str) -> None:
    told = (RECORDED / agent / "lost.stderr").read_text().splitlines()
    reading = READINGS[agent]()
    assert reading.session_is_lost(told)
    assert not reading.session_is_lost(["something else"])
    assert "session" in reading.failure(42, told).message.lower()


@pytest.mark.parametrize("agent", READINGS)
def test_a_run_that_ends_without_a_result_was_interrupted(agent: str) -> None:
    """Exit status 0 too: gemini ends so on SIGTERM."""
    reading = READINGS[agent]()
    failure = reading.failure(0, [])
    assert failure.interrupted
    assert agent in failure.message


@pytest.mark.parametrize("agent", READINGS)
def test_unknown_events_are_ignored(agent: str) -> None:
    reading = READINGS[agent]()
    for event in ({}, {"type": 3}, {"type": "assistant", "message": []}, {"type": "result"}):
        reading.take(event)
    assert not reading.succeeded


def test_gemini_without_a_key_is_recognized_by_its_last_words() -> None:
    """Status 41, and nothing on standard output."""
    said = "When using Gemini API, you must specify the GEMINI_API_KEY environment variable."
    failure = gemini.GeminiStream().failure(41, [said])
    assert classify([failure], NOW).reason == PauseReason.AUTH


def test_gemini_that_says_success_after_an_error_in_a_stream_has_failed() -> None:
    """Its exit status is 0 then."""
    reading = gemini.GeminiStream()
    reading.take({"type": "error", "message": "Model stream ended without a finish reason."})
    reading.take({"type": "result", "status": "error"})
    failure = reading.failure(0, [])
    assert (failure.status, failure.message) == (
        None,
        "Model stream ended without a finish reason.",
    )
    assert classify([failure], NOW).reason == PauseReason.TRANSIENT


def test_the_second_failed_call_of_copilot_ends_its_waiting() -> None:
    """It would try five times; the runner does the waiting (D5)."""
    reading = READINGS["copilot"]()
    delays: list[float | None] = []
    for line in (RECORDED / "copilot/rate_limit.jsonl").read_text().splitlines():
        event = parse_line(line) or {}
        reading.take(event)
        if event.get("type") == "model.call_failure":
            delays.append(reading.retry_delay)
    assert delays[:2] == [None, float("inf")]
    verdict = classify([reading.retry_failure()], NOW)
    assert (verdict.reason, verdict.retry_at) == (PauseReason.RATE_LIMIT, NOW.replace(second=7))


def test_qwen_that_announces_a_long_wait_tells_why() -> None:
    reading = qwen.QwenStream()
    reading.take_stderr("Retrying in 60s (attempt 1/10): [API Error: 429 Rate limit reached]")
    reading.take({"type": "system", "subtype": "retry", "data": {"attempt": 1, "delayMs": 60000}})
    assert reading.retry_delay == 60
    failure = reading.retry_failure()
    assert failure.retry_after == 60
    assert classify([failure], NOW).reason == PauseReason.RATE_LIMIT


def test_our_settings_leave_what_a_session_stored() -> None:
    known = {"general": {"vim": True, "maxAttempts": 10}, "ui": {"theme": "x"}, "model": 3}
    ours = {"general": {"maxAttempts": 2}, "model": {"a": {"b": 0}}}
    assert merged(known, ours) == {
        "general": {"vim": True, "maxAttempts": 2},
        "ui": {"theme": "x"},
        "model": {"a": {"b": 0}},
    }
