"""Serves Streamable HTTP on a socket that `rover-mcp --http` has bound and hands over.

The foreground process keeps its own descriptor: when this daemon dies the address stays taken, and
clients that connect wait for the next daemon. Imported only if HTTP is asked for.

    -> {"listen": true}  with the listening socket as SCM_RIGHTS, after the preambles
       {"listen": true, "board": "<SHA-256 of a token>"}  for the board, in place of MCP
    <- {"status": "serving", "url": "http://127.0.0.1:8765/mcp", "users": ["ann", "bob (read)"]}
    <- {"status": "refused", "reason": "...", "hint": "..."}

It is served until the connection ends, or its client shuts its side down.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import re
import socket
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import h11
import uvicorn
from anyio.abc import UNIXSocketStream
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from rover_mcp.config.http import HttpSettings
from rover_mcp.config.http_tokens import Grant, Tokens, configured_grants
from rover_mcp.config.load_settings import load_settings
from rover_mcp.daemon.wiring import DaemonParts
from rover_mcp.domain.errors import EnvironmentFault, RoverError, UserFixable
from rover_mcp.server.http.http_endpoint import PATH, serving
from rover_mcp.tasks.caller import Caller

log = logging.getLogger("rover.http")
# At INFO the SDK writes session ids, and a line for each request that it refuses.
for _name in ("streamable_http", "streamable_http_manager", "transport_security"):
    logging.getLogger(f"mcp.server.{_name}").setLevel(logging.ERROR)

HAND_OVER_SECONDS: Final = 10
READ_SECONDS: Final = 20.0
"""Deadline for a complete request, from the connection's beginning or the last answer's end on."""
WRITE_SECONDS: Final = 60.0
"""The time after which a client that reads nothing of its answer is disconnected."""
KEEP_ALIVE_SECONDS: Final = 30
SHUTDOWN_SECONDS: Final = 2
BACKLOG: Final = 128
HEADER_BYTES: Final = 64 * 1024
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class HttpService:
    """One listening socket and what is served there."""

    def __init__(self, parts: DaemonParts, front: Caller) -> None:
        self._parts = parts
        self._front = front
        self._stop = anyio.Event()
        self._ended = anyio.Event()

    async def end(self) -> None:
        """End streams with their last frames, then connections; returns when that is done."""
        self._stop.set()
        await self._ended.wait()

    async def run(self, stream: UNIXSocketStream) -> None:
        """Take the socket over, and serve until `stream` ends or `end` is called."""
        try:
            with anyio.fail_after(HAND_OVER_SECONDS):
                line, descriptors = await stream.receive_fds(4096, 1)
        except (TimeoutError, anyio.EndOfStream, OSError):
            return
        if not descriptors:
            return
        # The descriptor is a copy: closing it here leaves the foreground process's open.
        with socket.socket(fileno=descriptors[0]) as listener:
            # The kernel installs every descriptor that was sent, also those that nobody asked for.
            for other in descriptors[1:]:
                os.close(other)
            if (digest := _board_digest(line)) is not None:
                await self._serve_board(stream, listener, digest)
                return
            try:
                settings, tokens = await anyio.to_thread.run_sync(_ready, self._home, listener)
                _listen(listener)
            except RoverError as error:
                await _tell(stream, status="refused", reason=error.message, hint=error.hint)
                return
            url = settings.public_url or address(listener)
            for name in {grant.name for grant in tokens.grants()}:
                # An attempt of before this daemon finds what the foreground process handed over.
                self._parts.credentials.remember(self._caller(settings, name))
            users = [_shown(grant) for grant in tokens.grants()]
            with contextlib.suppress(anyio.BrokenResourceError):
                await _tell(stream, status="serving", url=url, users=sorted(set(users)))
            try:
                await self._serve(stream, listener, settings, tokens, url)
            finally:
                self._ended.set()

    @property
    def _home(self) -> Path:
        return self._parts.settings.home

    def _caller(self, settings: HttpSettings, user: str) -> Caller:
        front = self._front
        caller = Caller(
            client_id=f"http-{user}",
            cwd=Path("/"),
            name="http",
            version=front.version,
            env=front.env,
            user=user,
            projects=settings.projects,
        )
        self._parts.credentials.remember(caller)
        return caller

    async def _serve(
        self,
        stream: UNIXSocketStream,
        listener: socket.socket,
        settings: HttpSettings,
        tokens: Tokens,
        url: str,
    ) -> None:
        server: _Server | None = None
        parts = self._parts
        async with anyio.create_task_group() as group:
            async with serving(
                parts.app,
                parts.services,
                settings,
                tokens,
                url,
                partial(self._caller, settings),
                lambda: len(server.server_state.connections) if server else 0,
            ) as endpoint:
                server = _Server(_config(endpoint.app, settings.max_connections))
                group.start_soon(server.serve, [listener])
                group.start_soon(self._stop_with, stream)
                log.info("serving MCP on %s", url)
                await self._stop.wait()
                server.take_no_more()
                await endpoint.finish()
            # What the SDK kept open is over: connections end, and the server with them.
            server.should_exit = True
            await server.ended.wait()
            group.cancel_scope.cancel()
        log.info("MCP on %s has ended", url)

    async def _serve_board(
        self, stream: UNIXSocketStream, listener: socket.socket, digest: str
    ) -> None:
        # Late: most daemons never show it.
        from rover_mcp.server.board.board_endpoint import MAX_CONNECTIONS, BoardEndpoint

        try:
            _only_loopback(listener)
            _listen(listener)
        except RoverError as error:
            await _tell(stream, status="refused", reason=error.message, hint=error.hint)
            return
        server: _Server | None = None
        board = BoardEndpoint(
            self._parts.services,
            self._front,
            digest,
            _authority(listener),
            lambda: len(server.server_state.connections) if server else 0,
        )
        self._parts.credentials.remember(self._front)
        with contextlib.suppress(anyio.BrokenResourceError):
            await _tell(stream, status="serving", url=f"http://{_authority(listener)}/")
        server = _Server(_config(board.app, MAX_CONNECTIONS))
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [listener])
                group.start_soon(self._stop_with, stream)
                await self._stop.wait()
                server.take_no_more()
                board.streams.close()
                server.should_exit = True
                await server.ended.wait()
                group.cancel_scope.cancel()
        finally:
            self._ended.set()

    async def _stop_with(self, stream: UNIXSocketStream) -> None:
        with contextlib.suppress(anyio.EndOfStream, OSError, anyio.BrokenResourceError):
            while True:
                await stream.receive(4096)
        self._stop.set()


def _board_digest(line: bytes) -> str | None:
    """The digest of the board's token; None: MCP is to be served."""
    try:
        request: object = json.loads(line)
    except ValueError:
        return None
    match request:
        case {"board": str(digest)} if _DIGEST.fullmatch(digest):
            return digest
        case _:
            return None


