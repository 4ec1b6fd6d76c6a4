"""Messages and streams of the Anthropic API as tests/support/fake_anthropic.py answers them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Behaviour = dict[str, Any]

USAGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 10,
    "cache_read_input_tokens": 20,
    "output_tokens": 1,
}
OUTPUT_TOKENS = 25


def user_texts(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            yield content
            continue
        yield from (b["text"] for b in content or [] if b.get("type") == "text")


def _working_directory(body: dict[str, Any]) -> str:
    """Claude Code tells the model its working directory in the system prompt."""
    prompt = json.dumps(body.get("system", "")) + json.dumps(body.get("messages", ""))
    found = re.search(r"[Ww]orking directory: (/[^\\\"\s]*)", prompt)
    return found.group(1) if found else "/workspace"


def _content(number: str, body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    kind = behaviour["do"]
    if kind in ("text", "slow", "stream_error"):
        return {"type": "text", "text": behaviour.get("text", "Done.")}
    if kind == "write":
        path = str(Path(_working_directory(body), behaviour["path"]))
        name, arguments = "Write", {"file_path": path, "content": behaviour["content"]}
    elif kind == "bash":
        name, arguments = "Bash", {"command": behaviour["command"], "description": "Run it"}
    elif kind == "tool":
        name, arguments = behaviour["name"], behaviour["input"]
    else:
        raise ValueError(f"no such behaviour: {kind}")
    offered = [t.get("name") for t in body.get("tools", [])]
    if name not in offered:
        return {"type": "text", "text": f"The tool {name} is not offered, only {offered}."}
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}


def message(number: str, body: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    content = _content(number, body, behaviour)
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "claude-fake"),
        "content": [content],
        "stop_reason": "tool_use" if content["type"] == "tool_use" else "end_turn",
        "stop_sequence": None,
        "usage": USAGE | {"output_tokens": OUTPUT_TOKENS},
    }


def stream_error(behaviour: Behaviour) -> dict[str, str]:
    return {
        "type": behaviour.get("type", "overloaded_error"),
        "message": behaviour.get("message", "Overloaded"),
    }


def _deltas(content: dict[str, Any], behaviour: Behaviour) -> Iterator[dict[str, Any]]:
    if content["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": json.dumps(content["input"])}
        return
    whole, count = content["text"], behaviour.get("chunks", 1)
    size = max(1, -(-len(whole) // count))
    for start in range(0, len(whole), size):
        yield {"type": "text_delta", "text": whole[start : start + size]}


def events(message: dict[str, Any], behaviour: Behaviour) -> Iterator[dict[str, Any]]:
    (content,) = message["content"]
    opening = message | {"content": [], "stop_reason": None, "usage": USAGE}
    yield {"type": "message_start", "message": opening}
    empty = content | ({"input": {}} if content["type"] == "tool_use" else {"text": ""})
    yield {"type": "content_block_start", "index": 0, "content_block": empty}
    yield {"type": "ping"}
    for delta in _deltas(content, behaviour):
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        if behaviour["do"] == "stream_error":
            yield {"type": "error", "error": stream_error(behaviour)}
            return
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
        "usage": {"output_tokens": OUTPUT_TOKENS},
    }
    yield {"type": "message_stop"}
