"""The lock of one project's repositories, which every change of them needs."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent_runner.process.locks import open_lock, try_lock, wait_for_lock
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.git.git_errors import no_room

_POLL = 0.05


@contextmanager
def locked(folder: Path, stop: CancelToken | None = None) -> Generator[None]:
    """Hold the lock of a project's folder. The kernel releases it when the process dies.

    Raises:
        EnvironmentFault: the folder cannot be written.
        Stopped: `stop` was cancelled while another process held the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = open_lock(folder / "lock")
    except OSError as error:
        raise no_room(folder, error) from error
    try:
        _lock(handle, stop)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, stop: CancelToken | None) -> None:
    if stop is None:
        wait_for_lock(handle)
        return
    # flock(2) cannot wait for two things, so a wait that can be cancelled has to poll.
    while not try_lock(handle):
        stop.wait(_POLL)