def _only_loopback(listener: socket.socket) -> None:
    """
    Raises:
        UserFixable: others could reach the address, and Rover speaks no TLS.
    """
    host = listener.getsockname()[0]
    if not ipaddress.ip_address(host).is_loopback:
        raise UserFixable(
            f"{host} is not loopback, and the board is for this machine alone",
            hint="reach it from elsewhere through SSH: ssh -L PORT:127.0.0.1:PORT HOST",
        )


def _ready(home: Path, listener: socket.socket) -> tuple[HttpSettings, Tokens]:
    """
    Raises:
        RoverError: the settings are wrong, no client could connect, or too many could.
    """
    settings = load_settings(home).http
    host = listener.getsockname()[0]
    if not settings.allow_remote and not ipaddress.ip_address(host).is_loopback:
        raise UserFixable(
            f"{host} is not loopback, and others could reach it",
            hint="set http.allow_remote in config.yaml, and put a proxy with TLS in front of it",
        )
    tokens = Tokens(home, configured_grants(settings, os.environ))
    if not tokens.grants():
        raise UserFixable(
            "no tokens exist, and every client needs one",
            hint="make one: rover token new NAME; it is shown once",
        )
    return settings, tokens


def _listen(listener: socket.socket) -> None:
    """Listen: from now on clients that connect wait instead of being refused.

    Raises:
        EnvironmentFault: another process listens there.
    """
    listener.setblocking(False)
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot listen on {address(listener)}: {error.strerror}", hint="give another address"
        ) from error


def address(listener: socket.socket) -> str:
    """The URL of the endpoint, for clients on this machine."""
    return f"http://{_authority(listener)}{PATH}"


def _authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _shown(grant: Grant) -> str:
    return grant.name if "write" in grant.scopes else f"{grant.name} (read)"


async def _tell(stream: UNIXSocketStream, **fields: object) -> None:
    await stream.send(json.dumps(fields).encode() + b"\n")


def _config(app: ASGIApp, max_connections: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(max_connections * 2),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        # A client that connects directly could claim any address for itself.
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )


class _Server(uvicorn.Server):
    """A server that runs in the daemon's loop and leaves signals to the daemon."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ended = anyio.Event()

    def take_no_more(self) -> None:
        """Close the listening socket; connections that are open stay so."""
        for listening in self.servers if self.started else ():
            listening.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        try:
            yield
        finally:
            self.ended.set()


def _protocol(most: int) -> type[H11Protocol]:
    """The protocol with its limit: uvicorn takes a class, and makes the connections itself."""

    class Limited(_TimedProtocol):
        most_connections = most

    return Limited


class _TimedProtocol(H11Protocol):
    """A connection that is closed when its client takes too long to send or to read. Beyond
    `most_connections` nothing is answered at all."""

    most_connections = 0
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
        else:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading = _off(self._reading)
        self._writing = _off(self._writing)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_request()

    def _expect_request(self) -> None:
        is_received = self.conn.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)
        if is_received or self.transport.is_closing():
            self._reading = _off(self._reading)
        elif self._reading is None:
            self._reading = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = _off(self._writing)
        self._writing = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writing = _off(self._writing)


def _off(timer: Any) -> None:
    if timer is not None:
        timer.cancel()
