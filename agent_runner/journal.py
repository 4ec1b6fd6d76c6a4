"""The append-only record of an iteration: one record a line (records.py), written by the runner.

A last line that is not whole is a torn tail: a write that a crash cut. It is dropped and told.
Anything wrong before the tail is damage: it is told with its place, nothing is guessed or deleted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.locks import is_held, take_lock
from agent_runner.models import loop_positions
from agent_runner.records import (
    SCHEMA_VERSION,
    BadLine,
    Chain,
    NewerLine,
    Record,
    RecordType,
    encode,
    holds_record,
    parse,
)

FILE_NAME = "journal.jsonl"
LOCK_NAME = "lock"

UNSYNCED_LIMIT = 1_000_000
"""Bytes that may wait for a flush: what is kept in memory so that a failed flush can be redone."""

LOCK_TRIES = 10
"""Tries to take the lock, which whoever asks for a runner has for microseconds."""

Clock = Callable[[], datetime]
Write = Callable[[int, bytes, int], int]


class Recorder(Protocol):
    """Takes records: a journal, or what stands for one."""

    def append(self, kind: RecordType, data: Mapping[str, object], *, flush: bool = False) -> bool:
        """Add a record. True if this and all before it are written (and, with `flush`, on disk)."""
        ...


@dataclass(frozen=True)
class JournalRead:
    """The records, how many bytes of a torn tail follow them, and where the journal stands."""

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
    """Written by a newer version; it is left untouched."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(
            f"{path}: schema version {version} is newer than {SCHEMA_VERSION}, "
            "the newest that this version of Rover reads; update Rover"
        )
        self.path = path
        self.version = version


class JournalLocked(JournalError):
    """Another runner holds this run."""


def read_journal(path: Path) -> JournalRead:
    """Read a journal; one that does not exist is empty.

    Raises:
        OSError: it cannot be read.
        JournalDamaged: something before the tail is not as it was written.
        JournalTooNew: a newer version wrote it.
    """
    return JournalTail(path).read()


class JournalTail:
    """A journal read as it grows, each record once. What it costs to read on does not depend on
    what was read before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chain = Chain()
        self._offset = 0

    def read(self) -> JournalRead:
        """What was added since it was last read. A torn tail may be a record that is just being
        written: it is looked at again.

        Raises:
            OSError, JournalDamaged, JournalTooNew: as read_journal; nothing counts as read.
        """
        data = self._rest()
        records: list[Record] = []
        chain, start = self._chain, 0
        while start < len(data):
            end = data.find(b"\n", start)
            line = data[start:] if end < 0 else data[start:end]
            try:
                record, after = parse(line, chain)
            except NewerLine as newer:
                raise JournalTooNew(self._path, newer.version) from None
            except BadLine as bad:
                last = end < 0 or end + 1 == len(data)
                if not (last and bad.torn) or holds_record(line, chain):
                    raise self._damaged(chain, start, str(bad)) from None
                break
            if end < 0:
                break
            records.append(record)
            chain, start = after, end + 1
        self._chain, self._offset = chain, self._offset + start
        return JournalRead(tuple(records), len(data) - start, chain)

    def _rest(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(self._offset)
                rest = file.read()
        except FileNotFoundError:
            size, rest = 0, b""
        if size < self._offset:
            raise self._damaged(self._chain, 0, "records that were read before are gone")
        return rest

    def _damaged(self, chain: Chain, start: int, reason: str) -> JournalDamaged:
        return JournalDamaged(self._path, chain.seq + 1, self._offset + start, reason)


def no_bell() -> None:
    """For a journal that nobody waits for."""


def no_follower(record: Record) -> None:
    """For a journal whose state nobody needs while it is written."""


@dataclass
class Journal:
    """A journal open for writing: recovered, and locked for as long as this process lives.

    A write that fails is not an error: the records stay in memory, the next write carries them
    and a warning says that it happened (C3). `append` tells whether all is on disk. A record
    that stands in loops says where, in numbers that can be (C7); else it is a ValueError.
    """

    path: Path
    records: tuple[Record, ...]
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
        """Lock, read and recover the journal, creating it where there is none. `records` is
        what stood in it. A torn tail goes to `journal.torn-N` beside it, with a warning record.

        Raises:
            OSError, JournalDamaged, JournalTooNew: as read_journal.
            JournalLocked: another runner lives.
        """
        lock = _take_lock(path.with_name(LOCK_NAME))
        try:
            read = read_journal(path)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            _sync_folder(path.parent)
            size = os.fstat(fd).st_size
            aside = _cut_tail(path, fd, size - read.torn, read.torn) if read.torn else None
        except BaseException:
            os.close(lock)
            raise
        journal = cls(
            path=path,
            records=read.records,
            _clock=clock,
            _bell=bell,
            _write=write,
            _sync=sync,
            _fd=fd,
            _lock=lock,
            _chain=read.chain,
            _synced=size - read.torn,
        )
        if aside is not None:
            message = f"the journal's last record was cut off ({read.torn} bytes, kept in {aside})"
            journal.append(RecordType.WARNING, {"message": message})
        return journal

    def append(self, kind: RecordType, data: Mapping[str, object], *, flush: bool = False) -> bool:
        """Add a record. True if this and all before it are written (and, with `flush`, on disk)."""
        self._add(kind, data)
        done = self._store(flush=flush or len(self._tail) > UNSYNCED_LIMIT)
        self._bell()
        return done

    def close(self) -> None:
        """Write what is left and let go of the lock. Repeating it is harmless."""
        if self._fd >= 0:
            self._store(flush=bool(self._tail))
            os.close(self._fd)
            os.close(self._lock)
            self._fd = self._lock = -1

    def _add(self, kind: RecordType, data: Mapping[str, object]) -> None:
        loop_positions(data)
        line, chain = encode(self._chain, self._clock(), kind, data)
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
            raise OSError(errno.ENOSPC, "the disk took nothing")
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

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            name = errno.errorcode.get(error.errno or 0, "error")
            message = (
                f"writing the journal failed ({name}); the records were kept and written later"
            )
            self._add(RecordType.WARNING, {"message": message})


def is_locked(run: Path) -> bool:
    """Whether a runner lives for this run folder: the kernel knows, by the lock that it holds."""
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
    with aside.open("xb") as file:
        file.write(os.pread(fd, torn, keep))
        file.flush()
        os.fsync(file.fileno())
    crash_point(CrashPoint.TAIL_KEPT)
    os.ftruncate(fd, keep)
    os.fsync(fd)
    _sync_folder(path.parent)
    return aside.name


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
