"""The Gemini API: https://ai.google.dev/api/generate-content. Pure."""

from __future__ import annotations

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
    "promptTokenCount": INPUT_TOKENS + CACHED_TOKENS,
    "cachedContentTokenCount": CACHED_TOKENS,
    "candidatesTokenCount": OUTPUT_TOKENS,
    "totalTokenCount": INPUT_TOKENS + CACHED_TOKENS + OUTPUT_TOKENS,
}


class Gemini:
    """`Dialect` of generativelanguage.googleapis.com."""

    name = "gemini"
    provider = "google"
    opening = 1

    def tools(self, body: Body) -> list[Tool]:
        declared = [d for t in body.get("tools") or [] for d in t.get("functionDeclarations", [])]
        return [
            Tool(d.get("name", ""), d.get("parametersJsonSchema") or d.get("parameters") or {})
            for d in declared
        ]

    def messages(self, body: Body) -> list[dict[str, Any]]:
        return body.get("contents", [])

    def streams(self, body: Body, path: str) -> bool:
        return ":streamGenerateContent" in path

    def schema(self, body: Body) -> dict[str, Any] | None:
        config = body.get("generationConfig") or {}
        return config.get("responseJsonSchema") or config.get("responseSchema")

    def whole(self, number: str, body: Body, content: Content) -> dict[str, Any]:
        if isinstance(content, Say):
            part: dict[str, Any] = {"text": content.text}
        else:
            part = {"functionCall": {"name": content.name, "args": dict(content.arguments)}}
        return _answer(number, [part], "STOP")

    def stream(
        self, number: str, body: Body, content: Content, behaviour: Behaviour
    ) -> Iterator[str]:
        if isinstance(content, Say):
            *first, last = pieces(content.text, behaviour)
            for part in first or [""]:
                yield frame(_answer(number, [{"text": part}], None))
            yield frame(_answer(number, [{"text": last}], "STOP"))
            return
        yield frame(self.whole(number, body, content))

    def stream_error(self, error: dict[str, Any]) -> str:
        return frame({"error": error})


def _answer(number: str, parts: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    return {
        "candidates": [candidate],
        "usageMetadata": USAGE,
        "responseId": number,
    }
