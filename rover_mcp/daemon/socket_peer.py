"""Finds out who is at the other end of a connection to the daemon's socket.

The socket's file mode keeps other users away. For the kernel, a program in a sandbox or container
is the same user, but it lives in other namespaces: it is not the person at this machine, and a
socket that was mounted there by mistake must not be a way out.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rover_mcp.launcher.handshake import CLI, PROTOCOL
from rover_mcp.tasks.caller import Caller

NAMESPACES: Final = ("user", "pid", "mnt")
_SO_PEERPIDFD: Final = 77  # linux/asm-generic/socket.h, from 6.5 on
_UNKNOWN_OPTION: Final = (errno.ENOPROTOOPT, errno.EINVAL, errno.EOPNOTSUPP)
_PROCESSES = Path("/proc")

HINT = (
    "run it outside of the container or sandbox; or give it a data folder of its own there "
    "(ROVER_HOME); or let it connect over HTTP (rover-mcp --http)"
)


@dataclass(frozen=True)
class SocketPeer:
    """What the kernel knows of a peer. `ours`: it is this user. `reason`: why it may nevertheless
    not command this daemon."""

    ours: bool
    reason: str | None = None


def peer_of(sock: socket.socket) -> SocketPeer:
    """Look at the peer of a connection, at once: it may end, and the kernel reuses its id."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", credentials)
    # Root can read the data folder anyway.
    if uid not in (os.getuid(), 0):
        return SocketPeer(ours=False)
    if pid == 0:
        # It lives in a pid namespace that this process does not see into.
        return SocketPeer(True, foreign(["pid"]))
    try:
        handle = _handle(sock, pid)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return SocketPeer(True, f"peers cannot be inspected: {error.strerror}")
        return SocketPeer(True, "the program that connected has ended")
    try:
        return SocketPeer(True, _reason(pid, handle))
    finally:
        os.close(handle)


def foreign(kinds: list[str]) -> str:
    """The reason for a peer whose namespaces of these kinds are not the daemon's."""
    return (
        f"the program that connected runs in a container or sandbox (another {', '.join(kinds)} "
        "namespace), from where this daemon takes no commands"
    )


def _handle(sock: socket.socket, pid: int) -> int:
    """Open a descriptor of the peer's process.

    From Linux 6.5 on the kernel gives that of the process that connected; before, the process that
    has the id now, which `_reason` checks to be alive still.
    """
    try:
        descriptor = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, struct.calcsize("i"))
    except OSError as error:
        if error.errno not in _UNKNOWN_OPTION:
            raise
        return os.pidfd_open(pid)
    return int(struct.unpack("i", descriptor)[0])


def _reason(pid: int, handle: int) -> str | None:
    own = {kind: _namespace("self", kind) for kind in NAMESPACES}
    if not any(own.values()):
        return "/proc is not mounted here, so that it cannot be seen where a program runs"
    other = [kind for kind in NAMESPACES if _namespace(str(pid), kind) != own[kind]]
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    if poll.poll(0):
        # Then what was read may be another process's, which has its id by now.
        return "the program that connected has ended"
    return foreign(other) if other else None


def _namespace(process: str, kind: str) -> tuple[int, int] | None:
    """Identify a namespace by device and inode; None if it cannot be seen, such as that of root in
    another container."""
    try:
        facts = (_PROCESSES / process / "ns" / kind).stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def caller_of(line: bytes) -> Caller | str:
    """Parse a client's preamble into its caller, or say what is wrong with it."""
    try:
        preamble: dict[str, Any] = json.loads(line)
        if preamble["rover"] != PROTOCOL:
            return f"protocol {preamble['rover']} is not {PROTOCOL}"
        return Caller(
            client_id=str(preamble["client_id"]),
            cwd=Path(preamble["cwd"]),
            name=str(preamble.get("name", "client")),
            version=str(preamble["version"]),
            env={str(k): str(v) for k, v in preamble.get("env", {}).items()},
            # What an assistant starts has no say in it: its launcher writes another name here.
            terminal=preamble.get("name") == CLI and preamble.get("terminal") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "the preamble cannot be read"
