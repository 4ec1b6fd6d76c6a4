"""Pumps frames between an assistant and the daemon, without understanding them.

`session_replay` knows what a session consists of, `daemon_client` how to reach a daemon. Standard
library only, and one thread: an assistant waits for this process, which has no time to import more.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque

from rover_mcp.launcher.daemon_client import DaemonUnavailable, Dialer, make_preamble, new_client_id
from rover_mcp.launcher.session_replay import (
    FRAME_LIMIT,
    TOO_LARGE,
    Conversation,
    Frames,
    error_answer,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from rover_mcp.launcher.cold_start import ColdStart

QUEUE_LIMIT = 1024 * 1024  # beyond this nothing more is read until the other side has taken some
READ_SIZE = 256 * 1024
# A pipe that polls as writable takes this much without blocking (PIPE_BUF), a socket much more.
PIPE_SIZE, SOCKET_SIZE = 4096, 64 * 1024
MAX_LOSSES, LOSS_WINDOW = 5, 60.0  # more dead daemons than this in so many seconds: wait for a call
BUSY_SECONDS = 2.0  # for a daemon that is there and busy; some clients wait 5 seconds in all
FINISH_SECONDS = 0.02  # seconds for delivering what is queued when the client has gone


class Launcher:
    """Pumps frames between a client on two descriptors and whichever daemon lives."""

    def __init__(self, home: str, stdin: int = 0, stdout: int = 1) -> None:
        self._home = home
        self._stdin = stdin
        self._stdout = stdout
        is_socket = os.fstat(stdout).st_mode & 0o170000 == 0o140000
        self._write_size = SOCKET_SIZE if is_socket else PIPE_SIZE
        self._hello = make_preamble("launcher", new_client_id())
        self._conversation = Conversation()
        self._from_client = Frames()
        self._from_daemon = Frames()
        self._to_daemon: deque[bytes] = deque()
        self._to_daemon_size = 0
        self._offset = 0  # how much of the frame that is being sent the daemon has
        self._to_client: deque[memoryview] = deque()
        self._to_client_size = 0
        self._socket: socket.socket | None = None
        self._dialer: Dialer | None = Dialer(home, self._hello)
        self._losses: deque[float] = deque(maxlen=MAX_LOSSES)
        self._cold_start: ColdStart | None = None

    def run(self) -> None:
        """Serve until the client has gone."""
        poll = select.poll()
        while True:
            if self._dialer is not None:
                self._dial(self._dialer)
            watched = self._watch(poll)
            wait = None if self._dialer is None else max(1, int(self._dialer.delay * 1000))
            events = dict(poll.poll(wait))
            for descriptor in watched:
                poll.unregister(descriptor)
            if self._client_gone(events):
                return
            if self._socket is not None:
                self._serve_daemon(self._socket, events.get(self._socket.fileno(), 0))

    def finish_output(self) -> None:
        """Deliver what is queued, as far as it takes no time."""
        sock = self._socket
        if sock is not None and not self._conversation.gated:
            left = b"".join((*self._conversation.first, *self._to_daemon))[self._offset :]
            sock.settimeout(FINISH_SECONDS)
            try:
                sock.sendall(left)
            except OSError:
                return
        poll = select.poll()
        poll.register(self._stdout, select.POLLOUT)
        until = time.monotonic() + FINISH_SECONDS
        while self._to_client and poll.poll(1) and time.monotonic() < until:
            if not self._write_to_client():
                return

    def _watch(self, poll: select.poll) -> list[int]:
        """Register what to wait for now. Even if nothing is to be read, the end of the client is
        noticed: poll always reports a hang-up."""
        room = self._to_daemon_size < QUEUE_LIMIT
        poll.register(self._stdin, select.POLLIN if room else 0)
        poll.register(self._stdout, select.POLLOUT if self._to_client else 0)
        watched = [self._stdin, self._stdout]
        if self._socket is not None:
            wish = select.POLLIN if self._to_client_size < QUEUE_LIMIT else 0
            wish |= select.POLLOUT if self._wants_to_send() else 0
            if wish:  # otherwise poll would report a daemon that hangs up again and again
                poll.register(self._socket, wish)
                watched.append(self._socket.fileno())
        elif self._dialer is not None and (descriptor := self._dialer.fileno()) is not None:
            poll.register(descriptor, select.POLLIN)
            watched.append(descriptor)
        return watched

    def _client_gone(self, events: dict[int, int]) -> bool:
        event = events.get(self._stdin, 0)
        if event & select.POLLIN:
            try:
                data = os.read(self._stdin, READ_SIZE)
            except OSError:
                return True
            if not data:
                return True
            self._take(data)
        elif event:
            return True
        event = events.get(self._stdout, 0)
        if event & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            return True
        return bool(event & select.POLLOUT) and not self._write_to_client()

    def _take(self, data: bytes) -> None:
        for frame in self._from_client.feed(data):
            self._to_daemon.append(frame)
            self._to_daemon_size += len(frame)
        if self._from_client.overflowed:
            self._from_client.overflowed = False
            message = f"a message of more than {FRAME_LIMIT} bytes was dropped"
            self._tell_client(error_answer(None, TOO_LARGE, message, "Send less at once"))
        if self._to_daemon and self._socket is None and self._dialer is None:
            self._dialer = Dialer(self._home, self._hello)

    def _tell_client(self, frame: bytes) -> None:
        self._to_client.append(memoryview(frame))
        self._to_client_size += len(frame)

    def _write_to_client(self) -> bool:
        try:
            written = os.write(self._stdout, self._to_client[0][: self._write_size])
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._to_client_size -= written
        if written == len(self._to_client[0]):
            self._to_client.popleft()
        else:
            self._to_client[0] = self._to_client[0][written:]
        return True

    def _dial(self, dialer: Dialer) -> None:
        try:
            connection = dialer.step()
        except DaemonUnavailable as error:
            self._dialer = None
            self._fail(error)
            return
        if connection is None:
            # Headless Codex asks its model without the tools of a server that is not quick.
            if self._to_daemon and (dialer.cold or dialer.waits() > BUSY_SECONDS):
                self._answer_meanwhile()
            return
        self._dialer = None
        self._socket = connection.sock
        if connection.notice:
            print_error(connection.notice)
        self._from_daemon = Frames()
        self._conversation.reopen()
        self._hand_over(connection.rest)

    def _answer_meanwhile(self) -> None:
        """Answer what can be answered without the daemon, which is still starting."""
        if self._cold_start is None:
            # Imported here: it is not needed if a daemon runs, which is nearly always.
            from rover_mcp.launcher.cold_start import ColdStart

            self._cold_start = ColdStart(self._home, self._conversation)
        waiting, self._to_daemon = self._to_daemon, deque[bytes]()
        for frame in waiting:
            if (answer := self._cold_start.answer(frame)) is None:
                self._to_daemon.append(frame)
            else:
                self._to_daemon_size -= len(frame)
                self._tell_client(answer)

    def _fail(self, error: DaemonUnavailable) -> None:
        """Answer every waiting request with an error. The next request dials again."""
        if error.log:
            print_error(error.log)
        print_error(f"rover-mcp: {error.message}\nrover-mcp: {error.hint}")
        for answer in self._conversation.abandon(error.message, error.hint):
            self._tell_client(answer)
        for frame in self._to_daemon:
            if answer := self._conversation.refused(frame, error.message, error.hint):
                self._tell_client(answer)
        self._to_daemon.clear()
        self._to_daemon_size = 0

    def _serve_daemon(self, sock: socket.socket, event: int) -> None:
        if event & select.POLLOUT and not self._send(sock):
            self._lose()
        elif event & ~select.POLLOUT:
            try:
                data = sock.recv(READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self._hand_over(data)
            else:
                self._lose()

    def _hand_over(self, data: bytes) -> None:
        for frame in self._from_daemon.feed(data):
            if (wanted := self._conversation.received(frame)) is not None:
                self._tell_client(wanted)
        if self._from_daemon.overflowed:
            print_error(f"rover-mcp: the daemon sent more than {FRAME_LIMIT} bytes at once")
            self._lose()

    def _wants_to_send(self) -> bool:
        return bool(self._conversation.first) or (
            bool(self._to_daemon) and not self._conversation.gated
        )

    def _send(self, sock: socket.socket) -> bool:
        """Send as much of one frame as the socket takes. False if the daemon is gone."""
        # What opens a session never cuts a frame in two: it is queued only when a connection
        # is new, or while nothing else may be sent.
        opening = bool(self._conversation.first)
        queue = self._conversation.first if opening else self._to_daemon
        frame = queue[0]
        try:
            self._offset += sock.send(memoryview(frame)[self._offset :])
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self._offset == len(frame):
            self._offset = 0
            queue.popleft()
            if not opening:
                self._to_daemon_size -= len(frame)
                self._conversation.sent(frame)
        return True

    def _lose(self) -> None:
        """After the end of a daemon: report what was lost with it, and look for another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        # A frame that was sent in part is sent again from its beginning: the daemon had no use for
        # it.
        self._offset = 0
        for frame in self._conversation.lost():
            self._tell_client(frame)
        now = time.monotonic()
        self._losses.append(now)
        if len(self._losses) == MAX_LOSSES and now - self._losses[0] < LOSS_WINDOW:
            self._fail(
                DaemonUnavailable(
                    f"the Rover daemon ended {MAX_LOSSES} times within a minute",
                    f"look into {self._home}/daemon.log; the next call tries again",
                )
            )
        else:
            self._dialer = Dialer(self._home, self._hello)


def print_error(text: str) -> None:
    """Write to stderr for a person, who may not be there."""
    try:
        os.write(2, f"{text}\n".encode(errors="replace"))
    except OSError:
        return
