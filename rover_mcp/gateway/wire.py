# ruff: noqa: ASYNC109 - httpcore2 names its time-outs so
"""Connections to providers, for httpcore2; and the bodies of streamed answers past its HTTP parser,
received in place and passed on from there.

The parser sees an answer's head, and what is left of the body once `chunks` has ended.
"""

from __future__ import annotations

import asyncio
import re
import select
import socket
import ssl
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpcore2

from rover_mcp.gateway.chunks import BACK, FRONT, Chunks, TooLong

FIRST_BYTES, MOST_BYTES = 64 * 1024, 512 * 1024
"""What is received at once: at first, and where that was too little, as for no model's stream."""

MAX_HEAD = 64 * 1024
RACE = 0.25
"""Seconds until a second address of a host is tried beside the first (RFC 8305)."""

_BLANK = re.compile(rb"\n\r?\n")  # as h11 takes it
_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] 1")


@dataclass
class Part:
    """Some of a body: `buffer[begin:end]`. The buffer has room before it and behind it, and is its
    reader's until the next part is asked for."""

    buffer: bytearray
    begin: int
    end: int

    @classmethod
    def of(cls, data: bytes) -> Part:
        """Of bytes that came another way."""
        buffer = bytearray(FRONT + len(data) + BACK)
        buffer[FRONT : FRONT + len(data)] = data
        return cls(buffer, FRONT, FRONT + len(data))

    def __len__(self) -> int:
        return self.end - self.begin

    @property
    def data(self) -> bytes:
        """A copy."""
        return bytes(memoryview(self.buffer)[self.begin : self.end])

    def as_chunk(self) -> memoryview:
        """It as one chunk (RFC 9112, section 7.1), made in place."""
        size = b"%x\r\n" % len(self)
        begin = self.begin - len(size)
        self.buffer[begin : self.begin] = size
        self.buffer[self.end : self.end + BACK] = b"\r\n"
        return memoryview(self.buffer)[begin : self.end + BACK]


class _Received(asyncio.BufferedProtocol):
    """What a connection received and nobody has taken yet: `buffer[FRONT:end]`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.end = FRONT
        self.ended = False
        self.error: Exception | None = None
        self.closed = asyncio.Event()
        self._size = FRONT + FIRST_BYTES
        self.buffer = bytearray(self._size + BACK)
        self._spare: bytearray | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)[self.end : self._size]

    def buffer_updated(self, nbytes: int) -> None:
        self.end += nbytes
        if self.end == self._size and self.transport:
            self.transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, self.error or exc
        self._news.set()
        self._writable.set()
        self.closed.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # The reader's side

    async def more(self, timeout: float | None) -> bool:
        """Wait until more has come than there was at the last call or `take`. False: it has ended.

        Raises:
            TimeoutError
            OSError: it broke.
        """
        if not self._news.is_set():
            async with asyncio.timeout(timeout):
                await self._news.wait()
        if not self.ended:
            self._news.clear()
            return True
        if self.error:
            raise self.error
        return False

    def take(self, position: int) -> bytearray:
        """The buffer, which is the caller's until it is given back. What begins at `position` is
        received anew."""
        taken, rest = self.buffer, self.end - position
        was_full = self.end == self._size
        if was_full and self._size < MOST_BYTES:
            self._size, self._spare = FRONT + MOST_BYTES, None
        self.buffer = self._spare or bytearray(self._size + BACK)
        self._spare = None
        self.buffer[FRONT : FRONT + rest] = memoryview(taken)[position : self.end]
        self._received_less(was_full, FRONT + rest)
        return taken

    def give_back(self, buffer: bytearray) -> None:
        if len(buffer) == len(self.buffer):
            self._spare = buffer

    def rest(self) -> None:
        """A body has ended: hold no more than the next one's beginning needs."""
        self._spare = None
        if self.end - FRONT < FIRST_BYTES < self._size - FRONT:
            kept, self._size = self.buffer[: self.end], FRONT + FIRST_BYTES
            self.buffer = bytearray(self._size + BACK)
            self.buffer[: self.end] = kept

    def drop(self, position: int) -> None:
        """What is before `position` is no longer needed."""
        rest = self.end - position
        self.buffer[FRONT : FRONT + rest] = self.buffer[position : self.end]
        self._received_less(self.end == self._size, FRONT + rest)

    def _received_less(self, was_full: bool, end: int) -> None:
        self.end = end
        if was_full and end < self._size and self.transport and not self.ended:
            self.transport.resume_reading()

    async def send(self, data: bytes, timeout: float | None) -> None:
        """Raises TimeoutError, OSError."""
        if self.ended or self.transport is None or self.transport.is_closing():
            raise self.error or ConnectionResetError("the connection is closed")
        self.transport.write(data)
        if not self._writable.is_set():
            async with asyncio.timeout(timeout):
                await self._writable.wait()
        if self.error:
            raise self.error


