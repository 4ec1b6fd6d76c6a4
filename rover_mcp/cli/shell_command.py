"""`rover shell`: a shell in a sandbox on a copy of a task's files, at the user's terminal.

The daemon starts the sandbox and says where its socket is. Everything that is typed and printed
passes through that, and when this program goes, however it does, the sandbox ends.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import socket
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent_runner.json_object import Json
from agent_runner.process.terminal_host import (
    MOST_WAITING,
    PIECE,
    SIZE,
    STATUS,
    TerminalFrames,
    frame,
)
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.terminal_text import clean
from rover_mcp.cli.tool_commands import connect, of_task

TERM = "xterm-256color"


def shell(args: argparse.Namespace) -> int:
    """Open the shell; returns its exit status.

    Raises:
        ClientError: it cannot be opened, or its sandbox ended before the shell did.
    """
    if args.json:
        raise ClientError("a shell has no JSON", code="usage", hint="leave --json out")
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    client = connect(args)
    try:
        if on_terminal:
            print("rover: preparing a sandbox...", file=sys.stderr)
        result = client.request_for_long("rover/shell", _request(args, terminal=on_terminal))
        for line in (result["message"], *result["warnings"]):
            print(f"rover: {clean(line)}", file=sys.stderr)
        with _connected(result["socket"]) as link:
            # The session with the daemon stays open: it does not end while a client is there.
            return _on_terminal(link) if on_terminal else TerminalRelay(link).run()
    finally:
        client.close()


def _request(args: argparse.Namespace, *, terminal: bool) -> Json:
    place = of_task(args)
    columns, rows = shutil.get_terminal_size()
    repository = place["repo_path"]
    return {
        "task": place["task"],
        "repoPath": repository and str(Path(repository).absolute()),
        "argv": args.command,
        "terminal": terminal,
        "term": os.environ.get("TERM") or TERM,
        "rows": max(rows, 1),
        "columns": max(columns, 1),
    }


@contextmanager
def _connected(path: str) -> Generator[socket.socket]:
    folder, name = os.path.split(path)
    # Through the folder's descriptor: the address of a socket holds 107 bytes (unix(7)).
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(f"/proc/self/fd/{place}/{name}")
        except OSError as error:
            raise _lost() from error
        finally:
            os.close(place)
        yield link


def _on_terminal(link: socket.socket) -> int:
    before = termios.tcgetattr(0)
    passage = TerminalRelay(link)
    # A write to it wakes the poll: a signal alone would not, since Python retries the call.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGWINCH, passage.resize)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        # Every key goes to the shell, Ctrl-C and Ctrl-Z too.
        tty.setraw(0)
        return passage.run(reading)
    finally:
        signal.set_wakeup_fd(-1)
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)  # by way of the `finally` that restores the terminal


class TerminalRelay:
    """Passes on what is typed here and what is printed there. Nothing is read on one side that the
    other has no room for."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._frames = TerminalFrames()
        self._sending = bytearray()
        self._typing = True
        self._status: int | None = None
        link.setblocking(False)

    def run(self, wakes: int | None = None) -> int:
        """Until the program there ends: its exit status. `wakes` becomes readable at a signal.

        Raises:
            ClientError: the sandbox ended before the program did.
        """
        while self._status is None:
            poll = select.poll()
            poll.register(self._link, select.POLLIN | (select.POLLOUT if self._sending else 0))
            if self._typing and len(self._sending) < MOST_WAITING:
                poll.register(0, select.POLLIN)
            if wakes is not None:
                poll.register(wakes, select.POLLIN)
            events = dict(poll.poll())
            if wakes is not None and wakes in events:
                os.read(wakes, PIECE)
            if 0 in events:
                self._read_keys()
            self._send()
            if events.get(self._link.fileno(), 0) & ~select.POLLOUT:
                self._receive()
        return self._status

    def resize(self, _number: int, _frame: object) -> None:
        """Handle a signal: report the terminal's size."""
        columns, rows = shutil.get_terminal_size()
        with suppress(OSError):
            columns, rows = os.get_terminal_size(0)
        self._sending += frame(b"r", SIZE.pack(rows, columns))

    def _read_keys(self) -> None:
        try:
            data = os.read(0, PIECE)
        except OSError:
            data = b""
        self._typing = bool(data)
        self._sending += frame(b"d", data) if data else frame(b"c")

    def _send(self) -> None:
        # Where the other side is gone, what it sent last is still to be received.
        with suppress(OSError):
            while self._sending:
                del self._sending[: self._link.send(self._sending[:PIECE])]

    def _receive(self) -> None:
        try:
            data = self._link.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise _lost()
        try:
            complete = self._frames.add(data)
        except ValueError as error:
            raise _lost() from error
        for kind, content in complete:
            if kind in (b"d", b"e"):
                _write(1 if kind == b"d" else 2, content)
            elif kind == b"x" and len(content) == STATUS.size:
                (status,) = STATUS.unpack(content)
                self._status = min(status, 255)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _lost() -> ClientError:
    return ClientError(
        "the sandbox of the shell has ended",
        code="shell_ended",
        hint="it may have run out of memory, or the daemon was stopped; rover daemon status "
        "shows whether it is running",
    )
