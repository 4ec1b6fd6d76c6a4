"""The log of one step: what the agent said and what a command printed, up to a cap."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

CAPPED = "\n[the log is full: lines beyond {limit} bytes were dropped]\n"


class StepLog:
    """Appends lines to a file. A log matters less than the run: if it cannot be written, lines are
    dropped, with one warning for each reason."""

    def __init__(self, path: Path, limit: int, warn: Callable[[str], None]) -> None:
        self._limit = limit
        self._warn = warn
        self._warned_of: set[int | None] = set()
        self._size = 0
        try:
            path.parent.mkdir(exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(path, flags, 0o644)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            self._fd = -1
            self._warn_once(error)
        self._full = self._size >= limit

    def line(self, text: str) -> None:
        """Add a line."""
        data = (text.rstrip("\n") + "\n").encode(errors="replace")
        if self._full or self._fd < 0:
            return
        if self._size + len(data) > self._limit:
            self._full = True
            # Filled up to the limit, so that later attempts find it full as well.
            data = data[: self._limit - self._size] + CAPPED.format(limit=self._limit).encode()
        self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            self._size += os.write(self._fd, data)
        except OSError as error:
            # A full disk must not end the run: the journal has space reserved and may still be
            # written.
            self._warn_once(error)

    def _warn_once(self, error: OSError) -> None:
        # The same text for every step, because the run drops warnings that it has given before.
        if error.errno not in self._warned_of:
            self._warned_of.add(error.errno)
            name = errno.errorcode.get(error.errno or 0, "unknown")
            self._warn(
                f"the steps' logs cannot be written ({name}); the run continues without them"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1
