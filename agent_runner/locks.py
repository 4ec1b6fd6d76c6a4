"""Locks on files that the kernel frees when their holder dies: what tells who lives. No process id
is ever believed."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

PAUSE = 0.02
"""Seconds between two tries to take a lock."""


def take_lock(path: Path, mode: int, tries: int) -> int:
    """Lock a file, which is made with `mode` where there is none. Closing the descriptor that is
    returned frees it. More than one try, for whoever asks `is_held` has it for microseconds.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be opened; a symbolic link is not followed.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    for _ in range(tries):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(PAUSE)
        else:
            return handle
    os.close(handle)
    raise BlockingIOError(f"another process holds {path}")


def is_held(path: Path) -> bool:
    """Whether a process of this host holds the lock.

    Raises:
        OSError: the file cannot be opened, so that this cannot be told; FileNotFoundError where
            there is none, so that nobody holds it.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
