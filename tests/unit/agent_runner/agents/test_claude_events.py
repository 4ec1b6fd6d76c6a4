"""Claude Code's events, as recorded from version 2.1.330 against a fake provider."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.agents.claude import ClaudeStream
from agent_runner.agents.headless import LOG_WIDTH, parse_line
from agent_runner.models import Usage

RECORDED = Path(__file__).parent / "recorded"


def read(name: str, *, resumed: bool = False) -> tuple[ClaudeStream, list[str]]:
    reading, log = ClaudeStream(resumed=resumed), []
    for line in (RECORDED / f"{name}.jsonl").read_text().splitlines():
        event = parse_line(line)
        assert event is not None
        log += reading.take(event)
    return reading, log


def test_a_run_that_succeeded_is_logged_line_by_line() -> None:
    reading, log = read("write")
    assert reading.succeeded
    assert reading.text == "All done."
    assert reading.version == "2.1.330"
    assert log == [
        "claude 2.1.330 claude-opus-5-5",
        "Write /tmp/recws/hello.txt",
        "All done.",
        "done (260 tokens in, 50 out, 0.0019 USD)",
    ]
    assert reading.usage.cost_usd == pytest.approx(0.001908)
    assert reading.usage.model_copy(update={"cost_usd": None}) == Usage(
        input_tokens=200, output_tokens=50, cache_read_tokens=40, cache_write_tokens=20
    )


def test_a_failed_tool_is_logged_and_does_not_fail_the_run() -> None:
    """D3: a command's output is not classified."""
    reading, log = read("bash")
    assert reading.succeeded
    assert log[1:3] == ["Bash echo out; exit 3", "failed: Exit code 3 out"]


@pytest.mark.parametrize(
    ("name", "status", "kind", "code"),
    [
        ("credit", 400, "invalid_request_error", "billing_error"),
        ("rate_limit", 429, "rate_limit_error", "rate_limit"),
        ("usage_window_oauth", 429, "rate_limit_error", "usage_limit_reached"),
        ("usage_window_key", 429, "rate_limit_error", "rate_limit"),
        ("auth", 401, "authentication_error", "authentication_failed"),
        ("overloaded", 529, "overloaded_error", "server_error"),
        ("stream_error", 529, "overloaded_error", "server_error"),
        ("reset", None, None, "connection_failed"),
    ],
)
def test_an_api_error_has_its_structured_fields(
    name: str, status: int | None, kind: str | None, code: str
) -> None:
    """`is_error`, not `subtype:success`; status and type over text."""
    reading, _ = read(name)
    failure = reading.failure(1, [])
    assert not reading.succeeded
    assert (failure.status, failure.type, failure.code) == (status, kind, code)
    assert (failure.source, failure.provider, failure.interrupted) == ("agent", "anthropic", False)
    assert failure.message


def test_the_reset_time_of_a_usage_window_is_taken() -> None:
    """K2: the provider's reset time decides."""
    reading, log = read("usage_window_oauth")
    assert reading.failure(1, []).reset_at == datetime.fromtimestamp(1795460448, UTC)
    assert log[1] == "usage limit reached (five_hour), resets at 2026-11-23T19:00:48+00:00"


def test_an_announced_retry_is_known_with_its_delay() -> None:
    reading = ClaudeStream()
    lines = (RECORDED / "rate_limit.jsonl").read_text().splitlines()
    for line in lines[:2]:
        reading.take(json.loads(line))
    assert reading.retry_delay == pytest.approx(7.177)
    failure = reading.retry_failure()
    assert (failure.status, failure.code, failure.retry_after) == (429, "rate_limit", 7.177)
    reading.take(json.loads(lines[2]))
    assert reading.retry_delay is None


def test_no_result_means_interrupted() -> None:
    """A missing terminal event is no verdict."""
    reading, _ = read("sigterm")
    failure = reading.failure(143, [])
    assert failure.interrupted
    assert reading.usage == Usage(
        input_tokens=100, output_tokens=1, cache_read_tokens=20, cache_write_tokens=10
    )


def test_a_program_that_did_not_start_is_not_an_interruption() -> None:
    failure = ClaudeStream().failure(127, ["forward: command not found: claude"])
    assert (failure.code, failure.interrupted) == ("agent_missing", False)
    assert "command not found" in failure.message


@pytest.mark.parametrize("name", ["resume", "after_sigterm"])
def test_a_resumed_run_counts_its_own_part_only(name: str) -> None:
    """Seen: total_cost_usd and modelUsage of a resumed session include its earlier runs."""
    reading, _ = read(name, resumed=True)
    assert reading.result
    assert reading.result["total_cost_usd"] == pytest.approx(0.001908)
    assert reading.usage.cost_usd == pytest.approx(0.000954)
    assert reading.usage.input_tokens == 100


def test_a_resumed_run_without_its_own_part_has_no_cost() -> None:
    result = {"type": "result", "total_cost_usd": 5.0, "usage": {"input_tokens": 3}}
    for resumed, cost in ((False, 5.0), (True, None)):
        reading = ClaudeStream(resumed=resumed)
        reading.take(result)
        assert (reading.usage.input_tokens, reading.usage.cost_usd) == (3, cost)


def test_a_lost_session_is_known_by_the_result_or_stderr() -> None:
    reading, _ = read("lost", resumed=True)
    assert reading.session_is_lost([])
    assert reading.session_id is None
    assert ClaudeStream().session_is_lost(["No conversation found with session ID: x"])
    assert not ClaudeStream().session_is_lost(["something else"])


def test_a_message_in_several_events_is_counted_once() -> None:
    reading = ClaudeStream()
    event = {
        "type": "assistant",
        "message": {"id": "m", "usage": {"input_tokens": 4}, "content": []},
    }
    reading.take(event)
    reading.take(event)
    assert reading.usage.input_tokens == 4


def test_an_abort_by_signal_is_an_interruption() -> None:
    """SIGINT ends with status 0 and a result that says aborted."""
    reading = ClaudeStream()
    reading.take({"type": "result", "is_error": True, "terminal_reason": "aborted_streaming"})
    assert reading.failure(0, []).interrupted


@pytest.mark.parametrize("line", ["", "plain text", "[1]", "null", "{" * 5000])
def test_a_line_that_is_not_an_event_is_ignored(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "assistant", "message": None},
        {"type": "assistant", "message": {"content": "text", "usage": 3}},
        {"type": "assistant", "message": {"content": [None, {"type": "tool_use", "input": [1]}]}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "is_error": True}]}},
        {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1e30}},
        {"type": "result", "is_error": "maybe", "modelUsage": 4, "errors": 7, "result": 5},
        {"type": "system", "subtype": "api_retry", "retry_delay_ms": "soon"},
        {"type": ["new"]},
    ],
)
def test_strange_events_do_no_harm(event: dict[str, object]) -> None:
    """Nothing that an agent wrote is trusted."""
    reading = ClaudeStream()
    lines = reading.take(event)
    assert all(len(line) <= LOG_WIDTH and "\n" not in line for line in lines)
    assert not reading.succeeded
    assert reading.failure(1, []).message
