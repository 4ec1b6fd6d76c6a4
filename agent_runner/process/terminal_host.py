"""Runs a program on a terminal of its own, inside a sandbox, for a client at the other end of a
socket. Standard library only: a sandbox is given this file's text.

    python3 -I -S -c TEXT ROWS COLUMNS argv...

Standard output is the socket, in both directions; with 0 rows the program has pipes and no
terminal. A frame is one byte that says what it is, four bytes with the length, and the content:

    d  what is typed, or what the program printed    e  what it printed to standard error
    r  a new size: rows and columns                  c  nothing more will be typed
    x  how it ended (its exit status, or 128 + n where signal n ended it)

If the client goes, the program gets SIGHUP as from any terminal that is closed.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
from contextlib import suppress

PIECE = 65536
MOST_WAITING = 4 * PIECE
LONGEST = 1 << 20
NOT_FOUND = 127
HEAD = struct.Struct(">cI")
SIZE = struct.Struct(">HH")
STATUS = struct.Struct(">I")


def frame(kind: bytes, content: bytes = b"") -> bytes:
    return HEAD.pack(kind, len(content)) + content


class TerminalFrames:
    """Takes frames out of a stream of bytes."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def add(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The frames that are complete now.

        Raises:
            ValueError: one is longer than any that is sent.
        """
        self._waiting += data
        complete: list[tuple[bytes, bytes]] = []
        while len(self._waiting) >= HEAD.size:
            kind, length = HEAD.unpack_from(self._waiting)
            if length > LONGEST:
                raise ValueError(f"a frame of {length} bytes")
            end = HEAD.size + length
            if len(self._waiting) < end:
                break
            complete.append((kind, bytes(self._waiting[HEAD.size : end])))
            del self._waiting[:end]
        return complete


class Program:
    """The program: where to write what is typed, and what to read it from."""

    def __init__(self, rows: int, columns: int, argv: list[str]) -> None:
        self.has_terminal = rows > 0
        if self.has_terminal:
            self.pid, master = pty.fork()
            if self.pid == 0:
                resize(0, rows, columns)
                execute(argv)
            self.stdin, self.outputs = master, {master: b"d"}
        else:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
            pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
            stdin, out, err = (os.dup(pipe.fileno()) for pipe in pipes if pipe)
            for pipe in pipes:
                if pipe:
                    pipe.close()
            self.pid, self.stdin, self.outputs = self._process.pid, stdin, {out: b"d", err: b"e"}
        for descriptor in {self.stdin, *self.outputs}:
            os.set_blocking(descriptor, False)
        self.end = os.pidfd_open(self.pid)

    def close_stdin(self) -> None:
        if not self.has_terminal and self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def status(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code if code >= 0 else 128 - code

    def hang_up(self) -> None:
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGHUP)


def execute(argv: list[str]) -> None:
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\r\n".encode())
        os._exit(NOT_FOUND)


def resize(descriptor: int, rows: int, columns: int) -> None:
    with suppress(OSError):
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Bridge:
    """Passes bytes between a client and a program. Neither side is read while the other is slow to
    take what came last, so that memory is bounded and nothing waits for itself."""

    def __init__(self, link: socket.socket, program: Program) -> None:
        link.setblocking(False)
        self._link, self._program = link, program
        self._frames = TerminalFrames()
        self._typed, self._printed = bytearray(), bytearray()
        self._typing_ends = False

    def run(self) -> int | None:
        """The program's exit status; None: the client has gone."""
        while True:
            events = dict(self._poll())
            number = self._link.fileno()
            if events.get(number, 0) & ~select.POLLOUT and not self._read_link():
                return None
            for output in list(self._program.outputs):
                if output in events and events[output] & ~select.POLLOUT:
                    self._read_output(output)
            self._write_typed()
            self._write_link()
            if self._program.end in events:
                return self._finish()

    def _poll(self) -> list[tuple[int, int]]:
        poll = select.poll()
        # The client's end is noticed even while nothing is read from it.
        wanted = select.POLLIN if len(self._typed) < MOST_WAITING else 0
        poll.register(self._link, wanted | (select.POLLOUT if self._printed else 0))
        poll.register(self._program.end, select.POLLIN)
        if len(self._printed) < MOST_WAITING:
            for output in self._program.outputs:
                poll.register(output, select.POLLIN)
        if self._typed and self._program.stdin >= 0:
            stdin = self._program.stdin
            reads = stdin in self._program.outputs and len(self._printed) < MOST_WAITING
            poll.register(stdin, select.POLLOUT | (select.POLLIN if reads else 0))
        return poll.poll()

    def _read_link(self) -> bool:
        try:
            data = self._link.recv(PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for kind, content in self._frames.add(data):
            if kind == b"d":
                self._typed += content
            elif kind == b"r" and len(content) == SIZE.size and self._program.has_terminal:
                resize(self._program.stdin, *SIZE.unpack(content))
            elif kind == b"c":
                self._typing_ends = True
        return bool(data)

    def _read_output(self, output: int) -> bool:
        """Read a piece; False where there is none now."""
        try:
            data = os.read(output, PIECE)
        except BlockingIOError:
            return False
        except OSError:  # EIO: no program has the terminal open any more
            data = b""
        if data:
            self._printed += frame(self._program.outputs[output], data)
            return True
        del self._program.outputs[output]
        if output != self._program.stdin:
            os.close(output)
        return False

    def _write_typed(self) -> None:
        if self._typed and self._program.stdin >= 0:
            try:
                del self._typed[: os.write(self._program.stdin, self._typed[:PIECE])]
            except BlockingIOError:
                return
            except OSError:
                self._typed.clear()
                self._program.close_stdin()
        if self._typing_ends and not self._typed:
            self._program.close_stdin()

    def _write_link(self) -> None:
        with suppress(BlockingIOError, OSError):
            while self._printed:
                del self._printed[: self._link.send(self._printed[:PIECE])]

    def _finish(self) -> int:
        """Send what was printed last, and how the program ended."""
        for output in list(self._program.outputs):
            while self._read_output(output):
                pass
        status = self._program.status()
        self._link.setblocking(True)
        with suppress(OSError):
            self._link.sendall(self._printed + frame(b"x", STATUS.pack(status)))
        return status


def main(arguments: list[str]) -> int:
    """Run the command line of this module's description; the program's exit status."""
    link = socket.socket(fileno=os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # the program must not have the socket
    os.close(null)
    try:
        program = Program(int(arguments[0]), int(arguments[1]), arguments[2:])
    except OSError as error:
        text = f"{arguments[2]}: {error.strerror}\n".encode()
        link.sendall(frame(b"e", text) + frame(b"x", STATUS.pack(NOT_FOUND)))
        return NOT_FOUND
    status = Bridge(link, program).run()
    if status is None:
        program.hang_up()
        return 128 + signal.SIGHUP
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
