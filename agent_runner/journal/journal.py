"""The append-only record of an iteration, which the runner writes: one record a line
(record_lines.py).

A last line that is incomplete is a torn tail: a write that a crash cut. It is dropped, and a
warning says so. Anything wrong before the tail is damage: it is reported with its place, and
nothing is guessed or deleted. A journal may be larger than the memory, so it is read one record at
a time.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.journal.journal_reader import UNSYNCED_LIMIT, JournalError, JournalTail
from agent_runner.journal.record_lines import (
    MAX_LINE,
    Chain,
    Record,
    RecordType,
    encode,
    parse,
    shortened,
)
from agent_runner.journal.run_state import RecoveredState
from agent_runner.models import loop_positions
from agent_runner.no_space import reserve
from agent_runner.process.locks import is_held, take_lock

FILE_NAME = "journal.jsonl"
LOCK_NAME = "lock"

CUT = f"a {{kind}} record was larger than {MAX_LINE} bytes; only the ends of its texts were kept"

RESERVE = 256 * 1024
"""Bytes of the disk that a journal holds beyond its end: on a full disk the steps that ended, and
the pause that follows, are still recorded."""

LOCK_TRIES = 10
"""Tries to take the lock: a runner that was killed may just be ending."""

Clock = Callable[[], datetime]
Write = Callable[[int, bytes, int], int]


class Recorder(Protocol):
    """Takes records: the journal, or a replacement of it."""

    def append(self, kind: RecordType, data: Mapping[str, object], *, flush: bool = False) -> bool:
        """Add a record. True if this and all before it are written (and, with `flush`, on disk)."""
        ...


class JournalLocked(JournalError):
    """A journal that another runner has locked."""


def no_bell() -> None:
    """Does nothing, for a journal whose growth is not reported."""


def no_follower(record: Record) -> None:
    """Does nothing, for a journal whose state is not needed while it is written."""


@dataclass
class Journal:
    """A journal open for writing: recovered, and locked for as long as this process lives.

    A write that fails is not an error: the records stay in memory, the next write includes them,
    and a warning records it. `append` returns whether all is on disk. A record of a step in loops
    names each loop with its iteration; anything else there is a ValueError.
    """

    path: Path
    recovered: RecoveredState
    """What the records that stood in it add up to."""
    _clock: Clock
    _bell: Callable[[], None]
    _write: Write
    _sync: Callable[[int], None]
    _fd: int
    _lock: int
    _chain: Chain
    _synced: int
    _tail: bytearray = field(default_factory=bytearray)
    _written: int = 0
    _failing: bool = False
    _reserved: int = 0
    follower: Callable[[Record], None] = no_follower
    """Is given each record before it is written, as it will be read back; what it refuses with a
    ValueError is not written."""

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        bell: Callable[[], None] = no_bell,
        write: Write = os.pwrite,
        sync: Callable[[int], None] = os.fsync,
    ) -> Self:
        """Lock, check and recover the journal, creating it if there is none. A torn tail goes to
        `journal.torn-N` beside it, with a warning record.

        Raises:
            OSError, JournalDamaged, JournalTooNew: as read_journal.
            JournalLocked: another runner lives.
        """
        lock = _take_lock(path.with_name(LOCK_NAME))
        try:
            state, read = JournalTail(path).recover()
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            # The name of a new file is on disk only once its folder is flushed (fsync(2)).
            sync_folder(path.parent)
            size = os.fstat(fd).st_size
            aside = _cut_tail(path, fd, size - read.torn, read.torn) if read.torn else None
        except BaseException:
            os.close(lock)
            raise
        end = size - read.torn
        journal = cls(path, state, clock, bell, write, sync, fd, lock, read.chain, end)
        journal._reserve()
        if aside is not None:
            message = f"the journal's last record was cut off ({read.torn} bytes, kept in {aside})"
            journal.append(RecordType.WARNING, {"message": message})
        return journal

    def append(self, kind: RecordType, data: Mapping[str, object], *, flush: bool = False) -> bool:
        """Add a record. True if this and all before it are written (and, with `flush`, on disk)."""
        self._add(kind, data)
        # Only what must survive a power cut is flushed: a flush takes as long as the disk needs,
        # and progress that is lost is only seen again.
        done = self._store(flush=flush or len(self._tail) > UNSYNCED_LIMIT)
        self._bell()
        return done

    def close(self) -> None:
        """Write what is left and release the lock. Calling it again does nothing."""
        if self._fd >= 0:
            self._store(flush=bool(self._tail))
            with suppress(OSError):
                # Gives back the space that was reserved beyond the end.
                os.ftruncate(self._fd, os.fstat(self._fd).st_size)
            os.close(self._fd)
            os.close(self._lock)
            self._fd = self._lock = -1

    def _add(self, kind: RecordType, data: Mapping[str, object]) -> None:
        loop_positions(data)
        line, chain = encode(self._chain, self._clock(), kind, data)
        if len(line) > MAX_LINE:
            self._add(RecordType.WARNING, {"message": CUT.format(kind=kind)})
            line, chain = encode(self._chain, self._clock(), kind, shortened(data, MAX_LINE))
        self.follower(parse(line[:-1], self._chain)[0])
        self._chain = chain
        self._tail += line

    def _store(self, *, flush: bool) -> bool:
        try:
            while self._written < len(self._tail):
                piece = bytes(memoryview(self._tail)[self._written :])
                self._written += self._took(piece)
            if flush:
                crash_point(CrashPoint.RECORD_WRITTEN)
                self._flush()
        except OSError as error:
            self._failed(error)
            return False
        self._failing = False
        return True

    def _took(self, piece: bytes) -> int:
        count = self._write(self._fd, piece, self._synced + self._written)
        if count == 0:
            raise OSError(errno.ENOSPC, "nothing could be written to the disk")
        return count

    def _flush(self) -> None:
        try:
            self._sync(self._fd)
        except OSError:
            # After a failed fsync the kernel may have dropped the pages: write them all again.
            self._written = 0
            raise
        self._synced += len(self._tail)
        self._tail.clear()
        self._written = 0
        if self._synced + RESERVE // 2 > self._reserved:
            self._reserve()

    def _reserve(self) -> None:
        """Reserve space for the next records, if the file system can do that."""
        if reserve(self._fd, self._synced, RESERVE):
            self._reserved = self._synced + RESERVE

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            name = errno.errorcode.get(error.errno or 0, "error")
            message = (
                f"writing the journal failed ({name}); the records were kept and written later"
            )
            self._add(RecordType.WARNING, {"message": message})


def is_locked(run: Path) -> bool:
    """Whether a runner lives for this run folder, by the lock that it holds."""
    try:
        return is_held(run / LOCK_NAME)
    except FileNotFoundError:
        return False


def _take_lock(path: Path) -> int:
    try:
        return take_lock(path, 0o644, LOCK_TRIES)
    except BlockingIOError:
        raise JournalLocked(f"another runner holds {path}") from None


def _cut_tail(path: Path, fd: int, keep: int, torn: int) -> str:
    number = 1
    while (aside := path.with_name(f"journal.torn-{number}")).exists():
        number += 1
    # The copy is on disk before the tail is cut: after a crash in between, the tail is cut again.
    with aside.open("xb") as file:
        file.write(os.pread(fd, torn, keep))
        file.flush()
        os.fsync(file.fileno())
    crash_point(CrashPoint.TAIL_KEPT)
    os.ftruncate(fd, keep)
    os.fsync(fd)
    sync_folder(path.parent)
    return aside.name


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
