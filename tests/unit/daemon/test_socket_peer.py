"""Who may command the daemon: this user, in its own namespaces (U4)."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rover_mcp.daemon import socket_peer
from rover_mcp.daemon.socket_peer import SocketPeer, peer_of

CONNECT = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(chr(0) + sys.argv[1]); "
    "print('connected', flush=True); sys.stdin.read()"
)


@pytest.fixture(params=["pidfd of the peer", "before Linux 6.5"])
def listener(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """One that every user can reach. On every kernel both ways can be taken: an option that none knows stands for an old one."""
    if request.param == "before Linux 6.5":
        monkeypatch.setattr(socket_peer, "_SO_PEERPIDFD", 0x7FFE)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0rover-test-{secrets.token_hex(8)}")
        server.listen()
        yield server


@contextmanager
def connected(
    listener: socket.socket, *prefix: str
) -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    argv = [*prefix, "/usr/bin/env", "python3", "-c", CONNECT, listener.getsockname()[1:].decode()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout
        assert client.stdout.readline() == b"connected\n"
        accepted, _ = listener.accept()
        with accepted:
            yield accepted, client
            client.kill()


def test_a_program_beside_the_daemon_is_heard(listener: socket.socket) -> None:
    with connected(listener) as (sock, _):
        assert peer_of(sock) == SocketPeer(ours=True)


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        (["unshare", "--user"], "user"),
        (["unshare", "--mount"], "mnt"),
        (["unshare", "--pid", "--fork", "--kill-child"], "pid"),
        (["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--unshare-user"], "user, pid, mnt"),
    ],
    ids=["user", "mnt", "pid", "bubblewrap"],
)
def test_one_in_another_namespace_is_refused(
    listener: socket.socket, prefix: Sequence[str], kind: str
) -> None:
    """Succeeded at 700cc57: who reached the socket from a container commanded the daemon."""
    with connected(listener, *prefix) as (sock, _):
        told = peer_of(sock)
        assert told.ours
        assert f"another {kind} namespace" in (told.reason or "")


def test_one_that_has_ended_is_refused(listener: socket.socket) -> None:
    """Its process id may be another's by now."""
    with connected(listener) as (sock, client):
        client.kill()
        client.wait()
        assert "has ended" in (peer_of(sock).reason or "")


def test_one_that_has_ended_and_is_not_reaped_is_refused(listener: socket.socket) -> None:
    with connected(listener) as (sock, client):
        client.kill()
        client_ended(client)
        assert "has ended" in (peer_of(sock).reason or "")


def client_ended(client: subprocess.Popen[bytes]) -> None:
    """Until it is dead, without reaping it."""
    os.waitid(os.P_PID, client.pid, os.WEXITED | os.WNOWAIT)


def test_a_process_that_has_no_number_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon in a namespace of its own, reached from outside."""

    class FromOutside:
        def getsockopt(self, *_: object) -> bytes:
            return struct.pack("3i", 0, os.getuid(), 0)

    assert "pid" in (peer_of(FromOutside()).reason or "")  # type: ignore[arg-type]


def test_another_user_is_told_nothing(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_peer.os, "getuid", lambda: 12345)
    with connected(listener, "setpriv", "--reuid=1", "--clear-groups") as (sock, _):
        assert peer_of(sock) == SocketPeer(ours=False)


def test_where_processes_cannot_be_seen_nobody_is_heard(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(socket_peer, "_PROCESSES", tmp_path)
    with connected(listener) as (sock, _):
        assert "/proc" in (peer_of(sock).reason or "")
