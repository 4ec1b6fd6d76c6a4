"""Reads a journal, all at once or as it grows, and reports damage with its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent_runner.journal.record_lines import (
    MAX_LINE,
    SCHEMA_VERSION,
    BadLine,
    Chain,
    NewerLine,
    Record,
    holds_record,
    parse,
)
from agent_runner.journal.run_state import RecoveredState

UNSYNCED_LIMIT = 1_000_000
"""Bytes that may wait for a flush. They are kept in memory, so that a failed flush can be
redone."""

LONGEST_TAIL = 2 * MAX_LINE + UNSYNCED_LIMIT
"""Bytes that a crash can leave without an end of line: what waited for a flush, as zeros. What is
longer was not written by a runner, and is not read into memory."""


@dataclass(frozen=True)
class JournalRead:
    """The records, the number of bytes of a torn tail behind them, and where the journal stands."""

    records: tuple[Record, ...] = ()
    torn: int = 0
    chain: Chain = field(default_factory=Chain)


class JournalError(Exception):
    """A journal that cannot be used as it is."""


class JournalDamaged(JournalError):
    """Damage that is not a torn tail. `line` counts from 1, `offset` is in bytes."""

    def __init__(self, path: Path, line: int, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at line {line} (byte {offset}): {reason}")
        self.path = path
        self.line = line
        self.offset = offset
        self.reason = reason


class JournalTooNew(JournalError):
    """A journal that a newer version wrote; it is left untouched."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(
            f"{path}: schema version {version} is newer than {SCHEMA_VERSION}, "
            "the newest that this version of Rover reads; update Rover"
        )
        self.path = path
        self.version = version


def read_journal(path: Path) -> JournalRead:
    """Read a small journal at once; one that does not exist is empty.

    Raises:
        OSError: it cannot be read.
        JournalDamaged: something before the tail is not as it was written.
        JournalTooNew: a newer version wrote it.
    """
    return JournalTail(path).read()


def stream_journal(path: Path) -> Iterator[Record]:
    """Read a journal of any size, a record at a time. Raises as read_journal."""
    return JournalTail(path).stream()


class JournalTail:
    """Reads a journal as it grows, each record once. The cost of a read does not depend on what was
    read before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chain = Chain()
        self._offset = 0
        self._torn = 0

    def read(self) -> JournalRead:
        """What was added since the last read. A torn tail may be a record that is just being
        written, so it is read again the next time.

        Raises:
            OSError, JournalDamaged, JournalTooNew: as read_journal; nothing counts as read.
        """
        before = self._chain, self._offset
        try:
            records = tuple(self.stream())
        except BaseException:
            self._chain, self._offset = before
            raise
        return JournalRead(records, self._torn, self._chain)

    def recover(self) -> tuple[RecoveredState, JournalRead]:
        """The state that the records add up to, and the end of the journal without its records:
        all of them together may be larger than the memory. Raises as `read`."""
        state = RecoveredState()
        for record in self.stream():
            state.take(record)
        return state, JournalRead((), self._torn, self._chain)

    def stream(self) -> Iterator[Record]:
        """What was added since the last read, a record at a time. A record that was given counts as
        read, whatever comes after it. Raises as read_journal."""
        self._torn = 0
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            self._check_size(0)
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            self._check_size(size)
            file.seek(self._offset)
            # Up to the size at this moment: what the runner appends meanwhile is for the next read.
            while left := size - self._offset:
                line = file.readline(min(LONGEST_TAIL + 1, left))
                record = self._parsed(line, last=len(line) == left)
                if record is None:
                    self._torn = left
                    return
                yield record

    def _parsed(self, line: bytes, *, last: bool) -> Record | None:
        """The next record, which then counts as read; None if the line is a torn tail."""
        ended = line.endswith(b"\n")
        content = line[:-1] if ended else line
        if len(line) > LONGEST_TAIL or (ended and len(content) > 2 * MAX_LINE):
            raise self._damaged(f"a line is longer than {2 * MAX_LINE} bytes")
        if not ended and not last:
            # Another runner cut a torn tail off meanwhile.
            return None
        try:
            record, after = parse(content, self._chain)
        except NewerLine as newer:
            raise JournalTooNew(self._path, newer.version) from None
        except BadLine as bad:
            if not (last and bad.torn) or holds_record(content, self._chain):
                raise self._damaged(str(bad)) from None
            return None
        if not ended:
            return None
        self._chain, self._offset = after, self._offset + len(line)
        return record

    def _check_size(self, size: int) -> None:
        if size < self._offset:
            raise self._damaged("records that were read before are gone")

    def _damaged(self, reason: str) -> JournalDamaged:
        return JournalDamaged(self._path, self._chain.seq + 1, self._offset, reason)
