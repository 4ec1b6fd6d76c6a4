"""What a fake provider is told to do, and the one word for what a model says. Pure.

A behaviour is a dict, made by the functions below, so that it can be sent to another process as
JSON. Each main request (one that offers tools) takes the next one of its session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Behaviour = dict[str, Any]

ERRORS = frozenset(
    {"error", "credit", "usage_window", "rate_limit", "overloaded", "server_error", "auth"}
)
"""Behaviours that are an answer with a status of 400 or more."""

INPUT_TOKENS, CACHED_TOKENS, CACHE_WRITES, OUTPUT_TOKENS = 100, 20, 10, 25
"""What every model call uses: input that is new, read from a cache, written to it; output."""


@dataclass(frozen=True)
class Say:
    """The model says something, and its turn is over."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model calls a tool. A tool without a schema takes `raw` instead of arguments."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    raw: str | None = None
    namespace: str | None = None


Content = Say | Call


@dataclass(frozen=True)
class Tool:
    """A tool that a request offers. `schema` None: it takes plain text."""

    name: str
    schema: Mapping[str, Any] | None
    namespace: str | None = None


def text(answer: str = "Done.", **more: Any) -> Behaviour:
    """A last message."""
    return {"do": "text", "text": answer, **more}


def write(path: str, content: str, **more: Any) -> Behaviour:
    """The agent's own tool for writing a file. The path is relative to its working directory."""
    return {"do": "write", "path": path, "content": content, **more}


def bash(command: str, **more: Any) -> Behaviour:
    """The agent's own tool for running a command."""
    return {"do": "bash", "command": command, **more}


def tool(name: str, **arguments: Any) -> Behaviour:
    """Any tool, as it is."""
    return {"do": "tool", "name": name, "input": arguments}


def error(status: int, kind: str, message: str, **more: Any) -> Behaviour:
    """Any error; `headers` are the answer's."""
    return {"do": "error", "status": status, "type": kind, "message": message, **more}


def credit(**more: Any) -> Behaviour:
    """The account is empty."""
    return {"do": "credit", **more}


def usage_window(resets_in: float = 10_800, **more: Any) -> Behaviour:
    """The plan's window is used up, until the time that the answer tells. Google counts by the
    day, and tells no time."""
    return {"do": "usage_window", "resets_in": resets_in, **more}


def rate_limit(retry_after: float | None = 7, **more: Any) -> Behaviour:
    """Too many requests; None: without a word about when."""
    return {"do": "rate_limit", "retry_after": retry_after, **more}


def overloaded(**more: Any) -> Behaviour:
    """The provider is overloaded."""
    return {"do": "overloaded", **more}


def stream_overloaded(**more: Any) -> Behaviour:
    """The same, said in a stream that began well."""
    return {"do": "stream_error", **more}


def server_error(**more: Any) -> Behaviour:
    """An internal error of the provider."""
    return {"do": "server_error", **more}


def auth(**more: Any) -> Behaviour:
    """The key is not valid."""
    return {"do": "auth", **more}


def reset(**more: Any) -> Behaviour:
    """The connection is reset; no answer."""
    return {"do": "reset", **more}


def hang(**more: Any) -> Behaviour:
    """No answer until the server is closed."""
    return {"do": "hang", **more}


def cut(**more: Any) -> Behaviour:
    """The connection breaks in the middle of a stream."""
    return {"do": "cut", **more}


def held(behaviour: Behaviour) -> Behaviour:
    """The same, but its stream stops once it began, until `Session.go_on`."""
    return behaviour | {"hold": True}


def slow(answer: str, chunks: int = 20, interval: float = 0.05, **more: Any) -> Behaviour:
    """A message in many pieces."""
    return {"do": "slow", "text": answer, "chunks": chunks, "interval": interval, **more}


def pieces(content: str, behaviour: Behaviour) -> list[str]:
    """A text in as many pieces as were asked for."""
    size = max(1, -(-len(content) // behaviour.get("chunks", 1)))
    return [content[start : start + size] for start in range(0, len(content), size)] or [""]
