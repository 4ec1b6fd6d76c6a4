"""Writes the daemon's log: bounded in size and in pace, and without secrets.

Everything that the daemon says goes through here: its own lines, those of libraries, and what is
written to standard output and standard error, by a traceback of the interpreter or by a program
that the daemon started. Libraries are logged from WARNING on: at INFO they write the address of
each request, which may hold a key.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, TextIO

from rover_mcp.config.settings import LogSettings
from rover_mcp.daemon.redaction import SECRETS

NAME: Final = "daemon.log"
FORMAT: Final = "%(asctime)s %(name)s %(levelname)s %(message)s"
MAX_LINE: Final = 20_000
"""Characters of one entry; a traceback has more lines than one."""
BURST: Final = 500
"""The number of lines at once, beyond the pace of the settings."""
ALIKE: Final = 10
"""The number of lines at once that differ only in numbers; then one in so many seconds."""
_KINDS: Final = 500
_DRAIN_SECONDS: Final = 2.0
_READ_BYTES: Final = 64 * 1024
_NUMBERS = re.compile(r"\d+")


class LogFile:
    """A file that becomes an older one when it is full. Safe to use from many threads.

    If it cannot be written, lines are lost: a full disk must not end the daemon.
    """

    def __init__(self, path: Path, most: int, keep: int) -> None:
        self._path = path
        self._most = most
        self._keep = keep
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0

    def write(self, text: str) -> None:
        """Add a text, which ends with a line end."""
        data = text.encode("utf-8", "backslashreplace")[: self._most]
        with self._lock, contextlib.suppress(OSError):
            if self._fd < 0:
                self._open()
            if self._size and self._size + len(data) > self._most:
                self._rotate()
            self._size += os.write(self._fd, data)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _rotate(self) -> None:
        self._close()
        for number in range(self._keep, 0, -1):
            younger = self._older(number - 1)
            if younger.exists():
                younger.replace(self._older(number))
        if self._keep == 0:
            self._path.unlink(missing_ok=True)
        self._open()

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


class LogPace:
    """Decides which lines are written if there are too many. Pure but for its clock."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = _Bucket(BURST, per_second, clock())
        self._alike: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._dropped = 0
        self._lock = threading.Lock()

    def let(self, source: str, text: str) -> int | None:
        """The number of lines left out since the last that was let through; None: leave this one
        out too."""
        kind = (source, _NUMBERS.sub("0", text[:200]))
        with self._lock:
            now = self._clock()
            alike = self._alike.setdefault(kind, _Bucket(ALIKE, 1 / ALIKE, now))
            self._alike.move_to_end(kind)
            if len(self._alike) > _KINDS:
                self._alike.popitem(last=False)
            if not (alike.take(now) and self._all.take(now)):
                self._dropped += 1
                return None
            return self.dropped()

    def dropped(self) -> int:
        """The number of lines that were left out since the last call."""
        count, self._dropped = self._dropped, 0
        return count


class _Bucket:
    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most = self._left = most
        self._per_second = per_second
        self._at = now

    def take(self, now: float) -> bool:
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class BoundedHandler(logging.Handler):
    """Writes records, with secrets redacted, at a bounded pace."""

    def __init__(self, write: Callable[[str], None], pace: LogPace) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self._write = write
        self._pace = pace

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        try:
            message = record.getMessage()
            left_out = self._pace.let(record.name, message)
            if left_out is None and record.levelno < logging.CRITICAL:
                return
            self._write(
                _more(left_out or 0) + SECRETS.redact(self.format(record))[:MAX_LINE] + "\n"
            )
        except (ValueError, TypeError, KeyError, OSError):  # a line that cannot be formatted
            self.handleError(record)

    def close(self) -> None:
        """Say how many lines were left out at last."""
        with contextlib.suppress(OSError, ValueError):
            if more := _more(self._pace.dropped()):
                self._write(more)
        super().close()


def _more(count: int) -> str:
    lines = "line was" if count == 1 else "lines were"
    return f"{count} {lines} left out: too many, or like those before\n" if count else ""


class OutputCapture:
    """Reads standard output and standard error of the process line by line. What is in the pipe
    when the process is killed is lost."""

    def __init__(self, write: Callable[[str], None], pace: LogPace) -> None:
        self._write = write
        self._pace = pace
        self._reader, writer = os.pipe()
        for descriptor in (1, 2):
            os.dup2(writer, descriptor)
        os.close(writer)
        self._thread = threading.Thread(target=self._read, name="log", daemon=True)
        self._thread.start()
        self._ended = False

    def end(self) -> None:
        """Write what is left. What comes later is lost."""
        if self._ended:
            return
        self._ended = True
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        for descriptor in (1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        # A program that the daemon started may still hold the pipe.
        self._thread.join(_DRAIN_SECONDS)

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._reader, _READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._line(line)
            if len(rest) > MAX_LINE:
                self._line(rest)
                rest = b""
        if rest:
            self._line(rest)
        if more := _more(self._pace.dropped()):
            self._write(more)

    def _line(self, line: bytes) -> None:
        text = line[: 4 * MAX_LINE].decode("utf-8", "backslashreplace")[:MAX_LINE]
        left_out = self._pace.let("", text)
        if left_out is not None:
            self._write(f"{_more(left_out)}{SECRETS.redact(text)}\n")


def log_to_file(home: Path, settings: LogSettings) -> None:
    """From now on write all output of this process to the data folder's log."""
    file = LogFile(home / NAME, settings.file_bytes, settings.old_files)
    capture = OutputCapture(file.write, LogPace(settings.lines_per_second))
    handler = BoundedHandler(file.write, LogPace(settings.lines_per_second))
    _install(handler, settings)
    sys.excepthook = _last_lines
    atexit.register(capture.end)
    global _capture  # noqa: PLW0603  # of the process, as the descriptors are
    _capture = capture


def log_to_stream(stream: TextIO, settings: LogSettings) -> None:
    """The same for a process in the foreground, which writes to its standard error."""

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    _install(BoundedHandler(write, LogPace(settings.lines_per_second)), settings)


def write_threads() -> None:
    """Log where every thread is.

    The dump goes through a file: faulthandler stops the interpreter while it writes, so that no
    thread would read it from a pipe, which would fill and block it.
    """
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        dump = file.read().decode("utf-8", "backslashreplace")
    for thread in dump.split("\n\n"):
        logging.getLogger("rover.daemon").critical("%s", thread.strip())


def end_log() -> None:
    """Write what is left, before the process ends at once."""
    if _capture is not None:
        _capture.end()
    logging.shutdown()


def _last_lines(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Log what ends the process, whatever the pace of the lines before."""
    logging.getLogger("rover.daemon").critical("it ends", exc_info=(kind, error, trace))


def _install(handler: logging.Handler, settings: LogSettings) -> None:
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    # logging would report its own failures on standard error, which leads back to this log.
    logging.raiseExceptions = False
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, level), force=True)
    if level <= logging.DEBUG:
        logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("rover").setLevel(level)
    # DBOS writes to the console if it finds no handler of its own.
    logging.getLogger("dbos").addHandler(logging.NullHandler())


_capture: OutputCapture | None = None
