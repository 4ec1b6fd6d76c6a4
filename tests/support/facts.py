"""What a model needs of a result to go on, and whether the result's text has it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rover_mcp.domain.ids import short_id

NEEDED = frozenset(
    {
        "number", "title", "status", "phase", "progress", "branch", "repo_path", "agent", "workflow",
        "reason", "next_cursor", "returned", "path", "name", "summary", "what", "step", "result",
        "error", "message", "version",
    }
)  # fmt: skip
"""Fields whose values stand in the text as they are."""
ACTIONS_SHOWN = 4


def missing(structured: dict[str, Any], text: str) -> list[str]:
    """The facts that the structured content has and the text has not."""
    return [fact for fact in _facts(structured) if fact not in text]


def _facts(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for part in node:
            yield from _facts(part)
    if not isinstance(node, dict):
        return
    for action in node.get("next_actions", [])[:ACTIONS_SHOWN]:
        yield call(action)
    if "id" in node and "number" in node:
        yield short_id(node["id"])
    if "id" in node and "type" in node:
        yield node["id"]
    for name, value in node.items():
        if name in NEEDED and isinstance(value, str | int) and not isinstance(value, bool):
            # A name of a step is in its phase; a model acts on the step's id.
            if not (name == "name" and "type" in node):
                yield str(value)
        elif name not in ("next_actions", "resume", "error", "agents", "engines"):
            yield from _facts(value)


def call(action: dict[str, Any]) -> str:
    """A call as a text names it."""
    return f"{action['tool']} {json.dumps(action['arguments'], ensure_ascii=False)}"


def told_by(node: Any, text: str) -> Any:
    """Of a structured content what its text says too, for a reader who is shown the text alone.
    Only yes and no stand: a text has them in words."""
    match node:
        case dict() if "tool" in node and "arguments" in node:
            return node if call(node) in text or json.dumps(call_of(node)) in text else None
        case dict():
            read = {name: told_by(value, text) for name, value in node.items()}
            return {name: value for name, value in read.items() if value is not None}
        case list():
            return [value for one in node if (value := told_by(one, text)) is not None]
        case bool():
            return node
        case int() | float():
            return node if re.search(rf"(?<!\d){re.escape(str(node))}(?!\d)", text) else None
        case str():
            return _told(node, text)
        case _:
            return None


def call_of(action: dict[str, Any]) -> dict[str, Any]:
    """A call as an error's text has it."""
    return {name: action[name] for name in ("tool", "arguments")}


def _told(value: str, text: str) -> str | None:
    if value in text:
        return value
    if re.fullmatch(r"[0-9a-f]{32}", value):
        return short_id(value) if short_id(value) in text else None
    if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+Z", value):
        # A text has a blank for the T, and may leave out the seconds.
        day, time = value[:10], value[11:-1]
        return value if f"{day} {time}" in text or f"{day} {time[:5]}" in text else None
    return None
