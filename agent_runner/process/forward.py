"""Forwards a loopback port to the gateway's unix socket. Standard library only.

Run inside a bubblewrap sandbox, around an agent's command:

    python3 -I -S forward.py SOCKET PORT -- [--same-end] argv...

It listens on 127.0.0.1:PORT, forwards each connection to SOCKET, runs argv as its child and ends
with the child's exit status. If signal n ended the child, that is 128 + n, or with --same-end the
same signal. SIGTERM, SIGINT and SIGHUP are passed on to the child. If the runner shares the agent's
network (a container), it uses `Forwarder` itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

CHUNK_BYTES = 256 * 1024
MAX_CONNECTIONS = 128
EXIT_USAGE = 125  # as env(1) and docker(1) use it: the wrapper failed, not the command
EXIT_CANNOT_RUN = 126
EXIT_NOT_FOUND = 127
SAME_END = "--same-end"
PAUSE_SECONDS = 0.05
_CLOSED = (errno.EBADF, errno.EINVAL)  # after close or shutdown of the listening socket
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _short_path(path: str) -> tuple[str, int | None]:
    """A path to `path` that fits into a socket address (107 bytes on Linux, unix(7)), and the
    descriptor of its folder, to be closed after use, where one was needed."""
    if len(os.fsencode(path)) <= 107:
        return path, None
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{descriptor}/{name}", descriptor


def connect_unix(path: str, timeout: float | None = None) -> socket.socket:
    """Connect to a unix socket, however long its path is. `timeout` in seconds is for this and
    for all that is done with it.

    Raises:
        OSError: nothing listens there.
    """
    short, descriptor = _short_path(path)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(short)
    except OSError:
        connection.close()
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return connection


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until `source` ends, then end `sink`'s side only: the answer may still be coming."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is broken: both are ended, so that the other pump ends as well.
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Forwarder:
    """Listens on 127.0.0.1:`port` until closed. Port 0 takes a free one; see the attribute `port`.

    Two threads per connection: an agent has a handful of them, and threads start faster than
    asyncio is imported.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, target: str, port: int) -> None:
        self._target = target
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._listener = socket.create_server(("127.0.0.1", port), backlog=MAX_CONNECTIONS)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="gateway-forwarder", daemon=True).start()

    def close(self) -> None:
        """Stop listening. Connections that are open end with their peers."""
        # shutdown wakes the thread that is blocked in accept; close alone does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if error.errno in _CLOSED or self._listener.fileno() < 0:
                    return
                # Too many open files, or a client that has closed its end: both are temporary.
                time.sleep(PAUSE_SECONDS)
                continue
            # A wait here would stop accepting, and the kernel's backlog would hide the limit.
            if not self._slots.acquire(blocking=False):
                client.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()
            except RuntimeError:  # no more threads
                self._slots.release()
                client.close()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, connect_unix(self._target) as gateway:
                # Otherwise the small pieces of a streamed answer wait for acknowledgements.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                upward = threading.Thread(target=_pump, args=(client, gateway), daemon=True)
                upward.start()
                _pump(gateway, client)
                upward.join()
        except (OSError, RuntimeError):
            return  # the client sees its connection closed, as with any server that is down
        finally:
            self._slots.release()


class _Child:
    """The command. Signals are passed on to it, including those that arrive before it is
    started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)

    def run(self, argv: list[str]) -> int:
        # As a child rather than by exec: the threads of the forwarder would end with this program.
        self._process = process = subprocess.Popen(argv)
        for number in self._early:
            process.send_signal(number)
        return process.wait()


def _run(argv: list[str]) -> int:
    try:
        return _Child().run(argv)
    except FileNotFoundError:
        print(f"forward: command not found: {argv[0]}", file=sys.stderr)
        return EXIT_NOT_FOUND
    except OSError as error:
        print(f"forward: cannot run {argv[0]}: {error.strerror}", file=sys.stderr)
        return EXIT_CANNOT_RUN


def main(arguments: list[str]) -> int:
    """Run the command line of this module's description; the exit status to end with, or -n for
    the signal n to end by."""
    same_end = arguments[3:4] == [SAME_END]
    if same_end:
        del arguments[3]
    if len(arguments) < 4 or arguments[2] != "--" or not arguments[1].isdecimal():
        print("usage: forward.py SOCKET PORT -- argv...", file=sys.stderr)
        return EXIT_USAGE
    try:
        Forwarder(arguments[0], int(arguments[1]))
    except (OSError, OverflowError) as error:
        print(f"forward: cannot listen on 127.0.0.1:{arguments[1]}: {error}", file=sys.stderr)
        return EXIT_USAGE
    status = _run(arguments[3:])
    return status if same_end or status >= 0 else 128 - status


if __name__ == "__main__":
    # os._exit below: the pump threads are daemons and nothing is left to clean up, and the
    # interpreter's own shutdown takes longer than many a command.
    status = main(sys.argv[1:])
    sys.stderr.flush()
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP have no other action
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)
