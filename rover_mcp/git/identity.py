"""What distinguishes one repository from every other, wherever it is moved: its folder as the file
system knows it. Nothing inside the repository counts, because that can be a copy of another one."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100  # fcntl.h
_BTIME: Final = 0x800  # linux/stat.h
_STATX_BYTES: Final = 256
_MASK_AT, _SECONDS_AT, _NANOSECONDS_AT = 0, 80, 88
_LIBC: Final = ctypes.CDLL(None)


@dataclass(frozen=True)
class Identity:
    """The identity of the folder that all work trees share. It stays the same when the folder is
    moved within its file system. `born` is when it was made, in ns since 1970, because the number
    of an inode is used again; where the file system does not record that, when git wrote the file
    `description` in it."""

    device: int
    inode: int
    objects: int
    born: int


def identity_of(folder: Path) -> Identity | None:
    """The identity of a repository's folder; None where it is missing or its age is not known."""
    try:
        facts, objects = folder.stat(), (folder / "objects").stat()
        born = _born(folder) or (folder / "description").lstat().st_mtime_ns
    except OSError:
        return None
    return Identity(facts.st_dev, facts.st_ino, objects.st_ino, born)


def _born(folder: Path) -> int:
    """When a folder was made, in ns, by statx(2); 0 where that is not known."""
    # Python's os.stat has no time of birth on Linux.
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    try:
        call = _LIBC.statx
    except AttributeError:
        return 0
    if call(_AT_FDCWD, os.fsencode(folder), 0, _BTIME, buffer) != 0:
        return 0

    def number(at: int, size: int) -> int:
        return int.from_bytes(buffer.raw[at : at + size], "little")

    if not number(_MASK_AT, 4) & _BTIME:
        return 0
    return number(_SECONDS_AT, 8) * 10**9 + number(_NANOSECONDS_AT, 4)
