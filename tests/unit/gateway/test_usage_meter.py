"""Tokens and errors read out of answers. Pure."""

from __future__ import annotations

import gzip
import json

import pytest

from rover_mcp.gateway.response_formats import response_format_of
from rover_mcp.gateway.usage_meter import MAX_EVENT_BYTES, UsageMeter

MESSAGES = response_format_of("anthropic", "/v1/messages")
STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":'
    b'{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"delta":{"text":"\\"usage\\":{\\"input_tokens\\":999}"}}\n\n'
    b'event: message_delta\r\ndata: {"type":"message_delta","usage":{"output_tokens":42}}\r\n\r\n'
)


def stream_meter() -> UsageMeter:
    return UsageMeter(MESSAGES, 200, "text/event-stream; charset=utf-8", "")


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_stream_is_read_however_it_is_cut(size: int) -> None:
    meter = stream_meter()
    for start in range(0, len(STREAM), size):
        meter.feed(STREAM[start : start + size])
    meter.end()
    assert meter.usage
    assert (meter.usage.input_tokens, meter.usage.output_tokens) == (7, 42)
    assert meter.usage.cache_read_tokens == 3
    assert meter.error is None


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 50, 300, 5000, 10**6])
def test_counts_among_many_short_events_are_found_however_it_is_cut(size: int, end: bytes) -> None:
    """What tells nothing is passed over in large pieces, and what tells something is not."""
    delta = b'event: content_block_delta\ndata: {"delta":{"text":"\\"usage\\": x"}}\n\n'
    later = STREAM.replace(b"42", b"43").replace(b"\r", b"")
    whole = delta * 400 + STREAM.replace(b"\r", b"") + delta * 400 + later + delta * 400
    whole = whole.replace(b"\n", end)
    meter = stream_meter()
    told: list[int] = []
    for start in range(0, len(whole), size):
        piece = whole[start : start + size]
        if meter.feed(piece):
            assert meter.usage
            told.append(meter.usage.output_tokens)
    meter.end()
    assert told[-1] == 43
    assert size == 10**6 or 42 in told
    assert meter.usage
    assert (meter.usage.input_tokens, meter.usage.cache_read_tokens) == (7, 3)


def test_what_a_model_writes_is_never_an_error() -> None:
    """D3."""
    meter = stream_meter()
    text = json.dumps({"type": "error", "error": {"type": "x", "message": "credit balance"}})
    delta = json.dumps({"type": "content_block_delta", "delta": {"text": text}})
    meter.feed(b"event: content_block_delta\ndata: " + delta.encode() + b"\n\n")
    meter.end()
    assert meter.error is None


def test_an_error_event_is_read() -> None:
    meter = stream_meter()
    meter.feed(
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n'
    )
    assert meter.error
    assert (meter.error.type, meter.error.message) == ("overloaded_error", "Overloaded")


def test_a_compressed_answer_is_read_as_it_passes() -> None:
    body = gzip.compress(json.dumps({"usage": {"input_tokens": 5}}).encode())
    meter = UsageMeter(MESSAGES, 200, "application/json", "gzip")
    for number in range(len(body)):
        meter.feed(body[number : number + 1])
    meter.end()
    assert meter.usage
    assert meter.usage.input_tokens == 5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"", "status 502, no body"),
        (b'{"error":"plain"}', "plain"),
        (b'{"error":{"message":"m","type":"t","code":"c"}}', "m"),
    ],
)
def test_an_error_of_any_shape_has_a_message(body: bytes, message: str) -> None:
    meter = UsageMeter(MESSAGES, 502, "text/html", "")
    meter.feed(body)
    meter.end()
    assert meter.error
    assert meter.error.message == message


@pytest.mark.parametrize(
    "body", [b"not json", b"[1]", b'{"usage":{"input_tokens":"many"}}', b"{" * 9000]
)
def test_a_strange_body_tells_nothing(body: bytes) -> None:
    meter = UsageMeter(MESSAGES, 200, "application/json", "")
    meter.feed(body)
    meter.end()
    assert (meter.usage, meter.error) == (None, None)


def test_an_endless_line_takes_no_memory() -> None:
    """What grows has a limit, and says so there."""
    meter = stream_meter()
    for _ in range(40):
        meter.feed(b"x" * (MAX_EVENT_BYTES // 16))
    assert len(meter._held) <= MAX_EVENT_BYTES
    meter.feed(b"\n\n" + STREAM)
    assert meter.usage
    assert meter.usage.input_tokens == 7
