"""Reads tokens, models and errors from an answer while it passes. Pure; no I/O."""

from __future__ import annotations

import json
import zlib
from typing import cast

from agent_runner.models import Usage
from rover_mcp.gateway.grant import ProviderError
from rover_mcp.gateway.response_formats import MAX_MESSAGE, ResponseFormat, failed_body, mapping

MAX_EVENT_BYTES = 1024 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
# No task can use as many tokens. A provider is untrusted, and a number that overflows the
# database's integers would stop the bookkeeping of everybody.
MAX_TOKENS = 10**12
PROBED_BYTES, SHORT_LINES = 4096, 16
"""A stream with so many lines in so many bytes is of short events."""

CR = 0x0D
_OURS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class UsageMeter:
    """Parses an answer as it comes; `usage`, `model` and `error` are what it reports so far."""

    def __init__(
        self, response_format: ResponseFormat, status: int, content_type: str, encoding: str
    ) -> None:
        self.error: ProviderError | None = None
        self.model: str | None = None
        self.streams = content_type.lower().startswith("text/event-stream")
        self._format = response_format
        self._failed = status >= 400  # RFC 9110, section 15
        self._status = status
        self._tokens: dict[str, int] = {}
        self._event = b""
        self._held = bytearray()
        self._overflow = False
        # 32 lets zlib recognise gzip by its header.
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if "gzip" in encoding else None
        self._readable = encoding in ("", "identity", "gzip")

    @property
    def usage(self) -> Usage | None:
        """The tokens that the answer reports, None while it reports none."""
        if not self._tokens:
            return None
        return Usage(**{name: self._tokens.get(name, 0) for name in _OURS})

    @property
    def cache_write_1h(self) -> int:
        """The part of the cache writes that is kept for an hour, and costs more."""
        return self._tokens.get("cache_write_1h", 0)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes of the body; True if they held something of interest."""
        if not self._readable:
            return False
        if self._inflate:
            data = self._inflated(data)
        if self.streams:
            return self._feed_stream(data)
        if not self._overflow:
            self._held += data
            self._overflow = len(self._held) > MAX_BODY_BYTES
        return False

    def end(self) -> None:
        """Note that the body is complete."""
        if self.streams:
            # A stream that was cut may end in the middle of a line.
            self._feed_stream(b"\n")
        elif not self._overflow:
            self._take(bytes(self._held))
        if self._failed and self.error is None and not self.streams:
            self.error = failed_body(_parsed(bytes(self._held)))
        if self._failed and self.error is None:
            text = self._held[:MAX_MESSAGE].decode("utf-8", "replace").strip()
            self.error = ProviderError(None, None, text or f"status {self._status}, no body")

    def _inflated(self, data: bytes) -> bytes:
        try:
            # Limited, because a small compressed part can unpack to any size.
            return self._inflate.decompress(data, MAX_BODY_BYTES) if self._inflate else data
        except zlib.error:
            self._readable = False
            return b""

    def _feed_stream(self, data: bytes) -> bool:
        has_read, begin, end = False, 0, len(data)
        if self._held or self._overflow:
            stop = data.find(b"\n", begin, end)
            self._hold(data, begin, end if stop < 0 else stop)
            if stop < 0:
                return False
            line = b"" if self._overflow else bytes(self._held)
            self._held, self._overflow = bytearray(), False
            has_read = self._line(line)
            begin = stop + 1
        begin = self._without_silent(data, begin, end)
        while (stop := data.find(b"\n", begin, end)) >= 0:
            has_read = self._line(data, begin, stop) or has_read
            begin = stop + 1
        self._hold(data, begin, end)
        return has_read

    def _without_silent(self, data: bytes, begin: int, end: int) -> int:
        """Skip to the last event if those before it hold nothing of interest.

        Searching many short events for a mark is faster than parsing each. Long events are skipped
        by their names anyway.
        """
        if data.count(b"\n", begin, min(end, begin + PROBED_BYTES)) < SHORT_LINES:
            return begin
        last = data.rfind(b"\n\n", begin, end)
        if last < 0 or any(data.find(m, begin, last) >= 0 for m in self._format.marks):
            return begin
        self._event = b""
        return last + 2

    def _hold(self, data: bytes, begin: int, end: int) -> None:
        self._overflow = self._overflow or len(self._held) + end - begin > MAX_EVENT_BYTES
        if not self._overflow:
            self._held += memoryview(data)[begin:end]

    def _line(self, data: bytes, begin: int = 0, end: int | None = None) -> bool:
        end = len(data) if end is None else end
        if data.startswith(b"data:", begin, end):
            if self._format.concerns(self._event, data, begin, end):
                self._take(data[begin + 5 : end])
                return True
        elif data.startswith(b"event:", begin, end):
            self._event = data[begin + 6 : end].strip()
        # An empty line ends an event. Lines of a stream may end with CR LF (the HTML standard,
        # 9.2).
        elif end - begin == 0 or (end - begin == 1 and data[begin] == CR):
            self._event = b""
        return False

    def _take(self, content: bytes) -> None:
        value = _parsed(content)
        # Gemini without `alt=sse`: a list of what would be the stream's events.
        for one in cast(list[object], value) if isinstance(value, list) else [value]:
            self._read(one)

    def _read(self, value: object) -> None:
        report = self._format.read(mapping(value))
        self.error = report.error or self.error
        self.model = report.model or self.model
        self._tokens |= {k: n for k, n in report.tokens.items() if n <= MAX_TOKENS}


def _parsed(content: bytes) -> object:
    try:
        return cast(object, json.loads(content))
    except (ValueError, RecursionError):
        return None
