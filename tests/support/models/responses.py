"""The OpenAI Responses API: https://platform.openai.com/docs/api-reference/responses-streaming.
Pure."""

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
    "input_tokens": INPUT_TOKENS + CACHED_TOKENS,
    "input_tokens_details": {"cached_tokens": CACHED_TOKENS},
    "output_tokens": OUTPUT_TOKENS,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": INPUT_TOKENS + CACHED_TOKENS + OUTPUT_TOKENS,
}


class Responses:
    """`Dialect` of /v1/responses."""

    name = "responses"
    provider = "openai"
    opening = 3

    def tools(self, body: Body) -> list[Tool]:
        # Codex names its tools in the first item of the conversation, in namespaces.
        more = [i for i in self.messages(body) if i.get("type") == "additional_tools"]
        return list(_tools([*(body.get("tools") or []), *(t for i in more for t in i["tools"])]))

    def messages(self, body: Body) -> list[dict[str, Any]]:
        given = body.get("input", [])
        return [{"role": "user", "content": given}] if isinstance(given, str) else given

    def streams(self, body: Body, path: str) -> bool:
        return bool(body.get("stream"))

    def schema(self, body: Body) -> dict[str, Any] | None:
        wanted = body.get("text", {}).get("format", {})
        return wanted.get("schema") if wanted.get("type") == "json_schema" else None

    def whole(self, number: str, body: Body, content: Content) -> dict[str, Any]:
        return {
            **_opening(number, body),
            "status": "completed",
            "output": [_item(number, content)],
            "usage": USAGE,
        }

    def stream(
        self, number: str, body: Body, content: Content, behaviour: Behaviour
    ) -> Iterator[str]:
        opening = _opening(number, body) | {"status": "in_progress", "output": []}
        numbers = iter(range(1_000_000))

        def event(kind: str, **fields: Any) -> str:
            return frame({"type": kind, "sequence_number": next(numbers), **fields}, kind)

        yield event("response.created", response=opening)
        item = _item(number, content)
        place = {"output_index": 0, "item_id": item["id"]}
        empty = item | {"status": "in_progress"}
        if isinstance(content, Say):
            yield event("response.output_item.added", output_index=0, item=empty | {"content": []})
            for part in pieces(content.text, behaviour):
                yield event("response.output_text.delta", **place, content_index=0, delta=part)
            yield event("response.output_text.done", **place, content_index=0, text=content.text)
        else:
            written = "input" if content.raw is not None else "arguments"
            yield event("response.output_item.added", output_index=0, item=empty | {written: ""})
            kind = (
                "custom_tool_call_input" if content.raw is not None else "function_call_arguments"
            )
            yield event(f"response.{kind}.delta", **place, delta=item[written])
            yield event(f"response.{kind}.done", **place, **{written: item[written]})
        yield event("response.output_item.done", output_index=0, item=item)
        yield event("response.completed", response=self.whole(number, body, content))

    def stream_error(self, error: dict[str, Any]) -> str:
        told = {"code": error.get("code") or error.get("type"), "message": error["message"]}
        response = {"id": "resp_failed", "object": "response", "status": "failed", "error": told}
        failed = {"type": "response.failed", "sequence_number": 9, "response": response}
        return frame(failed, "response.failed")


def _tools(offered: list[dict[str, Any]], namespace: str | None = None) -> Iterator[Tool]:
    for each in offered:
        if each.get("type") == "namespace":
            yield from _tools(each.get("tools", []), each["name"])
        else:
            name = each.get("name") or each.get("type", "")
            yield Tool(name, each.get("parameters"), namespace)


def _opening(number: str, body: Body) -> dict[str, Any]:
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_790_000_000,
        "model": body.get("model", "gpt-fake"),
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _item(number: str, content: Content) -> dict[str, Any]:
    if isinstance(content, Say):
        said = {"type": "output_text", "text": content.text, "annotations": []}
        return {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [said],
        }
    call = {"call_id": f"call_{number}", "name": content.name, "status": "completed"}
    if content.namespace:
        call["namespace"] = content.namespace
    if content.raw is not None:
        return {"id": f"ctc_{number}", "type": "custom_tool_call", "input": content.raw, **call}
    arguments = json.dumps(content.arguments)
    return {"id": f"fc_{number}", "type": "function_call", "arguments": arguments, **call}
