"""`rover-mcp --http` as a process, and clients of raw HTTP for it, in either protocol era.

    with HttpFront(home) as front:
        ann = HttpClient(front.url, token, MODERN)
        ann.open()
        ann.tool("list_tasks")
        with ann.stream("subscriptions/listen", {...}) as stream:
            stream.wait_for(lambda frame: ...)

Every wait is bounded.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rover_mcp.config.http_tokens import new_token
from tests.support.frames import LEGACY, MODERN, Frame, ToolError, envelope
from tests.support.hangs import HANG_SECONDS
from tests.support.preloaded_daemons import start_preloaded

JSON_TYPES = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class HttpFront:
    """The foreground process on a free port. `lines` is what it says."""

    def __init__(self, home: Path, where: str = "127.0.0.1:0", **env: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC", "CLAUDE"))}
        environ = {**clean, "ROVER_HOME": str(home), **env}
        start_preloaded(home, environ)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rover_mcp.launcher.main", "--http", where],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environ,
        )
        self.lines: list[str] = []
        self._said: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> HttpFront:
        self.url = self.wait_for_line("serving MCP on").split(" on ")[1].split(",")[0].split(" ")[0]
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.ended()

    def ended(self, timeout: float = HANG_SECONDS) -> int:
        """Its exit status."""
        code = self.process.wait(timeout)
        self._reader.join(HANG_SECONDS)
        assert self.process.stderr
        self.process.stderr.close()
        return code

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._said.put(line.decode())
        self._said.put(None)

    def wait_for_line(self, part: str, timeout: float = HANG_SECONDS) -> str:
        """The next line that it says with this in it."""
        end = time.monotonic() + timeout
        while True:
            try:
                line = self._said.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"did not say {part!r}: {self.lines}") from None
            assert line is not None, f"it ended: {self.lines}"
            self.lines.append(line)
            if part in line:
                return line


class Answer:
    """An HTTP answer, whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()

    @property
    def frames(self) -> list[Frame]:
        if "event-stream" in self.headers.get("content-type", ""):
            return [
                json.loads(line[6:])
                for line in self.body.splitlines()
                if line.startswith(b"data: {")
            ]
        return [json.loads(self.body)] if self.body else []

    @property
    def frame(self) -> Frame:
        """The answer to the request."""
        return self.frames[-1]


