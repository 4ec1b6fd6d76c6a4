"""The board over a real store, on a free port of loopback, in a thread of the test's process.

with BoardSite(folder) as site:
    site.desk.store...          what the board shows
    site.get("/api/rows", ...)  raw HTTP
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import uvicorn

from rover_mcp.config.http_tokens import digest_of
from rover_mcp.daemon.http_service import _config, _Server
from rover_mcp.server.board.board_endpoint import MAX_CONNECTIONS, BoardEndpoint
from tests.support.desk import ServerHarness, open_desk

TOKEN = "t" * 43
HANG_SECONDS = 300.0


class BoardSite:
    """Serves the board until the block ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._ready = threading.Event()
        self.desk: ServerHarness

    def __enter__(self) -> BoardSite:
        self.desk = self._stack.enter_context(open_desk(self._folder))
        self._socket = self._stack.enter_context(socket.socket())
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self._socket.setblocking(False)
        self.authority = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=anyio.run, args=[self._serve])
        self._thread.start()
        assert self._ready.wait(HANG_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(HANG_SECONDS)
        self._stack.close()

    @property
    def url(self) -> str:
        return f"http://{self.authority}/#{TOKEN}"

    async def _serve(self) -> None:
        import asyncio

        self._loop, self._stop = asyncio.get_running_loop(), anyio.Event()
        services = self.desk.services()
        database = self.desk.store.database
        wake = services.broadcaster.wake
        database.on_event = lambda: self._loop.call_soon_threadsafe(wake)
        self.board = BoardEndpoint(
            services, self.desk.caller, digest_of(TOKEN), self.authority, lambda: 0
        )
        server: uvicorn.Server = _Server(_config(self.board.app, MAX_CONNECTIONS))
        async with anyio.create_task_group() as group:
            group.start_soon(services.broadcaster.run)
            group.start_soon(server.serve, [self._socket])
            self._ready.set()
            await self._stop.wait()
            database.on_event = lambda: None
            self.board.streams.close()
            server.should_exit = True
            await server.ended.wait()  # type: ignore[attr-defined]
            group.cancel_scope.cancel()

    # Raw requests

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """The status and the body, which is parsed if it is JSON. Streams cannot be read so."""
        connection = http.client.HTTPConnection(self.authority, timeout=HANG_SECONDS)
        given = {"Authorization": f"Bearer {token}"} if token is not None else {}
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {**given, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(text) if is_json else text
        finally:
            connection.close()

    def stream(self, token: str = TOKEN) -> RowReader:
        """The stream of rows, which is read frame by frame."""
        return RowReader(self.authority, token)


class RowReader:
    """One open stream."""

    def __init__(self, authority: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(authority, timeout=HANG_SECONDS)
        self._connection.request("GET", "/api/rows", headers={"Authorization": f"Bearer {token}"})
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.status

    def __enter__(self) -> RowReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def until(self, group: str) -> None:
        """Read until a frame says that a task is in this group. The events of what happened before
        the first frame may come after it."""
        while group not in [row["group"] for row in self.frame()[1]["rows"]]:
            pass

    def frame(self) -> tuple[str, dict[str, Any]]:
        """The next frame with rows: its name, and its data."""
        name = ""
        while line := self._answer.readline().decode().rstrip("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        return self.frame()
