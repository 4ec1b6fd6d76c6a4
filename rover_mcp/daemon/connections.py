"""Accepts connections on the daemon's socket, and greets each client before it is served."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from rover_mcp import __version__
from rover_mcp.config.descriptors import AcceptErrors
from rover_mcp.daemon import socket_peer
from rover_mcp.daemon.jsonrpc_stream import read_line
from rover_mcp.daemon.socket_peer import caller_of
from rover_mcp.launcher.handshake import MAX_PREAMBLE_BYTES, PROTOCOL, socket_path
from rover_mcp.tasks.caller import Caller

log = logging.getLogger("rover.daemon")

PREAMBLE_TIMEOUT_SECONDS = 10
MAX_CONNECTIONS = 256
MAX_HANDSHAKES = 64
"""The number of further connections that may be in their handshake, or be refused in it."""

ServeClient = Callable[[SocketStream, BufferedByteReceiveStream, Caller], Awaitable[None]]


class ClientConnections:
    """The connections of one daemon's socket.

    `serve` serves a client that was greeted, until it leaves. `outdated` says why a new daemon
    would serve a caller otherwise, and `give_way` ends this one for that reason if it is idle.
    """

    def __init__(
        self,
        home: Path,
        listener: socket.socket | None,
        serve: ServeClient,
        outdated: Callable[[Caller], str | None],
        give_way: Callable[[str, Callable[[], Awaitable[None]]], Awaitable[None]],
    ) -> None:
        """`listener` is a socket that listens already, if the launcher asked for one."""
        self._home = home
        self._listener = listener
        self._serve = serve
        self._outdated = outdated
        self._give_way = give_way
        self.open = 0
        """connections, with those that have not been greeted yet"""
        self.served = 0
        self.last_left_at = 0.0

    async def accept(self, group: TaskGroup) -> None:
        """Accept connections for ever, and serve each in a task of the group."""
        errors = AcceptErrors()
        async with await self._listening() as listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    await errors.wait(error)
                    continue
                errors.accepted()
                # Beyond that even a refusal would cost a task and a descriptor each.
                if self.open < MAX_CONNECTIONS + MAX_HANDSHAKES:
                    group.start_soon(self._connection, stream)
                else:
                    await stream.aclose()

    async def _listening(self) -> SocketListener:
        if self._listener is not None:
            return await SocketListener.from_socket(self._listener)
        path = socket_path(self._home)
        path.unlink(missing_ok=True)
        # A socket's mode is set by bind(2) from the umask: a chmod afterwards would leave a moment
        # in which other users could connect.
        old = os.umask(0o177)
        try:
            return await anyio.create_unix_listener(path, mode=0o600)
        finally:
            os.umask(old)

    async def _connection(self, stream: SocketStream) -> None:
        self.open += 1
        try:
            await self._greet(stream)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # it left before it was greeted
        finally:
            self.open -= 1

    async def _greet(self, stream: SocketStream) -> None:
        async with stream:
            peer = socket_peer.peer_of(stream.extra(SocketAttribute.raw_socket))  # noqa: S610  # no database
            # Another user gets no answer, so learns nothing about this daemon.
            if not peer.ours:
                return
            if self.served >= MAX_CONNECTIONS:
                reason = f"{MAX_CONNECTIONS} clients are connected already"
                await _answer(stream, status="refused", reason=reason, hint="close some of them")
                return
            buffered = BufferedByteReceiveStream(stream)
            try:
                with anyio.fail_after(PREAMBLE_TIMEOUT_SECONDS):
                    caller = caller_of(await read_line(buffered, MAX_PREAMBLE_BYTES))
            except (TimeoutError, anyio.EndOfStream, anyio.IncompleteRead, OSError):
                return
            if peer.reason:
                # Only after its preamble: a client that is still sending would not read the reason.
                log.warning("a connection is refused: %s", peer.reason)
                await _answer(stream, status="refused", reason=peer.reason, hint=socket_peer.HINT)
            elif isinstance(caller, str):
                await _answer(stream, status="refused", reason=caller, hint="update rover-mcp")
            else:
                await self._serve_greeted(stream, buffered, caller)

    async def _serve_greeted(
        self, stream: SocketStream, buffered: BufferedByteReceiveStream, caller: Caller
    ) -> None:
        why = self._outdated(caller)
        if why:

            async def retire() -> None:
                await _answer(stream, status="retiring")

            await self._give_way(why, retire)
        await _answer(stream, status="ok", notice=busy_notice(why))
        self.served += 1
        try:
            await self._serve(stream, buffered, caller)
        except Exception:  # a bug in one connection must not end the others
            log.exception("the connection of %s failed", caller.name)
        finally:
            self.served -= 1
            self.last_left_at = anyio.current_time()


def busy_notice(why: str | None) -> str | None:
    """The notice to a client that the daemon is to be replaced for this reason, but has work."""
    return f"{why}; the daemon is busy, and is replaced once it is idle" if why else None


async def _answer(stream: SocketStream, **fields: object) -> None:
    line = {"rover": PROTOCOL, "version": __version__, **fields}
    await stream.send(json.dumps(line).encode() + b"\n")
