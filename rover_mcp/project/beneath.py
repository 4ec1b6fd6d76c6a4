"""Files of a user's checkout, opened beneath its root by descriptor: no symbolic link is followed,
in no part of the path, and nothing but a regular file is read (DESIGN 12.2)."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path


class NotTaken(Exception):
    """The file cannot be read from there; the message says why. `missing`: there is none."""

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(why)
        self.missing = missing


@dataclass(frozen=True)
class FoundFile:
    data: bytes
    executable: bool


def read_beneath(root: Path, path: str, limit: int) -> FoundFile:
    """The file at `path`, a relative one without `..`, of at most `limit` bytes.

    Raises:
        NotTaken: it is missing, no regular file, larger, or behind a symbolic link.
    """
    *folders, name = path.split("/")
    if not all(part not in ("", ".", "..") for part in (*folders, name)):
        raise NotTaken("it is not a path beneath the repository")
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = _open(folder, os.O_RDONLY | os.O_DIRECTORY, here)
            os.close(here)
            here = inner
        # Non-blocking: a FIFO would wait for somebody who writes.
        file = _open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, here)
    finally:
        os.close(here)
    try:
        return _read(file, limit)
    finally:
        os.close(file)


def _open(name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise NotTaken("it is not there", missing=True) from None
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotTaken("a part of it is a symbolic link, or no folder") from None
        raise NotTaken(f"it cannot be opened: {error.strerror}") from None


def _read(file: int, limit: int) -> FoundFile:
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        raise NotTaken("it is no regular file")
    data = bytearray()
    try:
        while len(data) <= limit and (more := os.read(file, min(limit + 1 - len(data), 1 << 20))):
            data += more
    except OSError as error:
        raise NotTaken(f"it cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise NotTaken(f"it is larger than {limit} bytes")
    return FoundFile(bytes(data), executable=bool(facts.st_mode & stat.S_IXUSR))
