"""A connection's socket as the pair of message streams that the SDK's server runs on."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, cast

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

log = logging.getLogger("rover.transport")

ReadSide = MemoryObjectReceiveStream[SessionMessage | Exception]
WriteSide = MemoryObjectSendStream[SessionMessage]


MAX_UNANSWERED: Final = 256
"""Requests of one connection that wait for their answers. A client that asks on without reading
costs no more than this."""


class Sink(Protocol):
    """Where messages to a client go, whatever carries them."""

    async def send(self, item: SessionMessage, /) -> None: ...


@asynccontextmanager
async def message_streams(
    stream: ByteStream, buffered: BufferedByteReceiveStream, max_frame: int
) -> AsyncGenerator[tuple[ReadSide, WriteSide]]:
    """Frames are JSON-RPC, one message a line, as on stdio. Leaving closes the connection."""
    read_in, read_out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write_in, write_out = anyio.create_memory_object_stream[SessionMessage](0)

    refuse = write_in.clone()
    desk = _RequestQueue(read_in, refuse)

    async def reader() -> None:
        async with read_in, refuse:
            try:
                while True:
                    line = await read_line(buffered, max_frame)
                    if line.strip():
                        await desk.take(line)
            except (anyio.EndOfStream, anyio.IncompleteRead, OSError):
                pass
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass

    async def writer() -> None:
        async with write_out:
            try:
                async for message in write_out:
                    desk.note(message.message)
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await stream.send(text.encode() + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                pass

    async with anyio.create_task_group() as group:
        group.start_soon(reader)
        group.start_soon(writer)
        try:
            yield read_out, write_in
        finally:
            group.cancel_scope.cancel()


async def read_line(buffered: BufferedByteReceiveStream, max_bytes: int) -> bytes:
    """A line without its end. One that is too long is read away and comes back cut, so that it
    fails to parse and the connection lives."""
    try:
        return await buffered.receive_until(b"\n", max_bytes)
    except anyio.DelimiterNotFound:
        while True:
            try:
                await buffered.receive_until(b"\n", max_bytes)
            except anyio.DelimiterNotFound:
                await buffered.receive_exactly(max_bytes)
            else:
                return b"{too long"


class _RequestQueue:
    """Where a client's messages are taken: each goes to the server, or is answered here so that
    its sender does not wait."""

    def __init__(
        self, server: MemoryObjectSendStream[SessionMessage | Exception], refuse: WriteSide
    ) -> None:
        self._server = server
        self._refuse = refuse
        self._unanswered = 0

    async def take(self, line: bytes) -> None:
        """Give the server a message, or say why not. That waits for its client to read, and
        meanwhile nothing more is taken."""
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except (ValidationError, RecursionError):
            await self._answer(*_why_not(line))
            return
        if not isinstance(message, JSONRPCRequest):
            await self._server.send(SessionMessage(message))
        elif self._unanswered >= MAX_UNANSWERED:
            why = f"{MAX_UNANSWERED} requests are not answered yet; read their answers first"
            await self._answer(INVALID_REQUEST, why, message.id)
        else:
            self._unanswered += 1
            settled = ServerMessageMetadata(on_request_unanswered=self._settled)
            await self._server.send(SessionMessage(message, settled))

    def note(self, message: JSONRPCMessage) -> None:
        """A message goes to the client."""
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._unanswered -= 1

    async def _settled(self) -> None:
        """Forget a request that was withdrawn: it is never answered."""
        self._unanswered -= 1

    async def _answer(self, code: int, what: str, number: RequestId | None) -> None:
        self._unanswered += 1
        error = JSONRPCError(jsonrpc="2.0", id=number, error=ErrorData(code=code, message=what))
        await self._refuse.send(SessionMessage(error))


def _why_not(line: bytes) -> tuple[int, str, int | str | None]:
    """Return code, message and request id for a line that is not a message."""
    try:
        message: object = json.loads(line)
    except (ValueError, RecursionError):
        return PARSE_ERROR, "this is not JSON, or longer than a message may be", None
    number = cast("dict[str, object]", message).get("id") if isinstance(message, dict) else None
    known = number if isinstance(number, (int, str)) and not isinstance(number, bool) else None
    return INVALID_REQUEST, "this is not a JSON-RPC message in valid Unicode", known


async def push(write: Sink, method: str, params: dict[str, Any]) -> None:
    """Send a notification; one that cannot be sent is dropped."""
    notification = JSONRPCNotification(jsonrpc="2.0", method=method, params=params)
    try:
        await write.send(SessionMessage(notification))
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        log.debug("dropped %s: the connection is closed", method)
