"""The append-only record of an iteration: one JSON record a line, written by the runner alone.

    {"at":"2026-11-23T10:00:00.000+00:00","data":{...},"seq":7,"type":"step_start","v":1,"sum":"1a2b3c4d"}

`sum` is the CRC-32 of the line up to it, closed with a brace. `seq` counts from 1 without a gap.
A last line that is not whole is a torn tail: a write that a crash cut. It is dropped and told.
Anything wrong before the tail is damage: it is told with its place, nothing is guessed or deleted.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, cast

SCHEMA_VERSION = 1
FILE_NAME = "journal.jsonl"
LOCK_NAME = "lock"

UNSYNCED_LIMIT = 1_000_000
"""Bytes that may wait for a flush: what is kept in memory so that a failed flush can be redone."""

LOCK_TRIES = 10
LOCK_PAUSE = 0.02
"""Seconds between two tries to take the lock."""

_LINE = re.compile(rb'(\{.*),"sum":"([0-9a-f]{8})"\}', re.DOTALL)
_RECORD_START = re.compile(rb'\{"at":"')
_RECORD_END = re.compile(rb',"sum":"[0-9a-f]{8}"\}')

Clock = Callable[[], datetime]
Write = Callable[[int, bytes, int], int]


class RecordType(StrEnum):
    RUN_START = "run_start"
    STEP_START = "step_start"
    AGENT_SESSION = "agent_session"
    USAGE = "usage"
    STEP_COMPLETE = "step_complete"
    STEP_SKIP = "step_skip"
    STEP_FAIL = "step_fail"
    WARNING = "warning"
    WORKFLOW_PAUSE = "workflow_pause"
    WORKFLOW_RESUME = "workflow_resume"
    WORKFLOW_COMPLETE = "workflow_complete"
    WORKFLOW_FAIL = "workflow_fail"


@dataclass(frozen=True)
class Record:
    seq: int
    at: datetime
    type: RecordType
    data: Mapping[str, Any]


@dataclass(frozen=True)
class JournalRead:
    """The records, and how many bytes of a torn tail follow them."""

    records: tuple[Record, ...] = ()
    torn: int = 0


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


class _Bad(ValueError):
    """A line that is not a record."""


def read_journal(path: Path) -> JournalRead:
    """Read a journal; one that does not exist is empty.

    Raises:
        OSError: it cannot be read.
        JournalDamaged: something before the tail is not as it was written.
        JournalTooNew: a newer version wrote it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return JournalRead()
    records: list[Record] = []
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset)
        line = data[offset:] if end < 0 else data[offset:end]
        last = end < 0 or end + 1 == len(data)
        try:
            record = _parse(line, path)
        except _Bad as error:
            if not last or _holds_record(line):
                raise JournalDamaged(path, len(records) + 1, offset, str(error)) from None
            break
        if end < 0:
            break
        if record.seq != len(records) + 1:
            reason = f"record {record.seq} where {len(records) + 1} was expected"
            raise JournalDamaged(path, len(records) + 1, offset, reason)
        records.append(record)
        offset = end + 1
    return JournalRead(tuple(records), len(data) - offset)


def _parse(line: bytes, path: Path) -> Record:
    found = _LINE.fullmatch(line)
    if found is None or f"{zlib.crc32(found[1] + b'}'):08x}".encode() != found[2]:
        _refuse_newer(line, path)
        raise _Bad("the check sum does not fit")
    raw = cast("dict[str, Any]", json.loads(line))
    if raw["v"] > SCHEMA_VERSION:
        raise JournalTooNew(path, raw["v"])
    try:
        kind = RecordType(raw["type"])
    except ValueError:
        raise _Bad(f"unknown record type {raw['type']!r}") from None
    return Record(raw["seq"], datetime.fromisoformat(raw["at"]), kind, raw["data"])


def _refuse_newer(line: bytes, path: Path) -> None:
    """A newer version may sum differently: whole JSON that says so is not damage."""
    try:
        raw: object = json.loads(line)
    except (ValueError, RecursionError):
        return
    version = cast("dict[str, object]", raw).get("v") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise JournalTooNew(path, version)


def _holds_record(line: bytes) -> bool:
    """Whether a bad last line holds a whole record: then a line break was lost, not a tail."""
    ends = [m.end() for m in _RECORD_END.finditer(line)]
    for start in _RECORD_START.finditer(line):
        for end in ends:
            found = _LINE.fullmatch(line, start.start(), end)
            if found and f"{zlib.crc32(found[1] + b'}'):08x}".encode() == found[2]:
                return True
    return False


def encode(seq: int, at: datetime, kind: RecordType, data: Mapping[str, object]) -> bytes:
    """One record as its line."""
    body = json.dumps(
        {"v": SCHEMA_VERSION, "seq": seq, "at": at.isoformat(), "type": kind, "data": data},
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    return b'%s,"sum":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def no_bell() -> None:
    """For a journal that nobody waits for."""


@dataclass
class Journal:
    """A journal open for writing: recovered, and locked for as long as this process lives.

    A write that fails is not an error: the records stay in memory, the next write carries them
    and a warning says that it happened (C3). `append` tells whether all is on disk.
    """

    path: Path
    records: tuple[Record, ...]
    _clock: Clock
    _bell: Callable[[], None]
    _write: Write
    _sync: Callable[[int], None]
    _fd: int
    _lock: int
    _seq: int
    _synced: int
    _tail: bytearray = field(default_factory=bytearray)
    _written: int = 0
    _failing: bool = False

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
            _seq=len(read.records),
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
            self._store(flush=True)
            os.close(self._fd)
            os.close(self._lock)
            self._fd = self._lock = -1

    def _add(self, kind: RecordType, data: Mapping[str, object]) -> None:
        self._seq += 1
        self._tail += encode(self._seq, self._clock(), kind, data)

    def _store(self, *, flush: bool) -> bool:
        try:
            while self._written < len(self._tail):
                piece = bytes(memoryview(self._tail)[self._written :])
                self._written += self._write(self._fd, piece, self._synced + self._written)
            if flush:
                self._flush()
        except OSError as error:
            self._failed(error)
            return False
        self._failing = False
        return True

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
        fd = os.open(run / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _take_lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A reader that asks whether a runner lives holds the lock for microseconds.
            time.sleep(LOCK_PAUSE)
        else:
            return fd
    os.close(fd)
    raise JournalLocked(f"another runner holds {path}")


def _cut_tail(path: Path, fd: int, keep: int, torn: int) -> str:
    number = 1
    while (aside := path.with_name(f"journal.torn-{number}")).exists():
        number += 1
    with aside.open("xb") as file:
        file.write(os.pread(fd, torn, keep))
        file.flush()
        os.fsync(file.fileno())
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
