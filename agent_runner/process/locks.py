"""File locks, which the kernel frees when their holder dies, so that a held lock proves a life.

A process id proves nothing: it may belong to another process by now. All of Rover takes its locks
here, the launcher and the supervisor too, for which it imports only the standard library.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager

PAUSE = 0.02
"""Seconds between two tries to take a lock."""

_Path = str | os.PathLike[str]


def open_lock(path: _Path, mode: int = 0o600) -> int:
    """Open a lock's file without locking it. A missing file is created with `mode`.

    Raises:
        OSError: it cannot be opened; a symbolic link is not followed.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)


def try_lock(handle: int, *, shared: bool = False) -> bool:
    """Lock an open file without waiting; False if another holds it."""
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(handle: int, *, shared: bool = False) -> None:
    """Lock an open file, however long another holds it."""
    fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


@contextmanager
def holding(handle: int) -> Generator[None]:
    """Wait for the lock of an open file, hold it for the block, and close the file."""
    try:
        wait_for_lock(handle)
        yield
    finally:
        os.close(handle)


def take_lock(path: _Path, mode: int = 0o600, tries: int = 1) -> int:
    """Lock a file, which is created with `mode` if it is missing. Closing the returned descriptor
    frees the lock. A holder may end within `tries`; who only checks with `is_held` is waited for.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be opened; a symbolic link is not followed.
    """
    handle = open_lock(path, mode)
    while not try_lock(handle):
        # A check holds it, shared, for microseconds, but for as long as a busy machine gives the
        # process that checks no turn.
        if try_lock(handle, shared=True):
            fcntl.flock(handle, fcntl.LOCK_UN)
        else:
            tries -= 1
        if tries <= 0:
            os.close(handle)
            raise BlockingIOError(f"another process holds {os.fspath(path)}")
        time.sleep(PAUSE)
    return handle


def is_held(path: _Path) -> bool:
    """Whether a process of this host holds the lock.

    Raises:
        OSError: the file cannot be opened, so the answer is unknown; FileNotFoundError: it is
            missing, so no process holds it.
    """
    handle = _existing(path)
    try:
        # Shared, so that two processes that check at once do not take each other for the holder.
        return not try_lock(handle, shared=True)
    finally:
        os.close(handle)


def wait_until_free(path: _Path) -> None:
    """Return once no process holds the lock.

    Raises:
        OSError: as for `is_held`.
    """
    handle = _existing(path)
    try:
        wait_for_lock(handle, shared=True)
    finally:
        os.close(handle)


def _existing(path: _Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
