"""What an API of a provider is, to the fake: one narrow Protocol. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from tests.support.models.turns import Behaviour, Content, Tool

Body = dict[str, Any]


class Dialect(Protocol):
    """`provider` is whose errors it has; `name` tells two APIs of one provider apart; `opening`
    is how many frames of a stream come before its first words are complete."""

    name: str
    provider: str
    opening: int

    def tools(self, body: Body) -> list[Tool]:
        """The tools that a request offers: with any, it is the agent's own turn."""
        ...

    def messages(self, body: Body) -> list[dict[str, Any]]:
        """The conversation so far."""
        ...

    def streams(self, body: Body, path: str) -> bool:
        """Whether the answer is to be streamed."""
        ...

    def schema(self, body: Body) -> dict[str, Any] | None:
        """The schema that the answer has to keep to, if there is one."""
        ...

    def whole(self, number: str, body: Body, content: Content) -> dict[str, Any]:
        """An answer in one piece."""
        ...

    def stream(
        self, number: str, body: Body, content: Content, behaviour: Behaviour
    ) -> Iterator[str]:
        """The answer as server-sent events, in frames; some have no text and are only headings."""
        ...

    def stream_error(self, error: dict[str, Any]) -> str:
        """The frame that ends a stream with an error."""
        ...


def texts(messages: list[dict[str, Any]]) -> Iterator[str]:
    """What the user said, in any of the APIs."""
    for message in messages:
        if message.get("role") != "user":
            continue
        content = message.get("content", message.get("parts"))
        if isinstance(content, str):
            yield content
            continue
        yield from (b["text"] for b in content or [] if isinstance(b.get("text"), str))


def frame(data: object, event: str | None = None) -> str:
    """One server-sent event."""
    heading = f"event: {event}\n" if event else ""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"{heading}data: {text}\n\n"
