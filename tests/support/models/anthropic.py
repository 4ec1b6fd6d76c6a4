"""The Anthropic Messages API: https://docs.claude.com/en/api/messages-streaming. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.models.dialect import Body, frame
from tests.support.models.turns import (
    CACHE_WRITES,
    CACHED_TOKENS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Behaviour,
    Call,
    Content,
    Say,
    Tool,
    pieces,
)

USAGE = {
    "input_tokens": INPUT_TOKENS,
    "cache_creation_input_tokens": CACHE_WRITES,
    "cache_read_input_tokens": CACHED_TOKENS,
    "output_tokens": 1,
}


class Anthropic:
    """`Dialect` of api.anthropic.com."""

    name = provider = "anthropic"
    opening = 4

    def tools(self, body: Body) -> list[Tool]:
        return [Tool(t.get("name", ""), t.get("input_schema")) for t in body.get("tools") or []]

    def messages(self, body: Body) -> list[dict[str, Any]]:
        return body.get("messages", [])

    def streams(self, body: Body, path: str) -> bool:
        return bool(body.get("stream"))

    def schema(self, body: Body) -> dict[str, Any] | None:
        return None

    def whole(self, number: str, body: Body, content: Content) -> dict[str, Any]:
        block = _block(number, content)
        return {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "claude-fake"),
            "content": [block],
            "stop_reason": "tool_use" if isinstance(content, Call) else "end_turn",
            "stop_sequence": None,
            "usage": USAGE | {"output_tokens": OUTPUT_TOKENS},
        }

    def stream(
        self, number: str, body: Body, content: Content, behaviour: Behaviour
    ) -> Iterator[str]:
        whole = self.whole(number, body, content)
        opening = whole | {"content": [], "stop_reason": None, "usage": USAGE}
        yield _event("message_start", message=opening)
        (block,) = whole["content"]
        empty = block | ({"input": {}} if isinstance(content, Call) else {"text": ""})
        yield _event("content_block_start", index=0, content_block=empty)
        yield _event("ping")
        for delta in _deltas(content, behaviour):
            yield _event("content_block_delta", index=0, delta=delta)
        yield _event("content_block_stop", index=0)
        ending = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield _event("message_delta", delta=ending, usage={"output_tokens": OUTPUT_TOKENS})
        yield _event("message_stop")

    def stream_error(self, error: dict[str, Any]) -> str:
        return _event("error", error=error)


def _block(number: str, content: Content) -> dict[str, Any]:
    if isinstance(content, Say):
        return {"type": "text", "text": content.text}
    return {
        "type": "tool_use",
        "id": f"toolu_{number}",
        "name": content.name,
        "input": dict(content.arguments),
    }


def _deltas(content: Content, behaviour: Behaviour) -> Iterator[dict[str, Any]]:
    if isinstance(content, Call):
        yield {"type": "input_json_delta", "partial_json": json.dumps(content.arguments)}
        return
    for part in pieces(content.text, behaviour):
        yield {"type": "text_delta", "text": part}


def _event(kind: str, **fields: Any) -> str:
    return frame({"type": kind, **fields}, kind)