class HttpClient:
    """One user's client. A connection for each request."""

    def __init__(self, url: str, token: str | None, era: str = MODERN) -> None:
        parts = urlsplit(url)
        self.address = parts.hostname or "", parts.port or 80
        self.path = parts.path
        self.era = era
        self.token = token
        self.name = "raw"
        self.session: str | None = None
        self.capabilities: Frame = {}
        self._numbers = itertools.count(1)

    def connect(self, timeout: float = HANG_SECONDS) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=timeout)

    def send(
        self,
        body: bytes | None,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        path: str | None = None,
        timeout: float = HANG_SECONDS,
    ) -> Answer:
        """A request as it is, with this client's token."""
        connection = self.connect(timeout)
        try:
            all_headers = {**JSON_TYPES, **self._own(), **(headers or {})}
            connection.request(method, path or self.path, body, all_headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def _own(self) -> dict[str, str]:
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if self.era == MODERN:
            own["MCP-Protocol-Version"] = MODERN
        elif self.session is not None:
            own |= {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": LEGACY}
        return own

    def message(self, method: str, params: Frame | None) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a request."""
        told = dict(params or {})
        headers: dict[str, str] = {}
        if self.era == MODERN:
            meta = envelope(self.capabilities)
            meta["io.modelcontextprotocol/clientInfo"] = {"name": self.name, "version": "1"}
            told["_meta"] = {**meta, **told.get("_meta", {})}
            headers["Mcp-Method"] = method
            if name := told.get("name") or told.get("taskId") or told.get("uri"):
                headers["Mcp-Name"] = str(name)
        number = next(self._numbers)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": told}
        return json.dumps(body).encode(), headers

    def answer(
        self, method: str, params: Frame | None = None, timeout: float = HANG_SECONDS
    ) -> Answer:
        body, headers = self.message(method, params)
        return self.send(body, headers, timeout=timeout)

    def request(
        self, method: str, params: Frame | None = None, timeout: float = HANG_SECONDS
    ) -> Frame:
        """The answer's frame."""
        return self.answer(method, params, timeout).frame

    def open(self) -> Frame:
        """The opening of an era; its result."""
        if self.era == MODERN:
            return self.request("server/discover")["result"]
        opened = self.answer(
            "initialize",
            {
                "protocolVersion": LEGACY,
                "capabilities": self.capabilities,
                "clientInfo": {"name": self.name, "version": "1"},
            },
        )
        assert opened.status == 200, opened.body
        self.session = opened.headers["mcp-session-id"]
        initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert self.send(json.dumps(initialized).encode()).status == 202
        return opened.frame["result"]

    def tool(self, name: str, /, **arguments: Any) -> Frame:
        """Call a tool; its structured content. A tool error raises ToolError."""
        answer = self.request("tools/call", {"name": name, "arguments": arguments})
        assert "result" in answer, answer
        result = answer["result"]
        if result.get("isError"):
            raise ToolError(result["structuredContent"]["error"])
        return result["structuredContent"]

    def wait_until(self, task: str, status: str, timeout: float = HANG_SECONDS) -> Frame:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            view = self.tool("wait_for_task", task=task, timeout_s=10)["task"]
            if view["status"] == status:
                return view
            assert view["status"] in ("NEW", "IN_PROGRESS", "ITERATING"), view
        raise AssertionError(f"task {task} is not {status} after {timeout} s")

    def stream(self, method: str, params: Frame | None = None) -> Stream:
        """A request whose answer is a stream."""
        body, headers = self.message(method, params)
        return Stream(self, "POST", body, {**JSON_TYPES, **self._own(), **headers})

    def standalone(self) -> Stream:
        """The stream of a session before 2026-07-28, for what no request asked for."""
        return Stream(self, "GET", None, {"Accept": "text/event-stream", **self._own()})


class Stream:
    """Frames as they come, read by a thread. `whole`: it ended as HTTP wants it."""

    def __init__(
        self, client: HttpClient, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> None:
        self.frames: list[Frame] = []
        self.whole = False
        self._new: queue.Queue[Frame | None] = queue.Queue()
        self._connection = client.connect()
        self._connection.request(method, client.path, body, dict(headers))
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(2)
        self._thread.join(HANG_SECONDS)
        self._response.close()
        self._connection.close()

    def _read(self) -> None:
        try:
            for line in self._response:
                if found := re.match(rb"data: (\{.*)", line):
                    self._new.put(json.loads(found[1]))
            self.whole = True
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self._new.put(None)

    def wait_for(self, wanted: Callable[[Frame], bool], timeout: float = HANG_SECONDS) -> Frame:
        for frame in self.frames:
            if wanted(frame):
                return frame
        end = time.monotonic() + timeout
        while True:
            try:
                frame = self._new.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no such frame: {self.frames[-5:]}") from None
            assert frame is not None, f"the stream ended: {self.frames[-5:]}"
            self.frames.append(frame)
            if wanted(frame):
                return frame

    def rest(self, timeout: float = HANG_SECONDS) -> list[Frame]:
        """All that comes until its end."""
        rest: list[Frame] = []
        end = time.monotonic() + timeout
        while (frame := self._new.get(timeout=max(0.01, end - time.monotonic()))) is not None:
            rest.append(frame)
        self.frames += rest
        return rest


def token_of(home: Path, name: str, *scopes: str) -> str:
    """A token, as `rover token new` makes it."""
    return new_token(home, name, scopes or ("read", "write"))
