"""The real credential, taken out of what goes back into a sandbox: as it is, and in the forms in
which a server may repeat it. Pure but for the waiting.

Each of its bytes becomes an asterisk, so that all lengths stay as they were.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import lru_cache

from rover_mcp.domain.secret_forms import SecretForms

SHORTEST = 8
"""Bytes. What is shorter stands in ordinary text."""

LONGEST = 4096
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

    def take(self, data: bytes) -> bytes:
        """The body's next part without it. A beginning of it at the part's end is held back until
        the next part tells."""
        if self._forms is None:
            return data
        masked = self._forms.masked(self._held + data)
        begun = self._forms.begun(masked, 0, len(masked))
        passed = len(masked) - begun.count
        self._held, self._most = masked[passed:], begun.most
        return masked[:passed]

    async def cleaned(self, parts: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """A whole body without it."""
        async for part in parts:
            if data := self.take(part):
                yield data
        if self._held:
            # Most of it, where a body ends in its middle, is as good as all of it.
            yield b"*" * len(self._held) if self._most else self._held
