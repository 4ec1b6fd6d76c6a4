"""A client of raw frames: starts the real launcher and speaks JSON-RPC lines with it.

    with LauncherClient(home, cwd) as client:
        client.open("legacy")
        result = client.tool("create_task", description="...")
        client.wait_for(lambda frame: frame.get("method") == "notifications/message")

`capabilities` is what the client declares; set it before `open`. Every wait is bounded. `frames`
keeps all that arrived, in order.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.support.hangs import HANG_SECONDS
from tests.support.preloaded_daemons import VARIABLE, preloaded, start_preloaded

_QUICK_LAUNCHER = Path(__file__).with_name("quick_launcher.py")
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
UNHEARD = 2.0
"""Seconds after which a client looks again although nothing has arrived."""

Frame = dict[str, Any]


class ToolError(AssertionError):
    """A tool answered with an error; `error` is its structured content."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(error))
        self.error = error


class DaemonRestarted(AssertionError):
    """The call was lost with the daemon; the launcher says that it can be repeated."""


class LauncherClient:
    """One launcher process and its frames. A daemon is started before it, in a tenth of the time
    that the launcher needs for that, and those that the launcher starts later are forked, too."""

    _is_started_before = True
    _is_forked = True

    def __init__(
        self,
        home: Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        program: Path | None = None,
    ) -> None:
        self.home = home
        self.era = LEGACY
        self.capabilities: Frame = {}
        self.frames: list[Frame] = []
        self._next = 0
        self._new: queue.Queue[Frame | None] = queue.Queue()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC", "CLAUDE"))}
        environ = {**clean, "ROVER_HOME": str(home), **(env or {})}
        launcher = [str(program or sys.executable), "-m", "rover_mcp.launcher.main"]
        if self._is_forked and program is None and "--foreground" not in arguments:
            if self._is_started_before:
                start_preloaded(home, environ)
            launcher = [sys.executable, "-P", str(_QUICK_LAUNCHER)]
            environ[VARIABLE] = preloaded()
        self.process = subprocess.Popen(
            [*launcher, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environ,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> int:
        """EOF to the launcher; its exit status."""
        assert self.process.stdin
        if not self.process.stdin.closed:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        code = self.process.wait(HANG_SECONDS)
        self._reader.join(HANG_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._new.put(json.loads(line))
        self._new.put(None)

    # Frames

    def send(self, frame: Frame) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, wanted: Callable[[Frame], bool], timeout: float = HANG_SECONDS) -> Frame:
        """The first frame that is wanted, among those that arrived already or will."""
        for frame in self.frames:
            if wanted(frame):
                return frame
        end = time.monotonic() + timeout
        while True:
            try:
                frame = self._new.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no such frame in {timeout} s; got {self.frames[-5:]}"
                ) from None
            if frame is None:
                assert self.process.stderr
                raise AssertionError(f"the launcher ended: {self.process.stderr.read().decode()}")
            self.frames.append(frame)
            if wanted(frame):
                return frame

    def until(self, true: Callable[[], object], what: str, timeout: float = HANG_SECONDS) -> None:
        """Wait until calls of this client say that something is true. It looks again when anything
        arrives: a call costs the daemon more than what is waited for, and each of a task's events
        is told to the session that created it."""
        end = time.monotonic() + timeout
        while not true():
            assert time.monotonic() < end, f"not within {timeout} s: {what}"
            self.wait_for_news()

    def wait_for_news(self) -> None:
        """Wait until any frame arrives, for a bounded time, and take all that have."""
        with suppress(queue.Empty):
            frame = self._new.get(timeout=UNHEARD)
            while frame is not None:
                self.frames.append(frame)
                frame = self._new.get_nowait()
            # For the next call, which says why the launcher ended.
            self._new.put(None)

    def request(
        self, method: str, params: Frame | None = None, timeout: float = HANG_SECONDS
    ) -> Frame:
        """Send a request and return its whole answer frame."""
        return self.answer(self.start_request(method, params), timeout)

    def start_request(self, method: str, params: Frame | None = None) -> int:
        self._next += 1
        number = self._next
        body = dict(params or {})
        if self.era == MODERN:
            body["_meta"] = {**envelope(self.capabilities), **body.get("_meta", {})}
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": body})
        return number

    def answer(self, number: int, timeout: float = HANG_SECONDS) -> Frame:
        return self.wait_for(
            lambda f: f.get("id") == number and ("result" in f or "error" in f), timeout
        )

    def notify(self, method: str, params: Frame | None = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})

    def notifications(self, method: str) -> list[Frame]:
        return [f for f in self.frames if f.get("method") == method]

    # MCP

    def open(self, era: str = LEGACY) -> Frame:
        """The opening of an era; its result. From here on the daemon is there."""
        self.era = era
        opened = self._discover() if era == MODERN else self._initialize()
        # Where the daemon is slow to start, the launcher has answered so far.
        self.request("resources/templates/list")
        return opened

    def _discover(self) -> Frame:
        return self.request("server/discover")["result"]

    def _initialize(self) -> Frame:
        result = self.request(
            "initialize",
            {
                "protocolVersion": LEGACY,
                "capabilities": self.capabilities,
                "clientInfo": {"name": "frames", "version": "1"},
            },
        )["result"]
        self.notify("notifications/initialized")
        return result

    def tool(self, name: str, /, **arguments: Any) -> Frame:
        """Call a tool; its structured content. A tool error raises ToolError."""
        answer = self.request("tools/call", {"name": name, "arguments": arguments})
        wrong = answer.get("error", {}).get("message", "")
        if "restarted" in wrong or "the next call tries again" in wrong:
            raise DaemonRestarted(wrong)
        assert "result" in answer, answer
        result = answer["result"]
        if result.get("isError"):
            raise ToolError(result["structuredContent"]["error"])
        return result["structuredContent"]

    def wait_until(self, task: str, status: str, timeout: float = HANG_SECONDS) -> Frame:
        """The task's view once it has the status; fails if it stops in another."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                view = self.tool("wait_for_task", task=task, timeout_s=10)["task"]
            except DaemonRestarted:
                continue
            if view["status"] == status:
                return view
            assert view["status"] in ("NEW", "IN_PROGRESS", "ITERATING"), view
        raise AssertionError(f"task {task} is not {status} after {timeout} s: {view}")


class ForkingClient(LauncherClient):
    """Its launcher starts the daemon if there is none, from a process that has imported all."""

    _is_started_before = False


class StartingClient(LauncherClient):
    """Its launcher starts the daemon if there is none, as for a user, who waits for the imports."""

    _is_forked = False


def envelope(capabilities: Frame | None = None) -> Frame:
    """What every request of the 2026-07-28 era carries."""
    return {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "frames", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
    }
