"""Masks the real credential in what goes back into a sandbox, in every form in which a server may
repeat it. Pure but for the waiting.

Each byte of it becomes an asterisk, so that every length stays the same: headers and the framing of
a stream may state lengths.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import lru_cache

from rover_mcp.domain.secret_forms import SecretForms

SHORTEST = 8
"""Bytes. A shorter credential would also be found in ordinary text."""

# Bytes. A body is searched for every form of the credential, and a part as long as it is held back.
LONGEST = 4096
_forms_of = lru_cache(maxsize=32)(SecretForms)


class CredentialRedactor:
    """Masks one answer. `header_value` is the header that carried the credential, with its scheme
    (`Bearer`) in front if it has one."""

    def __init__(self, header_value: str) -> None:
        secret = header_value.rpartition(" ")[2].encode()
        self._forms = _forms_of(secret) if SHORTEST <= len(secret) <= LONGEST else None
        self._held = b""
        self._most = False

    def headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Mask the credential in the headers' values, and drop a header that is named by it."""
        forms = self._forms
        if forms is None:
            return list(headers)
        return [(name, forms.masked(value)) for name, value in headers if not forms.names(name)]

    def take(self, data: bytes) -> bytes:
        """Mask the credential in the body's next part.

        A beginning of the credential at the part's end is held back until the next part shows
        whether it is one: servers and the network cut a stream anywhere.
        """
        if self._forms is None:
            return data
        masked = self._forms.masked(self._held + data)
        begun = self._forms.begun(masked, 0, len(masked))
        passed = len(masked) - begun.count
        self._held, self._most = masked[passed:], begun.most
        return masked[:passed]

    async def redact(self, parts: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """Mask the credential in a complete body."""
        async for part in parts:
            if data := self.take(part):
                yield data
        if self._held:
            # A body that ends in the middle of the credential may still have given most of it away.
            yield b"*" * len(self._held) if self._most else self._held
