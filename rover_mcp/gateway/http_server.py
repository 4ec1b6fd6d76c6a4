"""Serves HTTP/1.1 on one connection, with both bodies streamed.

h11 on asyncio streams rather than an ASGI server: a CONNECT becomes a tunnel, which needs the
connection's own streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from http import HTTPStatus

import h11

MAX_HEADER_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 100 * 1024 * 1024
READ_BYTES = 64 * 1024
# Many clients read an answer only after they have sent their request, and see a reset if the
# connection closes before. So a refused request may still send this much.
MAX_DRAINED_BYTES = 8 * 1024 * 1024
# What a client may send ahead, before the answer to its last request is complete.
MAX_EARLY_BYTES = 1024 * 1024
# Each idle connection counts towards the limit of its sandbox (gateway.MAX_CONNECTIONS).
IDLE_SECONDS = 300.0


class BodyTooLarge(Exception):
    """A request body beyond MAX_REQUEST_BYTES."""


class Exchange:
    """One request and its answer. The body of either is streamed, and may be endless."""

    def __init__(self, connection: HttpConnection, request: h11.Request) -> None:
        self._connection = connection
        self.method = request.method.decode("ascii")
        self.target = request.target.decode("latin-1")
        self.headers: list[tuple[bytes, bytes]] = list(request.headers)
        self.answered = False
        self.received = asyncio.Event()

    def header(self, name: bytes) -> bytes:
        return next((v for n, v in self.headers if n == name), b"")

    @property
    def has_body(self) -> bool:
        length = self.header(b"content-length")
        return bool(self.header(b"transfer-encoding")) or length not in (b"", b"0")

    async def body(self) -> AsyncGenerator[bytes]:
        """The request's body as it comes.

        Raises:
            BodyTooLarge: it goes beyond the limit.
            ConnectionError: the client went away.
        """
        size = 0
        while not self.received.is_set():
            event = await self._connection.next_event()
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > MAX_REQUEST_BYTES:
                    raise BodyTooLarge
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.received.set()
            else:
                raise ConnectionResetError("the client closed the connection")

    async def start(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        reason: bytes | None = None,
    ) -> None:
        self.answered = True
        # Some providers answer with statuses that the standard does not list (529 is Anthropic's
        # "overloaded"); HTTPStatus raises for them.
        if reason is None:
            known = status in HTTPStatus._value2member_map_
            reason = HTTPStatus(status).phrase.encode() if known else b""
        await self._connection.send(
            h11.Response(status_code=status, headers=list(headers), reason=reason)
        )

    async def send(self, data: bytes) -> None:
        if data:
            await self._connection.send(h11.Data(data=data))

    async def finish(self) -> None:
        await self._connection.send(h11.EndOfMessage())

    async def tunnel(self) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Let a CONNECT pass: what its client has sent already, and the connection's streams,
        which are no longer HTTP."""
        self.answered = True
        return await self._connection.switch()

    async def answer(
        self,
        status: int,
        value: object = None,
        more: Sequence[tuple[bytes, bytes]] = (),
        reason: bytes | None = None,
    ) -> None:
        """Answer at once: `value` as JSON, or no body; `more` headers, and what the status line
        says."""
        with contextlib.suppress(BodyTooLarge):
            drained = 0
            async for data in self.body():
                drained += len(data)
                if drained > MAX_DRAINED_BYTES:
                    break
        content = b"" if value is None else json.dumps(value).encode()
        headers = [(b"content-type", b"application/json")] if content else []
        if status != HTTPStatus.NO_CONTENT:
            headers.append((b"content-length", str(len(content)).encode()))
        await self.start(status, [*headers, *more], reason)
        await self.send(content)
        await self.finish()


Handler = Callable[[Exchange], Awaitable[None]]


class HttpConnection:
    """One client's connection, served until either side ends it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)

    async def serve(self) -> None:
        """Serve requests one after another. Ends quietly however the client ends."""
        try:
            while await self._serve_one():
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await self._protest(error)
        except (OSError, TimeoutError, h11.LocalProtocolError):
            # The client is gone or idle, or the provider's answer was shorter than its
            # content-length. The status line has been sent, so all that is left is to close.
            return
        finally:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _serve_one(self) -> bool:
        async with asyncio.timeout(IDLE_SECONDS):
            event = await self.next_event()
        if not isinstance(event, h11.Request):
            return False
        exchange = Exchange(self, event)
        # `_gone` watches the connection only from the end of the request on, and a handler does not
        # read a body that is not there.
        if not exchange.has_body:
            async for _ in exchange.body():
                pass
        if exchange.method == "CONNECT":
            # What the client sends next may be the tunnel's.
            await self._handler(exchange)
        else:
            await self._while_connected(exchange)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _while_connected(self, exchange: Exchange) -> None:
        """Run the handler, and cancel it as soon as the client is gone: an answer costs money also
        when no one reads it."""
        work = asyncio.ensure_future(self._handler(exchange))
        gone = asyncio.ensure_future(self._gone(exchange))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                if not task.done():
                    task.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _gone(self, exchange: Exchange) -> None:
        await exchange.received.wait()
        early = 0
        while early < MAX_EARLY_BYTES and (data := await self._reader.read(READ_BYTES)):
            early += len(data)
            self._http.receive_data(data)

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        """The client's next event.

        Raises:
            h11.RemoteProtocolError: this is not HTTP.
        """
        while (event := self._http.next_event()) is h11.NEED_DATA:
            # curl waits a second for this before it sends a body of over 1 MB.
            if self._http.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(READ_BYTES))
        return event  # pyright: ignore[reportReturnType] - NEED_DATA was taken out above

    async def send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def switch(self) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Answer a CONNECT with 200; see `Exchange.tunnel`."""
        # No headers: a content-length or transfer-encoding in a 2xx answer to CONNECT is forbidden
        # (RFC 9110, section 9.3.6): all that follows is the tunnel's.
        reason = b"Connection established"
        await self.send(h11.Response(status_code=200, headers=[], reason=reason))
        return self._http.trailing_data[0], self._reader, self._writer

    async def _protest(self, error: h11.RemoteProtocolError) -> None:
        # In the middle of an answer a second status line would be read as a part of the body.
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        status = error.error_status_hint
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        with contextlib.suppress(OSError, h11.LocalProtocolError):
            await self.send(h11.Response(status_code=status, headers=headers))
            await self.send(h11.EndOfMessage())
