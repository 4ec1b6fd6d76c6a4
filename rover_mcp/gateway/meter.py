"""Tokens and errors read out of an answer while it passes. Pure; no I/O.

Formats: https://docs.claude.com/en/api/messages and /en/api/messages-streaming.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, cast

from agent_runner.models import Usage
from rover_mcp.gateway.models import ProviderError

MAX_EVENT_BYTES = 1024 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_MESSAGE = 2000
_READ_EVENTS = frozenset((b"", b"message_start", b"message_delta", b"error"))
_TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


class Meter:
    """Fed with an answer's bytes; `usage` and `error` say what they told so far."""

    def __init__(self, status: int, content_type: str, encoding: str) -> None:
        self.error: ProviderError | None = None
        self._failed = status >= 400  # RFC 9110, section 15
        self._status = status
        self._tokens: dict[str, int] = {}
        self.streams = content_type.lower().startswith("text/event-stream")
        self._event = b""
        self._held = bytearray()
        self._overflow = False
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if "gzip" in encoding else None
        self._readable = encoding in ("", "identity", "gzip")

    @property
    def usage(self) -> Usage | None:
        return Usage(**cast(dict[str, Any], self._tokens)) if self._tokens else None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, as they came from the provider."""
        if not self._readable:
            return
        if self._inflate:
            data = self._inflated(data)
        if self.streams:
            self._feed_stream(data)
        elif not self._overflow:
            self._held += data
            self._overflow = len(self._held) > MAX_BODY_BYTES

    def end(self) -> None:
        """The body is complete."""
        if self.streams:
            self._feed_stream(b"\n")
        elif not self._overflow:
            self._take(bytes(self._held))
        if self._failed and self.error is None:
            text = self._held[:MAX_MESSAGE].decode("utf-8", "replace").strip()
            self.error = ProviderError(None, None, text or f"status {self._status}, no body")

    def _inflated(self, data: bytes) -> bytes:
        try:
            return self._inflate.decompress(data, MAX_BODY_BYTES) if self._inflate else data
        except zlib.error:
            self._readable = False
            return b""

    def _feed_stream(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._hold(line)
            if not self._overflow:
                self._line(bytes(self._held).rstrip(b"\r"))
            self._held, self._overflow = bytearray(), False
        self._hold(rest)

    def _hold(self, part: bytes) -> None:
        self._overflow = self._overflow or len(self._held) + len(part) > MAX_EVENT_BYTES
        if not self._overflow:
            self._held += part

    def _line(self, line: bytes) -> None:
        if not line:
            self._event = b""
        elif line.startswith(b"event:"):
            self._event = line[6:].strip()
        elif line.startswith(b"data:") and self._event in _READ_EVENTS:
            self._take(line[5:])

    def _take(self, content: bytes) -> None:
        value = _mapping(_parsed(content))
        if value.get("type") == "error" or (self._failed and "error" in value):
            self.error = provider_error(value)
            return
        message = _mapping(value.get("message"))
        for usage in (_mapping(message.get("usage")), _mapping(value.get("usage"))):
            # Later counts are totals so far, not additions.
            for name, ours in _TOKENS.items():
                count = usage.get(name)
                if isinstance(count, int) and count >= 0:
                    self._tokens[ours] = count


def provider_error(body: object) -> ProviderError:
    """The error in `{"type": "error", "error": {"type", "message", "code"?}}`, or what can be
    made out of something like it."""
    error = _mapping(body).get("error")
    fields = _mapping(error)
    kind, code = fields.get("type"), fields.get("code")
    message = fields.get("message") or (error if isinstance(error, str) else "")
    return ProviderError(
        type=str(kind)[:MAX_MESSAGE] if kind else None,
        code=str(code)[:MAX_MESSAGE] if code else None,
        message=str(message)[:MAX_MESSAGE],
    )


def _parsed(content: bytes) -> object:
    try:
        return cast(object, json.loads(content))
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
