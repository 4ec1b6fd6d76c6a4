"""Copies the bytes of a CONNECT tunnel both ways, and checks which host its TLS ClientHello names.

A tunnel is allowed by name, and many names share the machines of one content network: a TLS
ClientHello for another name than the CONNECT's would reach whoever owns that name there. So the
server name in the ClientHello must be the tunnel's, and readable: Encrypted Client Hello hides it.
Formats: RFC 8446 (sections 4.1.2, 5.1), RFC 6066 (section 3), draft-ietf-tls-esni (the extension's
number).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from rover_mcp.gateway.internet import Streams

CHUNK = 256 * 1024
# A ClientHello with post-quantum key shares has about 1.7 kB; TLS allows 16 MB for a message.
MAX_CLIENT_HELLO_BYTES = 64 * 1024
_HANDSHAKE = 22
_RECORDS = range(20, 25)
"""Content types of TLS: change_cipher_spec, alert, handshake, application_data, heartbeat."""
_CLIENT_HELLO = 1
_SERVER_NAME, _ENCRYPTED_HELLO = 0, 0xFE0D
_RECORD_HEAD, _MESSAGE_HEAD = 5, 4
Sends = Callable[[int], Awaitable[None]]
"""Is called before so many bytes go to a host; raises UploadsSpent if they may not."""


class AllowanceSpent(Exception):
    """More passed than one attempt may send and fetch."""


@dataclass
class Allowance:
    """What one attempt may still send and fetch through the proxy, in bytes."""

    left: int

    def take(self, count: int) -> None:
        """Raises AllowanceSpent."""
        self.left -= count
        if self.left < 0:
            raise AllowanceSpent


async def _free(_count: int) -> None:
    """Count nothing: only uploads are limited for each host."""


async def relay(
    early: bytes,
    agent: Streams,
    there: Streams,
    client_hello: ClientHello,
    allowance: Allowance,
    sends: Sends,
    idle: float,
) -> None:
    """Copy until both sides have ended, or neither has sent anything for `idle` seconds.

    A side that ends its sending is ended only in that direction (a half-closed TCP connection): the
    answer may still be coming. `early` is what the agent sent before; `sends` is called before
    anything goes out.

    Raises:
        AllowanceSpent, UploadsSpent, WrongServerName, OSError, TimeoutError: it was cut.
    """
    loop = asyncio.get_running_loop()
    await sends(len(early))
    there[1].write(client_hello.pass_on(early))
    try:
        async with asyncio.timeout(idle) as limit, asyncio.TaskGroup() as both:

            def moved(count: int) -> None:
                allowance.take(count)
                limit.reschedule(loop.time() + idle)

            both.create_task(_copy(agent[0], there[1], moved, client_hello.pass_on, sends))
            both.create_task(_copy(there[0], agent[1], moved, lambda data: data, _free))
    except BaseExceptionGroup as group:
        # The first of the two that failed; the other was ended for it.
        raise group.exceptions[0] from None


async def _copy(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    moved: Callable[[int], None],
    passed: Callable[[bytes], bytes],
    sends: Sends,
) -> None:
    while data := await source.read(CHUNK):
        moved(len(data))
        await sends(len(data))
        sink.write(passed(data))
        await sink.drain()
    if not sink.can_write_eof():
        # asyncio can close both directions of a TLS connection, and not one alone.
        raise ConnectionResetError("TLS to a proxy cannot be ended on one side")
    with contextlib.suppress(OSError):
        sink.write_eof()


class WrongServerName(Exception):
    """The ClientHello is for another host, or does not say for which."""


class ClientHello:
    """What an agent sends first in the tunnel to `name`; None: to an address, where any name
    may name.

    However finely the agent cuts its ClientHello, each byte is looked at once: parsing waits for a
    complete record, so that a byte at a time costs no more than all at once.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._held = bytearray()
        self._message = bytearray()
        self._at = 0
        """where the incomplete record begins"""
        self._decided = name is None
        self.parses = 0
        """how often what is held was looked at"""

    def pass_on(self, data: bytes) -> bytes:
        """Return what may be sent now: nothing until the ClientHello is complete.

        Raises:
            WrongServerName: nothing may.
        """
        if self._decided:
            return data
        self._held += data
        if not self._held or not self._is_settled():
            return b""
        self._decided = True
        data, self._held = bytes(self._held), bytearray()
        self._message = bytearray()
        return data

    def _is_settled(self) -> bool:
        if self._held[0] not in _RECORDS:
            # Not TLS (ssh, for instance): there is no ClientHello that could name another host.
            return True
        while len(self._held) >= self._needed():
            self.parses += 1
            if self._take_record():
                self._judge(bytes(self._message[_MESSAGE_HEAD:]))
                return True
        if len(self._held) > MAX_CLIENT_HELLO_BYTES:
            raise WrongServerName("its TLS ClientHello is too long")
        return False

    def _needed(self) -> int:
        """Return how many bytes have to be there before there is something new to parse."""
        held, at = self._held, self._at
        if len(held) > at and held[at] != _HANDSHAKE:
            raise WrongServerName("it does not begin with a TLS ClientHello")
        head = at + _RECORD_HEAD
        return head if len(held) < head else head + int.from_bytes(held[at + 3 : head])

    def _take_record(self) -> bool:
        """Add a complete record to the message, and return whether the message is complete now."""
        begin, end = self._at + _RECORD_HEAD, self._needed()
        self._message += memoryview(self._held)[begin:end]
        self._at = end
        if self._at > MAX_CLIENT_HELLO_BYTES:
            raise WrongServerName("its TLS ClientHello is too long")
        if self._message and self._message[0] != _CLIENT_HELLO:
            raise WrongServerName("it does not begin with a TLS ClientHello")
        if len(self._message) < _MESSAGE_HEAD:
            return False
        length = _MESSAGE_HEAD + int.from_bytes(self._message[1:_MESSAGE_HEAD])
        if len(self._message) < length:
            return False
        # One record may hold the ClientHello and the begin of another message.
        del self._message[length:]
        return True

    def _judge(self, hello: bytes) -> None:
        for kind, body in _extensions(hello):
            if kind == _ENCRYPTED_HELLO:
                raise WrongServerName(
                    "its TLS ClientHello is encrypted (ECH), so it may be for another host"
                )
            if kind == _SERVER_NAME:
                server_name = _server_name(body)
                if server_name != self._name:
                    raise WrongServerName(
                        f"its TLS ClientHello is for another host, {server_name[:253]}"
                    )


def _server_name(body: bytes) -> str:
    """Return the only name in the extension: a list's length, the kind of its entry, the name's
    length.

    A list of two names is refused: which of them counts differs between TLS libraries.
    """
    name = body[5:]
    if body[:5] != (len(name) + 3).to_bytes(2) + b"\0" + len(name).to_bytes(2):
        raise WrongServerName("its TLS ClientHello does not name exactly one host, or is broken")
    return name.decode("ascii", "backslashreplace").lower().removesuffix(".")


def _extensions(hello: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and content of each extension of a ClientHello.

    They come after version, random, session id, cipher suites and compression methods.
    """
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
        raise WrongServerName("its TLS ClientHello is broken")
    return data[at : at + size]
