"""The real credential, taken out of what goes back into a sandbox: as it is, and in the forms in
which a server may repeat it. Pure but for the waiting.

Each of its bytes becomes an asterisk, so that all lengths stay as they were.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import lru_cache

from rover_mcp.gateway.chunks import FRONT
from rover_mcp.gateway.wire import Part
from rover_mcp.secret_forms import SecretForms

SHORTEST = 8
"""Bytes. What is shorter stands in ordinary text."""

LONGEST = 4096
_ROOM = FRONT - 16
"""Bytes that fit before a part, beside the size of a chunk."""

_forms_of = lru_cache(maxsize=32)(SecretForms)


class Redactor:
    """Of one answer. `header_value` is what the credential was sent as, a scheme before it."""

    def __init__(self, header_value: str) -> None:
        secret = header_value.rpartition(" ")[2].encode()
        self._forms = _forms_of(secret) if SHORTEST <= len(secret) <= LONGEST else None
        self._held = b""
        self._most = False

    def headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Without it in their values."""
        forms = self._forms
        if forms is None:
            return list(headers)
        return [(name, forms.masked(value)) for name, value in headers if not forms.names(name)]

    def take(self, part: Part) -> None:
        """Take it out of the body's next part, in place. A beginning of it at the part's end is
        held back until the next part tells."""
        if self._forms is None:
            return
        if self._held:
            self._put_back(part)
        for begin, end in self._forms.spans(part.buffer, part.begin, part.end):
            part.buffer[begin:end] = b"*" * (end - begin)
        begun = self._forms.begun(part.buffer, part.begin, part.end)
        if begun.count:
            self._held = bytes(part.buffer[part.end - begun.count : part.end])
            self._most = begun.most
            part.end -= begun.count

    async def cleaned(self, parts: AsyncIterable[Part]) -> AsyncGenerator[Part]:
        """A whole body without it."""
        async for part in parts:
            self.take(part)
            if len(part):
                yield part
        if self._held:
            # Most of it, where a body ends in its middle, is as good as all of it.
            yield Part.of(b"*" * len(self._held) if self._most else self._held)

    def _put_back(self, part: Part) -> None:
        held, self._held = self._held, b""
        if len(held) > min(part.begin, _ROOM):
            whole = Part.of(held + part.data)
            part.buffer, part.begin, part.end = whole.buffer, whole.begin, whole.end
            return
        begin = part.begin - len(held)
        part.buffer[begin : part.begin] = held
        part.begin = begin
