"""A lack of open files is waited out, and ends nobody."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

import anyio
import pytest

from rover_mcp.config import descriptors
from rover_mcp.config.descriptors import (
    BURST,
    PER_SECOND,
    AcceptErrors,
    AcceptPace,
    accept_from,
    share,
)
from rover_mcp.daemon.heartbeat import STUCK_SECONDS, Heartbeat
from rover_mcp.gateway.unix_socket import refuse


class Listener(socket.socket):
    """Its first accepts fail."""

    fail_with: tuple[int, ...] = ()

    def accept(self) -> tuple[socket.socket, object]:
        if self.fail_with:
            number, *rest = self.fail_with
            self.fail_with = tuple(rest)
            raise OSError(number, os.strerror(number))
        return super().accept()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(socket.AF_INET) as made:
        made.bind(("127.0.0.1", 0))
        made.listen(8)
        made.setblocking(False)
        yield made


def test_accepting_outlives_whatever_the_system_lacks(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what became of a client before it was accepted."""
    monkeypatch.setattr(descriptors, "PAUSE_SECONDS", 0)
    listener.fail_with = (
        errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO,
    )  # fmt: skip

    async def work() -> None:
        taken: asyncio.Queue[socket.socket] = asyncio.Queue()
        accepting = asyncio.create_task(accept_from(listener, taken.put_nowait))
        with socket.create_connection(listener.getsockname()):
            (await taken.get()).close()
        assert listener.fail_with == ()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)

    anyio.run(work)


def test_a_broken_listening_socket_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(OSError, match="Bad file"):
        anyio.run(AcceptErrors().wait, OSError(errno.EBADF, "Bad file descriptor"))


def test_a_listener_that_is_flooded_leaves_time_to_others() -> None:
    """The loop's time is bounded."""
    now = 0.0
    pace = AcceptPace(lambda: now)
    assert [pace.next() for _ in range(BURST)] == [0.0] * BURST
    assert pace.next() == 1 / PER_SECOND
    now += 10
    assert pace.next() == 0.0


@pytest.mark.parametrize(
    ("limit", "wanted", "sandboxes", "most"),
    [(65536, 128, 8, 128), (1024, 128, 8, 58), (256, 128, 2, 40), (64, 128, 2, 4)],
)
def test_all_sandboxes_together_leave_the_daemon_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, limit: int, wanted: int, sandboxes: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert share(wanted, sandboxes) == most


def test_a_child_gets_the_limit_that_the_user_had() -> None:
    """Programs that use select() know no descriptor above 1,023."""
    script = (
        "import resource, subprocess, sys\n"
        "from rover_mcp.config import descriptors\n"
        "descriptors.raise_limit()\n"
        "raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
        "child = subprocess.Popen(['sh', '-c', 'read x; ulimit -Sn'], stdin=subprocess.PIPE)\n"
        "descriptors.lower_limit(child.pid)\n"
        "child.communicate(b'go')\n"
        "print(raised)\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'ulimit -Sn 512 && exec "$@"', "sh", sys.executable, "-c", script],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    child, raised = done.stdout.split()
    assert child == "512"
    assert int(raised) > 512


def test_who_comes_too_often_is_told_so_in_words() -> None:
    """As HTTP, to whom waits for an answer."""
    ours, theirs = socket.socketpair()
    refuse(ours, "this sandbox has 128 connections open already")
    said = theirs.makefile("rb").read()
    theirs.close()
    assert said.startswith(b"HTTP/1.1 503 Service Unavailable (Rover: this sandbox has 128")
    assert said.endswith(b'"message": "Rover: this sandbox has 128 connections open already."}}')


def test_a_loop_that_does_nothing_for_long_is_stuck() -> None:
    now = 0.0
    heart = Heartbeat(lambda: now)
    now += STUCK_SECONDS
    assert not heart.is_stuck()
    now += 1
    assert heart.is_stuck()
    heart.beat()
    assert not heart.is_stuck()
