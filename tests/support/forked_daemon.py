"""What a launcher starts in the tests in place of a daemon: asks preloaded_daemons.py for one, and ends
as that ends. Standard library only: it is started for each daemon.

    python -I -S forked_daemon.py SOCKET COMMAND [ARGUMENT...]

COMMAND is the daemon's as JSON: in pieces, this process would be taken for a daemon.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence


def connected(path: str) -> socket.socket:
    """A connection to the process that is forked. It serves one caller at a time: close it soon."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.connect(path)
    return asking


def fork(
    asking: socket.socket,
    command: Sequence[str],
    environ: Mapping[str, str],
    streams: Sequence[int],
) -> int:
    """The process id of a new daemon with these arguments, environment and streams."""
    socket.send_fds(asking, [json.dumps([command, dict(environ)]).encode()], streams)
    return int(asking.recv(64))


def exit_status_of(asking: socket.socket, pid: int) -> int:
    """How a daemon ended, as Popen.wait has it; waits for that. Once for each."""
    asking.send(json.dumps(pid).encode())
    return int(asking.recv(64))


def wait_for_end(pid: int) -> None:
    """Of a process that nobody has waited for, so that its id is still its own."""
    handle = os.pidfd_open(pid)
    ended = select.poll()
    ended.register(handle, select.POLLIN)
    ended.poll()
    os.close(handle)


def main() -> None:
    path, daemon, *arguments = sys.argv[1:]
    command = [*json.loads(daemon), *arguments]
    try:
        asking = connected(path)
    except OSError:
        # Whoever ran the tests is gone, and the process that was forked with it.
        os.execv(command[0], command)
    with asking:
        pid = fork(asking, command, os.environ, [0, 1, 2])
    wait_for_end(pid)
    with connected(path) as asking:
        status = exit_status_of(asking, pid)
    if status < 0:
        os.kill(os.getpid(), -status)
        signal.pause()
    sys.exit(status)


if __name__ == "__main__":
    main()
