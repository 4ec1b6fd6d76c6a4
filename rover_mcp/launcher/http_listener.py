"""`rover-mcp --http`: holds the address, and the daemon serves it. Standard library only.

When the daemon dies another one is started and gets the same socket; clients that connect meanwhile
wait.
SIGINT or SIGTERM let the daemon end its streams; a second one does not wait for that.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import time
from collections import deque

from rover_mcp.launcher.daemon_client import (
    DaemonConnection,
    DaemonUnavailable,
    dial,
    new_client_id,
)
from rover_mcp.launcher.frame_pump import print_error
from rover_mcp.launcher.handshake import HTTP

HOST, PORT = "127.0.0.1", 8765
MAX_LOSSES, LOSS_WINDOW = 5, 60.0
ANSWER_SECONDS = 15.0
# Less than the 10 s after which `docker stop` kills a process.
END_SECONDS = 8.0


class CannotServe(Exception):
    """HTTP cannot be served; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def parse_address(text: str) -> tuple[str, int]:
    """`8765`, `127.0.0.1:8765`, `[::1]:8765`; "" is the default. Port 0 is any free one.

    Raises:
        CannotServe: it is none of these.
    """
    if not text:
        return HOST, PORT
    host, colon, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (colon and not host):
        raise CannotServe(f"invalid address {text!r}", "use HOST:PORT or a port")
    return host.removeprefix("[").removesuffix("]") or HOST, int(port)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, which listens once the daemon has agreed.

    Raises:
        CannotServe: the address is taken, or is not one of this machine.
    """
    where = f"{host}:{port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = addresses[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotServe(f"cannot use the address {where}: {error}", "use another one") from error
    # Otherwise the address would stay taken for a minute after the last connection.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(place)
    except OSError as error:
        sock.close()
        hints = {
            errno.EADDRINUSE: "another program listens there: end it, or give another port",
            errno.EACCES: "a port above 1023 needs no special rights",
        }
        hint = hints.get(error.errno or 0, "give another address")
        raise CannotServe(f"{where} cannot be used: {error.strerror}", hint) from error
    return sock


class HttpFrontend:
    """Holds one address for whichever daemon serves it. `board` is the digest of the token for the
    board, which is served there in place of MCP."""

    def __init__(self, home: str, sock: socket.socket, board: str | None = None) -> None:
        self._home = home
        self._board = board
        self._sock = sock
        self._client_id = new_client_id()
        self._losses: deque[float] = deque(maxlen=MAX_LOSSES)
        self._wake, self._signalled = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._ending = False
        self._served = False

    def on_signal(self, _number: int, _frame: object) -> None:
        """Ask to end. If nothing is served, or at the second signal, end at once."""
        if self._ending or not self._served:
            os._exit(0)
        self._ending = True
        os.write(self._signalled, b"x")

    def run(self) -> None:
        """Serve until a signal asks to end.

        Raises:
            CannotServe, DaemonUnavailable: the daemon refuses, or none can be reached.
        """
        while True:
            connection = dial(HTTP, home=self._home, client_id=self._client_id)
            if connection.notice:
                print_error(connection.notice)
            with connection.sock as daemon:
                daemon.setblocking(True)
                answer = self._hand_over(connection)
                if answer is not None:
                    self.announce(answer, again=self._served)
                    self._served = True
                    if self._wait(daemon):
                        return
            self._count_loss()

    def _hand_over(self, connection: DaemonConnection) -> dict[str, object] | None:
        """Give the socket to the daemon, and return its answer; None: it died meanwhile."""
        daemon = connection.sock
        daemon.settimeout(ANSWER_SECONDS)
        try:
            request = {"listen": True, **({"board": self._board} if self._board else {})}
            line = json.dumps(request).encode() + b"\n"
            socket.send_fds(daemon, [line], [self._sock.fileno()])
            line = connection.rest
            while b"\n" not in line:
                data = daemon.recv(65536)
                if not data:
                    return None
                line += data
        except OSError:
            return None
        answer: dict[str, object] = json.loads(line)
        if answer.get("status") != "serving":
            raise CannotServe(
                str(answer.get("reason")), str(answer.get("hint") or "see docs/http.md")
            )
        return answer

    def announce(self, answer: dict[str, object], *, again: bool) -> None:
        """Say that it is served; `again`: by another daemon than before."""
        users = answer.get("users")
        names = ", ".join(map(str, users)) if isinstance(users, list) else ""  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        anew = " again" if again else ""
        print_error(f"rover-mcp: serving MCP on {answer.get('url')}{anew}, for {names}")

    def _wait(self, daemon: socket.socket) -> bool:
        """Wait until the daemon is gone (False), or until streams have ended after a signal
        (True)."""
        poll = select.poll()
        poll.register(daemon, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        daemon.settimeout(END_SECONDS)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    self._end(daemon)
                    return True
                if not _more(daemon):
                    return False

    def _end(self, daemon: socket.socket) -> None:
        # The daemon closes its copy, too, so that clients that connect from now on are refused.
        self._sock.close()
        try:
            daemon.shutdown(socket.SHUT_WR)
        except OSError:
            return
        while _more(daemon):
            pass

    def _count_loss(self) -> None:
        now = time.monotonic()
        self._losses.append(now)
        if len(self._losses) == MAX_LOSSES and now - self._losses[0] < LOSS_WINDOW:
            raise DaemonUnavailable(
                f"the Rover daemon ended {MAX_LOSSES} times within a minute",
                f"look into {self._home}/daemon.log",
            )
        print_error("rover-mcp: the daemon ended; starting another")


def _more(sock: socket.socket) -> bool:
    """Wait for something to read. False if nothing will come."""
    try:
        return bool(sock.recv(65536))
    except OSError:
        return False


def serve_http(home: str, where: str) -> int:
    """`rover-mcp --http`; the exit status."""
    try:
        front = HttpFrontend(home, bind(*parse_address(where)))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, front.on_signal)
        front.run()
    except CannotServe as error:
        print_error(f"rover-mcp: cannot serve HTTP: {error}\nrover-mcp: {error.hint}")
        return 1
    except DaemonUnavailable as error:
        if error.log:
            print_error(error.log)
        print_error(f"rover-mcp: {error.message}\nrover-mcp: {error.hint}")
        return 1
    return 0
