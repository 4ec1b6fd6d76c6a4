"""Finds the daemon, has it started if none runs, and opens a connection to it.

Standard library only, and little of it: the launcher's startup time is a budget. A `Dialer`
goes in steps that never block, so that a launcher can end at any moment; `dial` is the same for
those who may wait. The handshake is handshake.py's.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time

from rover_mcp import __version__
from rover_mcp.launcher.handshake import (
    CLI,
    MAX_PREAMBLE_BYTES,
    PROTOCOL,
    allowed_environment,
    data_folder_name,
    socket_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rover_mcp.launcher.daemon_start import Starter

START_TIMEOUT = 240.0
"""Seconds: a busy machine takes more than a minute to start a daemon, and a daemon that hangs ends
itself after three, so that the next one can still answer."""
FIRST_DELAY, LONGEST_DELAY = 0.005, 0.05


class DaemonUnavailable(Exception):
    """No daemon can be reached. `message` says why, `hint` what to do, `log` what it printed."""

    def __init__(self, message: str, hint: str, log: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log


class DaemonConnection:
    """An open connection after the handshake. `rest` is what came behind the daemon's line.
    `answered`: the next line answers what the preamble asked, and nothing follows."""

    def __init__(
        self,
        sock: socket.socket,
        version: str,
        notice: str | None,
        rest: bytes,
        *,
        answered: bool = False,
    ) -> None:
        self.sock = sock
        self.version = version
        self.notice = notice
        self.rest = rest
        self.answered = answered


def make_preamble(
    name: str,
    client_id: str,
    environ: Mapping[str, str] | None = None,
    asks: Mapping[str, object] | None = None,
) -> bytes:
    """The line that a client sends first. `asks`: the only call that the client makes, which a
    daemon that was started for it may answer at once.

    Raises:
        DaemonUnavailable: the environment is too large to be sent.
    """
    try:
        cwd = os.getcwd()  # noqa: PTH109
    except OSError:
        cwd = "/"
    hello: dict[str, object] = {
        "rover": PROTOCOL,
        "client_id": client_id,
        "version": __version__,
        "cwd": cwd,
        "name": name,
        "env": allowed_environment(dict(os.environ if environ is None else environ)),
    }
    if name == CLI:
        hello["terminal"] = has_person()
    if asks is not None:
        hello["asks"] = asks
    line = json.dumps(hello).encode() + b"\n"
    if len(line) > MAX_PREAMBLE_BYTES:
        raise DaemonUnavailable(
            "the environment is too large to be handed to the daemon",
            "shorten PATH and the variables of providers and proxies",
        )
    return line


def has_person() -> bool:
    """Whether a person can be asked: input and messages are connected to a terminal. A command
    that an assistant runs has pipes there."""
    return all(os.isatty(stream) for stream in (0, 2))


def new_client_id() -> str:
    """32 random hex digits; the same for all connections of one client."""
    return os.urandom(16).hex()


class Dialer:
    """One effort to reach the daemon of a data folder, at most `timeout` seconds long."""

    def __init__(
        self,
        home: str,
        hello: bytes,
        *,
        timeout: float = START_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        asks: bool = False,
    ) -> None:
        self.home = home
        self._asks = asks
        self.delay = 0.0
        self._hello = hello
        self._clock = clock
        self._timeout = timeout
        self._deadline = clock() + timeout
        self._sock: socket.socket | None = None
        self._unsent = b""
        self._received = b""
        self._starter: Starter | None = None

    def fileno(self) -> int | None:
        """The descriptor that becomes readable when `step` can continue; None if only time
        helps."""
        return None if self._sock is None else self._sock.fileno()

    def waits(self) -> float:
        """The seconds since the effort began."""
        return self._clock() + self._timeout - self._deadline

    @property
    def cold(self) -> bool:
        """Whether no daemon listened, so that one has to start first."""
        return self._starter is not None

    def step(self) -> DaemonConnection | None:
        """Go as far as is possible without waiting; None: call again after `delay` seconds.

        Raises:
            DaemonUnavailable: no daemon can be had.
        """
        try:
            connection = self._go()
        except DaemonUnavailable:
            self.close()
            raise
        if connection is not None:
            self.close()
            return connection
        left = self._deadline - self._clock()
        if left <= 0:
            error = self._timed_out()
            self.close()
            raise error
        longest = left if self._sock is not None else min(left, LONGEST_DELAY)
        self.delay = min(max(2 * self.delay, FIRST_DELAY), longest)
        return None

    def close(self) -> None:
        """Give up what the effort holds; a connection that was handed out stays open."""
        self._hang_up()
        if self._starter is not None:
            self._starter.close()

    def _go(self) -> DaemonConnection | None:
        try:
            if self._sock is None:
                self._sock = _open_socket(self.home)
                self._unsent, self._received = self._hello, b""
            if self._sock is not None:
                return self._shake_hands(self._sock)
        except BlockingIOError:
            return None
        except (ConnectionError, EOFError):
            # It ended between the connect and its answer: it was idle, or has just been replaced.
            self._hang_up()
            return None
        self._start()
        return None

    def _start(self) -> None:
        if self._starter is None:
            # Imported here: it is not needed if a daemon runs, which is nearly always.
            from rover_mcp.launcher.daemon_start import Starter

            self._starter = Starter(self.home, self._clock, requested=self._asks)
        self._starter.start()

    def _shake_hands(self, sock: socket.socket) -> DaemonConnection | None:
        while self._unsent:
            self._unsent = self._unsent[sock.send(self._unsent) :]
        while b"\n" not in self._received:
            data = sock.recv(65536)
            if not data:
                raise EOFError
            self._received += data
            # Whatever listens there may send without end.
            if len(self._received) > MAX_PREAMBLE_BYTES:
                raise self._not_rover()
        line, _, rest = self._received.partition(b"\n")
        return self._welcomed(sock, line, rest)

    def _welcomed(self, sock: socket.socket, line: bytes, rest: bytes) -> DaemonConnection | None:
        try:
            answer = json.loads(line)
            status = answer["status"] if answer["rover"] == PROTOCOL else None
        except (ValueError, RecursionError, KeyError, TypeError):
            raise self._not_rover() from None
        if status == "ok":
            self._sock = None
            version, notice = str(answer.get("version")), answer.get("notice")
            answered = answer.get("answered") is True
            return DaemonConnection(sock, version, notice, rest, answered=answered)
        # The daemon is of another version and idle; it ends now, and the next step starts a new
        # one.
        if status == "retiring":
            self._hang_up()
            return None
        if status == "refused":
            raise DaemonUnavailable(
                f"the daemon refused the connection: {answer.get('reason')}",
                str(answer.get("hint") or "see `rover doctor`"),
            )
        raise self._not_rover()

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _not_rover(self) -> DaemonUnavailable:
        return DaemonUnavailable(
            f"what listens on {socket_name(self.home)} is not a daemon of a known version",
            "end it, or use another data folder (ROVER_HOME, --home)",
        )

    def _timed_out(self) -> DaemonUnavailable:
        what = "no daemon could be reached" if self._sock is None else "the daemon did not answer"
        return DaemonUnavailable(
            f"{what} on {socket_name(self.home)} within {self._timeout:.0f} s",
            f"try again if this machine is busy; else look into {self.home}/daemon.log, and end a "
            "daemon that hangs",
            self._starter.log() if self._starter else "",
        )


def dial(
    name: str,
    *,
    home: str | None = None,
    client_id: str | None = None,
    timeout: float = START_TIMEOUT,
    asks: Mapping[str, object] | None = None,
) -> DaemonConnection:
    """Connect to the daemon, starting it if none runs; blocks up to `timeout` seconds. `asks`:
    see make_preamble.

    Raises:
        DaemonUnavailable: no daemon can be had.
    """
    hello = make_preamble(name, client_id or new_client_id(), asks=asks)
    home = home or data_folder_name(os.environ)
    dialer = Dialer(home, hello, timeout=timeout, asks=asks is not None)
    while (connection := dialer.step()) is None:
        descriptor = dialer.fileno()
        select.select([] if descriptor is None else [descriptor], [], [], dialer.delay)
    return connection


def _open_socket(home: str) -> socket.socket | None:
    """A connected socket, or None if no daemon listens. BlockingIOError: its queue is full."""
    path = socket_name(home)
    _check_folder(home, path)
    # Not blocking: a daemon that is busy must not keep the launcher from noticing that its client
    # is gone.
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(path)
    # Refused: a daemon that was killed leaves its socket's file behind.
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except BlockingIOError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise DaemonUnavailable(
            f"the daemon's socket {path} cannot be opened: {error.strerror}",
            "name a data folder of your own (ROVER_HOME, --home)",
        ) from error
    _check_peer(sock, path)
    return sock


def _check_peer(sock: socket.socket, path: str) -> None:
    """The preamble carries keys: they go to a daemon of the same user only."""
    if not hasattr(socket, "SO_PEERCRED"):
        return
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    if int.from_bytes(credentials[4:8], sys.byteorder) != os.getuid():
        sock.close()
        raise DaemonUnavailable(
            f"what listens on {path} belongs to another user",
            "use a data folder of your own (ROVER_HOME, --home)",
        )


def _check_folder(home: str, path: str) -> None:
    """A socket's folder under /tmp must be ours: anyone may make one of that name first."""
    folder = os.path.dirname(path)  # noqa: PTH120
    if folder == home:
        return
    # Here, for it is needed only where the data folder's path is too long for a socket.
    from rover_mcp.launcher.ownership import objection

    if (why := objection(folder, link=False)) is not None:
        raise DaemonUnavailable(
            f"the daemon's socket cannot be trusted: {why[0]}",
            f"{why[1]}, or use a shorter ROVER_HOME",
        )
