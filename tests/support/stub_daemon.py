"""A daemon for testing the launcher alone: it shakes hands and answers, and knows no tasks.

In a test, `StubDaemon` lets the test itself play the daemon, frame by frame. As a program it is
what the launcher starts; `STUB` in its environment tells how it behaves:

    serve    (default) answers every request with its process id and what it has been sent; the
             request `die` ends it
    refuse   ends with exit status 3 and one line, as for a data folder that cannot be used
    crash    ends with exit status 1 and a trace
    slow     as serve, but takes its time to start: until `stub.go` lies in the data folder
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rover_mcp.launcher.handshake import socket_path
from tests.support.hangs import HANG_SECONDS

BOUND = HANG_SECONDS
PROGRAM = [sys.executable, "-m", "tests.support.stub_daemon"]
ROOT = Path(__file__).parents[2]


class StubConnection:
    """The daemon's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(BOUND)
        self._file = sock.makefile("rb")
        self.hello: dict[str, Any] = json.loads(self._file.readline())

    def welcome(self, status: str = "ok", **more: object) -> StubConnection:
        self.send({"rover": 1, "version": "0.1.0", "status": status, **more})
        return self

    def raw(self) -> bytes:
        """The next frame; empty at the end."""
        return self._file.readline()

    def read(self) -> dict[str, Any]:
        return json.loads(self.raw())

    def send(self, message: dict[str, Any]) -> None:
        self.sock.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def answer(self, request: dict[str, Any], **result: object) -> None:
        self.send({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def close(self) -> None:
        self._file.close()
        self.sock.close()


class StubDaemon:
    """Listens on the socket of a data folder; the test accepts and plays each connection."""

    def __init__(self, home: Path) -> None:
        path = socket_path(home)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._listener.settimeout(BOUND)
        self._open: list[StubConnection] = []

    def accept(self) -> StubConnection:
        connection = StubConnection(self._listener.accept()[0])
        self._open.append(connection)
        return connection

    def greet_all(self, greeting: dict[str, Any]) -> None:
        """Give everyone who connects from now on this first line."""

        def greet() -> None:
            try:
                while True:
                    self.accept().send(greeting)
            except OSError:
                return

        threading.Thread(target=greet, daemon=True).start()

    def close(self) -> None:
        # Wakes a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._open:
            connection.close()
        self._listener.close()


def launcher_of_stub(home: Path) -> list[str]:
    """The real launcher, which starts the stub where it starts a daemon; STUB_PATIENCE in its
    environment is how long it waits for that, in seconds, before it answers by itself."""
    program = (
        "import os, rover_mcp.launcher.frame_pump as p, rover_mcp.launcher.daemon_start as s\n"
        f"s.DAEMON_COMMAND = {PROGRAM!r}\n"
        "p.BUSY_SECONDS = float(os.environ.get('STUB_PATIENCE', p.BUSY_SECONDS))\n"
        "from rover_mcp.launcher.main import main; main()"
    )
    return [sys.executable, "-c", program, "--home", str(home)]


class LauncherProcess:
    """The real launcher as a subprocess, which starts the stub where it starts a daemon."""

    def __init__(self, home: Path, *arguments: str, cwd: Path = ROOT, **env: str) -> None:
        self.process = subprocess.Popen(
            [*launcher_of_stub(home), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin, self.stdout, self.stderr = (
            self.process.stdin,
            self.process.stdout,
            self.process.stderr,
        )
        self._received = b""

    def raw(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def send(self, message: dict[str, Any]) -> None:
        self.raw(json.dumps(message).encode() + b"\n")

    def request(self, request_id: object, method: str, **params: object) -> None:
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def notify(self, method: str, **params: object) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def read_raw(self) -> bytes:
        """The next line that the client gets, within a bound; empty at the end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            while b"\n" not in self._received:
                assert selector.select(BOUND), "the launcher said nothing"
                data = os.read(self.stdout.fileno(), 1 << 20)
                if not data:
                    return b""
                self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    def read(self) -> dict[str, Any]:
        return json.loads(self.read_raw())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(BOUND)
        for stream in (self.stdin, self.stdout, self.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                continue


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll for something that another process does, with a bound."""
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def main() -> int:
    """The stub as a program."""
    home = Path(os.environ["ROVER_HOME"])
    with (home / "stub.starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    behaviour = os.environ.get("STUB", "serve")
    if behaviour == "refuse":
        print("rover: the data folder was written by Rover 9.9", file=sys.stderr)
        return 3
    if behaviour == "crash":
        raise RuntimeError("the stub was told to crash")
    if behaviour == "slow":
        wait_until((home / "stub.go").exists, "the test lets it go on")
    lock = os.open(home / "daemon.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    with (home / "stub.environ").open("w") as file:
        json.dump({"env": dict(os.environ), "cwd": str(Path.cwd()), "session": os.getsid(0)}, file)
    _serve(home)
    return 0


def _serve(home: Path) -> None:
    """Serve until the last client has gone."""
    path = socket_path(home)
    path.unlink(missing_ok=True)
    came: list[socket.socket] = []
    went: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        listener.settimeout(BOUND)
        while True:
            try:
                came.append(listener.accept()[0])
            except TimeoutError:
                if len(came) == len(went):
                    return
                continue
            threading.Thread(target=_serve_one, args=(came[-1], came, went), daemon=True).start()


def _serve_one(sock: socket.socket, came: list[socket.socket], went: list[socket.socket]) -> None:
    connection = StubConnection(sock).welcome()
    sock.settimeout(None)
    seen: list[str] = []
    for line in iter(connection.raw, b""):
        message = json.loads(line)
        seen.append(message["method"])
        if message["method"] == "die":
            os._exit(9)
        if "id" in message:
            connection.answer(message, pid=os.getpid(), seen=list(seen))
    went.append(sock)
    if len(went) == len(came):
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
