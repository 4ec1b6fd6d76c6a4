"""The first that an agent sends through a tunnel, held back until it is known whom it greets.

A tunnel is allowed by name, and many names share the machines of one content network: a TLS
greeting for another name than the CONNECT's would reach whoever owns that name there. So the server
name in it has to be the tunnel's, and readable: Encrypted Client Hello hides it. Formats: RFC 8446
(sections 4.1.2, 5.1), RFC 6066 (section 3), draft-ietf-tls-esni (the extension's number).
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_BYTES = 64 * 1024
_HANDSHAKE = 22
_RECORDS = range(20, 25)
"""Content types of TLS: change_cipher_spec, alert, handshake, application_data, heartbeat."""
_CLIENT_HELLO = 1
_SERVER_NAME, _ENCRYPTED_HELLO = 0, 0xFE0D
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4


class GreetsAnother(Exception):
    """The greeting is for another host, or does not say for which."""


class Greeting:
    """What an agent sends first in the tunnel to `name`; None: to an address, where any name
    may be greeted."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._held = b""
        self._decided = name is None

    def pass_on(self, data: bytes) -> bytes:
        """What may be sent now: nothing until the greeting is whole.

        Raises:
            GreetsAnother: nothing may.
        """
        if self._decided:
            return data
        self._held += data
        if not self._held or not self._is_settled():
            return b""
        self._decided = True
        data, self._held = self._held, b""
        return data

    def _is_settled(self) -> bool:
        if self._held[0] not in _RECORDS:
            return True  # no TLS
        hello = _message(self._held)
        if hello is None:
            if len(self._held) > MAX_BYTES:
                raise GreetsAnother("its TLS greeting is too long")
            return False
        self._judge(hello)
        return True

    def _judge(self, hello: bytes) -> None:
        for kind, body in _extensions(hello):
            if kind == _ENCRYPTED_HELLO:
                raise GreetsAnother(
                    "its TLS greeting is encrypted (ECH), so that it may be for any other host"
                )
            if kind == _SERVER_NAME:
                # A list's length, the kind of the only entry, its length.
                greeted = body[5:].decode("ascii", "replace").lower().rstrip(".")
                if greeted != self._name:
                    raise GreetsAnother(f"its TLS greeting is for another host, {greeted[:253]}")


def _message(data: bytes) -> bytes | None:
    """The body of the first handshake message; None: there is more to come."""
    message, at = b"", 0
    while at < len(data):
        if data[at] != _HANDSHAKE:
            raise GreetsAnother("it does not begin with a TLS greeting")
        end = at + _RECORD_HEAD + int.from_bytes(data[at + 3 : at + _RECORD_HEAD])
        message += data[at + _RECORD_HEAD : end]
        length = int.from_bytes(message[1:_MESSAGE_HEAD])
        if len(message) >= _MESSAGE_HEAD + length and len(message) >= _MESSAGE_HEAD:
            if message[0] != _CLIENT_HELLO:
                raise GreetsAnother("it does not begin with a TLS greeting")
            return message[_MESSAGE_HEAD : _MESSAGE_HEAD + length]
        at = end
    return None


def _extensions(hello: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each: they come after version, random, session, ciphers, methods."""
    at = 2 + 32
    for size in (1, 2, 1):
        at += size + int.from_bytes(_exactly(hello, at, size))
    if at == len(hello):
        return
    at += 2
    while at < len(hello):
        kind = int.from_bytes(_exactly(hello, at, 2))
        length = int.from_bytes(_exactly(hello, at + 2, 2))
        yield kind, _exactly(hello, at + 4, length)
        at += 4 + length


def _exactly(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise GreetsAnother("its TLS greeting is broken")
    return data[at : at + size]
