"""The real credential, taken out of what goes back into a sandbox. Pure but for the waiting.

Each of its bytes becomes an asterisk, so that all lengths stay as they were.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable

from rover_mcp.gateway.wire import Part

SHORTEST = 8
"""Bytes. What is shorter stands in ordinary text."""

LONGEST = 4096


class Redactor:
    """Of one answer. `header_value` is what the credential was sent as, a scheme before it."""

    def __init__(self, header_value: str) -> None:
        secret = header_value.rpartition(" ")[2].encode()
        self._secret = secret if SHORTEST <= len(secret) <= LONGEST else b""
        self._held = b""

    def headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Without it in their values."""
        stars = b"*" * len(self._secret)
        if not self._secret:
            return list(headers)
        named = self._secret.lower()
        return [
            (name, value.replace(self._secret, stars))
            for name, value in headers
            if named not in name.lower()
        ]

    def take(self, part: Part) -> None:
        """Take it out of the body's next part, in place. A beginning of it at the part's end is
        held back until the next part tells."""
        secret = self._secret
        if not secret:
            return
        if self._held:
            begin = part.begin - len(self._held)
            part.buffer[begin : part.begin] = self._held
            part.begin, self._held = begin, b""
        at = part.buffer.find(secret, part.begin, part.end)
        while at >= 0:
            part.buffer[at : at + len(secret)] = b"*" * len(secret)
            at = part.buffer.find(secret, at + len(secret), part.end)
        if count := self._begun(part):
            self._held = bytes(part.buffer[part.end - count : part.end])
            part.end -= count

    async def cleaned(self, parts: AsyncIterable[Part]) -> AsyncGenerator[Part]:
        """A whole body without it."""
        async for part in parts:
            self.take(part)
            if len(part):
                yield part
        if self._held:
            # Most of it, where a body ends in its middle, is as good as all of it.
            usable = len(self._held) > len(self._secret) // 2
            yield Part.of(b"*" * len(self._held) if usable else self._held)

    def _begun(self, part: Part) -> int:
        """How many bytes at the part's end are a beginning of the secret: the most there are."""
        secret, end = self._secret, part.end
        at = part.buffer.find(secret[:1], max(part.begin, end - len(secret) + 1), end)
        while at >= 0:
            if secret.startswith(part.buffer[at:end]):
                return end - at
            at = part.buffer.find(secret[:1], at + 1, end)
        return 0
