"""The real `rover board` and its daemon: who can use the address that it prints."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rover_mcp.launcher.handshake import socket_path
from rover_mcp.launcher.http_listener import CannotServe, HttpFrontend, bind
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import kill, wait_until
from tests.support.preloaded_daemons import start_preloaded

HANG_SECONDS = 300
OTHER_USER = 65534
PROBE = """
import http.client, socket, sys
authority, path = sys.argv[1:]
connection = http.client.HTTPConnection(authority)
connection.request("GET", "/api/rows")
print(connection.getresponse().status)
try:
    socket.socket(socket.AF_UNIX).connect(path)
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""


class BoardProcess:
    """`rover board` with the address that it printed."""

    def __init__(self, home: Path) -> None:
        environ = {**os.environ, "ROVER_HOME": str(home), "PYTHONUNBUFFERED": "1"}
        start_preloaded(home, environ)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rover_mcp.cli.entry", "board"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.address = self.process.stdout.readline().partition("The board: ")[2].strip()
        parts = urlsplit(self.address)
        self.authority, self.token = parts.netloc, parts.fragment

    def status(self, path: str, token: str | None = None) -> int:
        """The status of an answer; a stream is not read."""
        connection = http.client.HTTPConnection(self.authority, timeout=HANG_SECONDS)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def end(self, number: int = signal.SIGINT) -> int:
        """Its exit status."""
        self.process.send_signal(number)
        code = self.process.wait(HANG_SECONDS)
        assert self.process.stdout
        self.process.stdout.close()
        return code


@contextmanager
def board(home: Path) -> Iterator[BoardProcess]:
    made = BoardProcess(home)
    try:
        yield made
    finally:
        if made.process.returncode is None:
            made.end(signal.SIGTERM)


def command_lines() -> bytes:
    lines: list[bytes] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_bytes())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return b"\n".join(lines)


def test_only_who_has_the_printed_address_sees_the_tasks(home: Path) -> None:
    with board(home) as first:
        assert first.authority.startswith("127.0.0.1:")
        assert len(first.token) == 43
        assert first.status("/") == 200
        assert first.status("/api/rows") == 401
        assert first.status("/api/rows", first.token) == 200
        assert first.token.encode() not in command_lines()
        stored = [path for path in home.rglob("*") if path.is_file()]
        assert [path for path in stored if first.token.encode() in path.read_bytes()] == []
        assert first.end() == 0
    with board(home) as second:
        assert second.status("/api/rows", first.token) == 401
        assert second.status("/api/rows", second.token) == 200


def test_another_user_of_the_machine_learns_nothing(home: Path) -> None:
    if os.getuid() != 0:
        pytest.fail("this test has to start a process of another user, and needs root for that")
    with board(home) as mine:
        # As an argument, since the other user may not read this checkout.
        probe = subprocess.run(
            ["/usr/bin/python3", "-c", PROBE, mine.authority, socket_path(home)],
            user=OTHER_USER, group=OTHER_USER, extra_groups=[], cwd="/", text=True,
            capture_output=True, timeout=HANG_SECONDS, check=True,
        )  # fmt: skip
        assert probe.stdout.split() == ["401", "PermissionError"]


def test_the_address_outlives_the_daemon(home: Path) -> None:
    with board(home) as mine:
        old = daemon_pid(home)
        kill(old)
        wait_until(lambda: daemon_pid(home) != old, "another daemon has started")
        assert mine.status("/api/rows", mine.token) == 200


def test_an_address_that_others_can_reach_is_refused(home: Path) -> None:
    start_preloaded(home, {**os.environ, "ROVER_HOME": str(home)})
    with bind("0.0.0.0", 0) as sock, pytest.raises(CannotServe, match="not loopback"):
        HttpFrontend(str(home), sock, board="a" * 64).run()
