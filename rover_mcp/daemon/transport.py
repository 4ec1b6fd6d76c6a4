"""A connection's socket as the pair of message streams that the SDK's server runs on."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, jsonrpc_message_adapter
from pydantic import ValidationError

log = logging.getLogger("rover.transport")

ReadSide = MemoryObjectReceiveStream[SessionMessage | Exception]
WriteSide = MemoryObjectSendStream[SessionMessage]


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

    async def reader() -> None:
        async with read_in:
            try:
                while True:
                    line = await read_line(buffered, max_frame)
                    if line.strip():
                        await read_in.send(_parse(line))
            except (anyio.EndOfStream, anyio.IncompleteRead, OSError):
                pass
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass

    async def writer() -> None:
        async with write_out:
            try:
                async for message in write_out:
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


def _parse(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except (ValidationError, RecursionError) as error:
        return error


async def push(write: Sink, method: str, params: dict[str, Any]) -> None:
    """Send a notification; one that cannot be sent is dropped."""
    notification = JSONRPCNotification(jsonrpc="2.0", method=method, params=params)
    try:
        await write.send(SessionMessage(notification))
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        log.debug("dropped %s: the connection is closed", method)
