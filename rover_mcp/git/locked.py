"""One project's lock: whoever changes its repositories holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rover_mcp.git.faults import no_room
from rover_mcp.stopping import Stop

_POLL = 0.05


@contextmanager
def locked(folder: Path, stop: Stop | None = None) -> Generator[None]:
    """Hold the lock of a project's folder. It goes with the process that holds it.

    Raises:
        EnvironmentFault: the folder cannot be written.
        Stopped: `stop` was asked for while another held the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise no_room(folder, error) from error
    try:
        _lock(handle, stop)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, stop: Stop | None) -> None:
    if stop is None:
        fcntl.flock(handle, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stop.wait(_POLL)
        else:
            return