class ProviderStream(httpcore2.AsyncNetworkStream):
    """One connection."""

    def __init__(self, received: _Received) -> None:
        self._received = received
        self._at_head = False
        self.at_body = False
        """the parser has an answer's head, and nothing of its body"""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """For the parser: an answer's head alone, later whatever came. Empty at the end."""
        received = self._received
        while received.end == FRONT or (self._at_head and not self._head_end()):
            with _told_as(httpcore2.ReadTimeout, httpcore2.ReadError):
                if not await received.more(timeout):
                    break
        end = (self._at_head and self._head_end()) or received.end
        data = bytes(memoryview(received.buffer)[FRONT:end])
        self.at_body = self._at_head and not _INFORMATIONAL.match(data)
        self._at_head = self._at_head and not self.at_body
        received.drop(end)
        return data

    def _head_end(self) -> int:
        """Where a head ends that was received; 0: there is more to come. One that is too long ends
        with what there is of it: the parser says so."""
        received = self._received
        found = _BLANK.search(received.buffer, FRONT, received.end)
        if found:
            return found.end()
        return received.end if received.end - FRONT > MAX_HEAD else 0

    async def chunks(self, timeout: float | None) -> AsyncGenerator[Part]:
        """The body of the answer whose head was read, as it comes and without its framing, as far
        as it is plain chunks. `timeout` is for each wait.

        Raises:
            httpcore2.ReadTimeout, httpcore2.ReadError, httpcore2.RemoteProtocolError
        """
        self.at_body = False
        received, walker = self._received, Chunks()
        seen = FRONT
        while not walker.over:
            if received.end == seen:
                with _told_as(httpcore2.ReadTimeout, httpcore2.ReadError):
                    if not await received.more(timeout):
                        return
            try:
                stop, taken = walker.walk(received.buffer, FRONT, received.end)
            except TooLong as error:
                raise httpcore2.RemoteProtocolError("a chunk is longer than it said") from error
            if stop == FRONT:
                received.drop(taken)
                seen = received.end
                continue
            buffer = received.take(taken)
            # What is left needs more bytes, so it is not looked at until they came.
            seen = received.end
            yield Part(buffer, FRONT, stop)
            received.give_back(buffer)
        received.rest()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            self._at_head, self.at_body = True, False
            with _told_as(httpcore2.WriteTimeout, httpcore2.WriteError):
                await self._received.send(buffer, timeout)

    async def aclose(self) -> None:
        if self._received.transport:
            self._received.transport.abort()
            await self._received.closed.wait()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        received = self._received
        if received.transport is None:
            raise httpcore2.ConnectError("the connection is closed")
        with _told_as(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                received.transport = await asyncio.get_running_loop().start_tls(
                    received.transport, received, ssl_context, server_hostname=server_hostname
                )
        return ProviderStream(received)

    def get_extra_info(self, info: str) -> Any:
        """See httpcore2.AsyncNetworkStream."""
        received = self._received
        names = {"client_addr": "sockname", "server_addr": "peername", "is_readable": "socket"}
        extra = received.transport and received.transport.get_extra_info(names.get(info, info))
        if info == "is_readable":
            # Where nothing was asked, whatever comes is the end, or nonsense.
            return received.ended or received.end > FRONT or _is_readable(extra)
        return extra


def _is_readable(connection: socket.socket | None) -> bool:
    if connection is None or connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _told_as(
    timeout: type[httpcore2.TimeoutException], failure: type[httpcore2.NetworkError]
) -> Generator[None]:
    """In httpcore2's words."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:  # and ssl.SSLError
        raise failure(str(error)) from error


class ProviderBackend(httpcore2.AsyncNetworkBackend):
    """Connects to providers, on asyncio."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        with _told_as(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                _, received = await asyncio.get_running_loop().create_connection(
                    _Received, host, port, happy_eyeballs_delay=RACE
                )
        return ProviderStream(received)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
