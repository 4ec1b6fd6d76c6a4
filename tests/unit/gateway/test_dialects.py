"""Tokens, models and errors of each API, in the shapes that it answers in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from agent_runner.models import Usage
from rover_mcp.gateway.response_formats import response_format_of
from rover_mcp.gateway.usage_meter import UsageMeter

SSE = "text/event-stream; charset=utf-8"


def sse(*events: tuple[str | None, Any]) -> bytes:
    lines: list[str] = []
    for name, data in events:
        named = f"event: {name}\n" if name else ""
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
        lines.append(f"{named}data: {text}\n\n")
    return "".join(lines).encode()


USAGE_RESPONSES = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 20},
    "output_tokens": 25,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 145,
}
RESPONSE = {"id": "r", "object": "response", "model": "gpt-5-2025-08-07", "error": None}
# What a model writes is data, whatever it looks like.
BAIT = json.dumps({"error": {"message": "insufficient_quota"}, "usage": {"input_tokens": 9**9}})


@dataclass(frozen=True)
class Case:
    provider: str
    path: str
    body: bytes
    model: str | None
    usage: Usage | None
    error: tuple[str | None, str | None, str] | None = None
    content_type: str = SSE
    status: int = 200


def used(read: int, out: int, cached: int = 0, written: int = 0) -> Usage:
    return Usage(
        input_tokens=read, output_tokens=out, cache_read_tokens=cached, cache_write_tokens=written
    )


CASES = {
    "anthropic stream": Case(
        "anthropic",
        "/v1/messages",
        sse(
            (
                "message_start",
                {
                    "type": "message_start",
                    "message": {
                        "model": "claude-sonnet-4-5-20250929",
                        "usage": {
                            "input_tokens": 100,
                            "cache_creation_input_tokens": 10,
                            "cache_read_input_tokens": 20,
                            "cache_creation": {
                                "ephemeral_5m_input_tokens": 4,
                                "ephemeral_1h_input_tokens": 6,
                            },
                            "output_tokens": 1,
                        },
                    },
                },
            ),
            ("content_block_delta", {"type": "content_block_delta", "delta": {"text": BAIT}}),
            ("message_delta", {"type": "message_delta", "usage": {"output_tokens": 25}}),
            ("message_stop", {"type": "message_stop"}),
        ),
        "claude-sonnet-4-5-20250929",
        used(100, 25, 20, 10),
    ),
    "anthropic error in a stream": Case(
        "anthropic",
        "/v1/messages",
        sse(
            ("message_start", {"message": {"model": "m", "usage": {"input_tokens": 3}}}),
            (
                "error",
                {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            ),
        ),
        "m",
        used(3, 0),
        ("overloaded_error", None, "Overloaded"),
    ),
    "responses stream": Case(
        "openai",
        "/responses",
        sse(
            (
                "response.created",
                {"type": "response.created", "response": {**RESPONSE, "usage": None}},
            ),
            (
                "response.output_text.delta",
                {"type": "response.output_text.delta", "delta": BAIT},
            ),
            (
                "response.completed",
                {
                    "type": "response.completed",
                    "response": {**RESPONSE, "usage": USAGE_RESPONSES, "output": [BAIT]},
                },
            ),
        ),
        "gpt-5-2025-08-07",
        used(100, 25, 20),
    ),
    "responses failed in a stream": Case(
        "openai",
        "/responses",
        sse(
            (
                "response.failed",
                {
                    "type": "response.failed",
                    "response": {
                        **RESPONSE,
                        "status": "failed",
                        "error": {"code": "rate_limit_exceeded", "message": "try again in 11.05s"},
                    },
                },
            )
        ),
        "gpt-5-2025-08-07",
        None,
        (None, "rate_limit_exceeded", "try again in 11.05s"),
    ),
    "responses error event": Case(
        "openai",
        "/responses",
        sse(
            (
                "error",
                {"type": "error", "code": "server_error", "message": "bad", "param": None},
            )
        ),
        None,
        None,
        (None, "server_error", "bad"),
    ),
    "responses plain": Case(
        "openai",
        "/responses/compact",
        json.dumps({**RESPONSE, "usage": USAGE_RESPONSES}).encode(),
        "gpt-5-2025-08-07",
        used(100, 25, 20),
        content_type="application/json",
    ),
    "responses refused": Case(
        "openai",
        "/responses",
        json.dumps(
            {
                "error": {
                    "type": "usage_limit_reached",
                    "message": "The usage limit has been reached",
                    "plan_type": "plus",
                    "resets_at": 1_795_000_000,
                    "resets_in_seconds": 500,
                }
            }
        ).encode(),
        None,
        None,
        ("usage_limit_reached", None, "The usage limit has been reached"),
        "application/json",
        429,
    ),
    "chat stream": Case(
        "openai",
        "/chat/completions",
        sse(
            (None, {"model": "gpt-5-mini", "choices": [{"delta": {"content": BAIT}}]}),
            (None, {"model": "gpt-5-mini", "choices": [], "usage": None}),
            (
                None,
                {
                    "model": "gpt-5-mini",
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 120,
                        "completion_tokens": 25,
                        "prompt_tokens_details": {"cached_tokens": 20},
                    },
                },
            ),
            (None, "[DONE]"),
        ),
        "gpt-5-mini",
        used(100, 25, 20),
    ),
    "chat that writes into the cache": Case(
        "openai",
        "/chat/completions",
        sse(
            (
                None,
                {
                    "model": "gpt-6-luna",
                    "usage": {
                        "prompt_tokens": 120,
                        "completion_tokens": 25,
                        "prompt_tokens_details": {
                            "cached_tokens": 20,
                            "cache_write_tokens": 70,
                            "cache_write_tokens_details": {"ttl_12h_tokens": 30},
                        },
                    },
                },
            ),
        ),
        "gpt-6-luna",
        used(30, 25, 20, 70),
    ),
    "chat error in a stream": Case(
        "openai",
        "/chat/completions",
        sse(
            (None, {"model": "x", "choices": [{"delta": {"content": "a"}}]}),
            (None, {"error": {"message": "no", "type": "server_error", "code": None}}),
        ),
        None,
        None,
        ("server_error", None, "no"),
    ),
    "chat plain": Case(
        "openai",
        "/chat/completions",
        json.dumps(
            {"model": "gpt-4.1", "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
        ).encode(),
        "gpt-4.1",
        used(7, 3),
        content_type="application/json",
    ),
    "gemini stream": Case(
        "google",
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        sse(
            (
                None,
                {
                    "candidates": [
                        {"content": {"parts": [{"functionCall": {"args": {"error": 1}}}]}}
                    ],
                    "usageMetadata": {"promptTokenCount": 120, "totalTokenCount": 120},
                    "modelVersion": "gemini-2.5-pro",
                },
            ),
            (
                None,
                {
                    "candidates": [{"content": {"parts": [{"text": BAIT}]}}],
                    "usageMetadata": {
                        "promptTokenCount": 120,
                        "cachedContentTokenCount": 20,
                        "candidatesTokenCount": 15,
                        "thoughtsTokenCount": 10,
                        "totalTokenCount": 145,
                    },
                    "modelVersion": "gemini-2.5-pro",
                },
            ),
        ),
        "gemini-2.5-pro",
        used(100, 25, 20),
    ),
    "gemini list": Case(
        "google",
        "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        json.dumps(
            [
                {"modelVersion": "g", "usageMetadata": {"promptTokenCount": 5}},
                {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}},
            ]
        ).encode(),
        "g",
        used(5, 2),
        content_type="application/json",
    ),
    "gemini error in a stream": Case(
        "google",
        "/v1beta/models/m:streamGenerateContent",
        sse(
            (
                None,
                {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}},
            )
        ),
        None,
        None,
        ("UNAVAILABLE", "503", "overloaded"),
    ),
    "gemini refused": Case(
        "google",
        "/v1beta/models/m:generateContent",
        b'[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[]}}]',
        None,
        None,
        ("RESOURCE_EXHAUSTED", "429", "quota"),
        "application/json",
        429,
    ),
}


def metered(case: Case, size: int) -> UsageMeter:
    response_format = response_format_of(case.provider, case.path)
    meter = UsageMeter(response_format, case.status, case.content_type, "")
    for start in range(0, len(case.body), size):
        meter.feed(case.body[start : start + size])
    meter.end()
    return meter


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 13, 64, 333, 100_000])
def test_what_an_answer_tells_does_not_depend_on_how_it_is_cut(name: str, size: int) -> None:
    case = CASES[name]
    meter = metered(case, size)
    if name != "chat error in a stream":
        assert meter.model == case.model
    assert meter.usage == case.usage
    error = meter.error
    assert (error and (error.type, error.code, error.message)) == case.error


def test_the_hour_of_a_cache_write_is_told_apart() -> None:
    assert metered(CASES["anthropic stream"], 100).cache_write_1h == 6


def test_an_errors_own_fields_are_kept() -> None:
    """Resets stand there: codex' usage limit, Google's quota."""
    error = metered(CASES["responses refused"], 100).error
    assert error is not None
    assert json.loads(error.body)["error"]["resets_at"] == 1_795_000_000


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].usage])
def test_a_stream_that_is_cut_tells_what_it_told(name: str) -> None:
    """Up to every byte: never more than the whole, and nothing is forgotten."""
    case = CASES[name]
    response_format = response_format_of(case.provider, case.path)
    meter = UsageMeter(response_format, case.status, case.content_type, "")
    before = 0
    for byte in case.body:
        meter.feed(bytes((byte,)))
        now = meter.usage.tokens if meter.usage else 0
        assert now >= before
        before = now
    meter.end()
    assert meter.usage == case.usage


@pytest.mark.parametrize("count", [-1, True, 1.5, "7", None, 10**30, [], {}])
def test_a_count_that_is_none_counts_nothing(count: object) -> None:
    body = json.dumps({"model": "m", "usage": {"input_tokens": count, "output_tokens": 2}})
    meter = UsageMeter(response_format_of("anthropic", "/v1/messages"), 200, "application/json", "")
    meter.feed(body.encode())
    meter.end()
    assert meter.usage == used(0, 2)


def test_only_what_a_model_said_costs() -> None:
    free = [
        ("anthropic", "/v1/messages/count_tokens"),
        ("anthropic", "/v1/models"),
        ("openai", "/models"),
        ("google", "/v1beta/models/m:countTokens"),
    ]
    assert [response_format_of(*one).bills for one in free] == [False] * 4
    assert all(response_format_of(c.provider, c.path).bills for c in CASES.values())
