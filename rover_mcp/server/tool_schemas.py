"""The schemas of the tools' arguments and results, as short as they can be and still say enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from rover_mcp.server.results import InspectResult

# Schemas are part of every conversation: the task's view in seven of them cost 1,050 tokens.
PROMISED = frozenset((
    "id", "number", "title", "status", "phase", "progress", "branch", "pause", "error", "steps",
    "changes", "usage", "warnings", "next_actions",
))  # fmt: skip
"""The fields of a task that the schema of `inspect` names."""
NOT_PROMISED = frozenset((
    "attention", "attention_more", "more", "diff", "untrusted", "elsewhere", "waiting", "damaged",
    "still_off", "conflicts", "hand_off", "hooks", "into", "onto", "base_commit", "commit",
    "status", "remote", "server", "branch", "scope", "next_actions",
    "has_checkpoint", "notice", "home", "cannot_start", "credentials", "unpriced", "auto_resume",
    "disk", "version", "engines", "agents", "queue", "holds", "windows", "enabled",
    "changed", "deleted", "items", "race", "chosen", "merged", "pushed", "message", "returned",
    "result",
))  # fmt: skip
"""Fields of results that no schema names, because any result may have them or few calls need them,
and no client has to know their types in advance. The words of the result say the same; each schema
is read in every conversation, whether its tool is called or not."""
CHECKED_ONLY = frozenset({"maxLength", "maxItems", "exclusiveMinimum"})
"""Limits that no schema shows. The server checks them, and an error says which one was exceeded."""


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A result's schema: its fields and their types, with a task's own fields only for `inspect`.

    The list of all tools has to stay under 4,500 tokens with 21 tools. No field is required: an
    error has `error` in place of the rest, and every result has to be valid against this schema.
    """
    full = model.model_json_schema(mode="serialization")
    definitions: Mapping[str, Any] = full.get("$defs", {})
    properties = {
        name: _compact(value, definitions)
        for name, value in full["properties"].items()
        if name not in NOT_PROMISED
    }
    if model is InspectResult:
        fields = definitions["TaskView"]["properties"].items()
        view = {k: _compact(v, definitions) for k, v in fields if k in PROMISED}
        properties["task"]["properties"] = view
    return {"type": "object", "properties": properties}


# Each schema is in the context of every conversation, whether its tool is called or not.
def _compact(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        node = definitions[node["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in node:
        # Nulls are left out of results, so the other form is the only one.
        return _compact(next(n for n in node["anyOf"] if n.get("type") != "null"), definitions)
    return {k: node[k] for k in ("type", "enum", "const") if k in node}


def input_schema(model: type[BaseModel]) -> dict[str, Any]:
    """An argument model's schema without titles and null branches."""
    full = model.model_json_schema()
    definitions: Mapping[str, Any] = full.pop("$defs", {})
    schema: dict[str, Any] = _slim(full, definitions)
    schema.setdefault("properties", {})
    return schema


def _slim(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_slim(item, definitions) for item in node]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(node, dict):
        return node
    current: dict[str, Any] = node  # pyright: ignore[reportUnknownVariableType]
    if "$ref" in current:
        current = definitions[current["$ref"].rsplit("/", 1)[1]]
        current = {k: v for k, v in current.items() if k != "description"}
    if "anyOf" in current:
        other = next(n for n in current["anyOf"] if n.get("type") != "null")
        rest = {k: v for k, v in current.items() if k not in ("anyOf", "default")}
        current = {**_slim(other, definitions), **rest}
    return {
        k: _slim(v, definitions)
        if k != "properties"
        else {n: _slim(p, definitions) for n, p in v.items()}
        for k, v in current.items()
        if not (k == "title" and isinstance(v, str))
        and not (k == "default" and v is None)
        and not (k in CHECKED_ONLY or (k == "maximum" and v >= 10**6))
    }
