"""Makes the unix sockets that sandboxes reach."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault

SOCKET_MODE = 0o666  # the agent is another user; the folder decides who gets here at all
FOLDER_MODE = 0o755
BACKLOG = 128


def listen_unix(path: Path) -> socket.socket:
    """Listen at `path`, in place of a socket that an earlier daemon left there.

    Works for any length of path: it is bound through a descriptor of its folder, since a socket
    address holds 107 bytes (unix(7)). The old socket is replaced in one step.

    Raises:
        EnvironmentFault: the folder cannot be used, or something else is at `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(FOLDER_MODE)
        if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
            raise EnvironmentFault(f"{path} is not a socket", hint="move it away")
        return _bind(path)
    except OSError as error:
        raise EnvironmentFault(
            f"the gateway cannot listen at {path}: {error.strerror or error}",
            hint="check the data folder's rights and free space",
        ) from error


def refuse(connection: socket.socket, why: str) -> None:
    """Say in an HTTP answer why a new connection is not served, and close it."""
    body = json.dumps({"error": {"type": "rate_limit_error", "message": f"Rover: {why}."}}).encode()
    head = (
        f"HTTP/1.1 503 Service Unavailable (Rover: {why})\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with connection, contextlib.suppress(OSError):
        # A client that does not read must not block the loop that serves all sandboxes; what does
        # not fit into the socket's buffer is not sent.
        connection.setblocking(False)
        connection.send(head.encode() + body)


def _bind(path: Path) -> socket.socket:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Bound under another name and then renamed: a sandbox that is running has the folder mounted
    # and tries again at this path, which is never missing.
    fresh = f"{path.name}.{os.getpid()}"
    try:
        (path.parent / fresh).unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{folder}/{fresh}")
        os.chmod(fresh, SOCKET_MODE, dir_fd=folder)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        os.replace(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener
