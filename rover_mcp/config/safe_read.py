"""Reads files of a user's checkout, which are opened beneath its root by descriptor: no symbolic
link is followed in any part of the path, and only regular files are read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class FileRefused(Exception):
    """The file cannot be read from there; the message says why. `missing`: it does not exist."""

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
        FileRefused: it is missing, no regular file, larger, or behind a symbolic link.
    """
    *folders, name = _parts(path)
    here = _folder(root, folders)
    try:
        # Non-blocking: a FIFO would wait for somebody who writes.
        file = _open(name, _REGULAR, here)
    finally:
        os.close(here)
    try:
        return _read(file, limit)
    finally:
        os.close(file)


def names_beneath(root: Path, path: str, most: int) -> list[str]:
    """The names in the folder at `path`, sorted; empty where there is no such folder. At most
    `most` names are read.

    Raises:
        FileRefused: a part of it is a symbolic link, or it cannot be read.
    """
    try:
        folder = _folder(root, _parts(path))
    except FileRefused as error:
        if error.missing:
            return []
        raise
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry, _ in zip(entries, range(most), strict=False))
    finally:
        os.close(folder)


def read_regular(path: Path, limit: int) -> bytes:
    """A file that a person named, at most `limit` bytes of it: beneath the top of the repository
    that it lies in where it lies in one, since what a repository holds may be a link to anything.

    Raises:
        FileRefused: it is missing, no regular file, larger, or behind a symbolic link of a
            repository.
    """
    place = Path(os.path.normpath(path.absolute()))
    root = next((p for p in place.parents if (p / ".git").exists()), None)
    if root is not None:
        return read_beneath(root, place.relative_to(root).as_posix(), limit).data
    return read_regular_file(place, limit)


def read_regular_file(path: Path, limit: int) -> bytes:
    """A file outside any repository, such as one of the data folder: a link to it is followed.

    Raises:
        FileRefused: it is missing, no regular file, or larger than `limit` bytes.
    """
    try:
        file = os.open(path, _REGULAR | os.O_CLOEXEC)
    except OSError as error:
        missing = error.errno == errno.ENOENT
        raise FileRefused(error.strerror or str(error), missing=missing) from None
    try:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise FileRefused(os.strerror(errno.EISDIR))
        return _read(file, limit).data
    finally:
        os.close(file)


_REGULAR = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


# A path that is checked and then opened could be replaced by a link in between. So each part of it
# is opened from the descriptor of the one before.
def _folder(root: Path, folders: Sequence[str]) -> int:
    """A descriptor of the folder, which the caller closes."""
    try:
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FileRefused(f"it cannot be opened: {error.strerror}", missing=True) from None
    for folder in folders:
        try:
            inner = _open(folder, os.O_RDONLY | os.O_DIRECTORY, here)
        finally:
            os.close(here)
        here = inner
    return here


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if "\0" in path or not all(part not in ("", ".", "..") for part in parts):
        raise FileRefused("it is not a path beneath the repository")
    return parts


def _open(name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise FileRefused("it does not exist", missing=True) from None
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise FileRefused("a part of it is a symbolic link, or not a folder") from None
        raise FileRefused(f"it cannot be opened: {error.strerror}") from None


def _read(file: int, limit: int) -> FoundFile:
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        raise FileRefused("not a regular file")
    data = bytearray()
    try:
        while len(data) <= limit and (more := os.read(file, min(limit + 1 - len(data), 1 << 20))):
            data += more
    except OSError as error:
        raise FileRefused(f"it cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise FileRefused(f"it is larger than {limit} bytes")
    return FoundFile(bytes(data), executable=bool(facts.st_mode & stat.S_IXUSR))
