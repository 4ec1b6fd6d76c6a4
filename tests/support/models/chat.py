"""The OpenAI Chat Completions API:
https://platform.openai.com/docs/api-reference/chat-streaming. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.models.dialect import Body, frame
from tests.support.models.turns import (
    CACHED_TOKENS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Behaviour,
    Content,
    Say,
    Tool,
    pieces,
)

USAGE = {
    "prompt_tokens": INPUT_TOKENS + CACHED_TOKENS,
    "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
    "completion_tokens": OUTPUT_TOKENS,
    "completion_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": INPUT_TOKENS + CACHED_TOKENS + OUTPUT_TOKENS,
}


class Chat:
    """`Dialect` of /v1/chat/completions."""

    name = "chat"
    provider = "openai"
    opening = 2

    def tools(self, body: Body) -> list[Tool]:
        offered = [t.get("function", {}) for t in body.get("tools") or []]
        return [Tool(f.get("name", ""), f.get("parameters")) for f in offered]

    def messages(self, body: Body) -> list[dict[str, Any]]:
        return body.get("messages", [])

    def streams(self, body: Body, path: str) -> bool:
        return bool(body.get("stream"))

    def schema(self, body: Body) -> dict[str, Any] | None:
        wanted = body.get("response_format") or {}
        return wanted.get("json_schema", {}).get("schema")

    def whole(self, number: str, body: Body, content: Content) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        if isinstance(content, Say):
            message["content"] = content.text
        else:
            message["tool_calls"] = [_call(number, content)]
        choice = {"index": 0, "message": message, "finish_reason": _reason(content)}
        return {**_heading(number, body, "chat.completion"), "choices": [choice], "usage": USAGE}

    def stream(
        self, number: str, body: Body, content: Content, behaviour: Behaviour
    ) -> Iterator[str]:
        heading = _heading(number, body, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return frame({**heading, "choices": [choice]})

        yield chunk({"role": "assistant", "content": ""})
        if isinstance(content, Say):
            for part in pieces(content.text, behaviour):
                yield chunk({"content": part})
        else:
            yield chunk({"tool_calls": [{"index": 0, **_call(number, content)}]})
        yield chunk({}, _reason(content))
        if (body.get("stream_options") or {}).get("include_usage"):
            yield frame({**heading, "choices": [], "usage": USAGE})
        yield frame("[DONE]")

    def stream_error(self, error: dict[str, Any]) -> str:
        return frame({"error": error})


def _heading(number: str, body: Body, kind: str) -> dict[str, Any]:
    model = body.get("model", "gpt-fake")
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 1_790_000_000, "model": model}


def _reason(content: Content) -> str:
    return "stop" if isinstance(content, Say) else "tool_calls"


def _call(number: str, content: Content) -> dict[str, Any]:
    assert not isinstance(content, Say)
    given = json.dumps(content.arguments)
    function = {"name": content.name, "arguments": given}
    return {"id": f"call_{number}", "type": "function", "function": function}
