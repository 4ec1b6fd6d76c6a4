"""Ensures one daemon per data folder, by a file lock that the kernel releases when its holder
dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent_runner.process.locks import take_lock
from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.launcher.handshake import socket_path
from rover_mcp.launcher.ownership import objection


class AlreadyHeld(Exception):
    """Another daemon serves this data folder."""


def hold_lock(home: Path) -> int:
    """Make the data folder, the user's alone, and take its lock for the life of this process.

    Returns the descriptor that holds it.

    Raises:
        AlreadyHeld: another process has it.
        EnvironmentFault: the folder cannot be made or written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_foreign(home)
        # Tokens and sockets are inside. Sandboxes do not need to enter this folder: a bind mount
        # reaches theirs without a look at the folders above it.
        home.chmod(0o700)
        descriptor = take_lock(home / "daemon.lock")
        # The process id is for people only: a full disk must not keep the lock from being held.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
    except BlockingIOError:
        raise AlreadyHeld from None
    except OSError as error:
        raise EnvironmentFault(
            f"the data folder {home} cannot be used: {error.strerror}",
            hint="make it writable and free some space, or set ROVER_HOME to another folder",
            code="data_folder",
        ) from error
    return descriptor


def is_lost(home: Path, descriptor: int) -> bool:
    """Whether the data folder whose lock `descriptor` holds was removed or replaced."""
    try:
        there = (home / "daemon.lock").stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # a disk that does not answer is not gone
    held = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino)


@contextmanager
def hold_alone(home: Path, what: str) -> Generator[None]:
    """Keep every daemon away from the data folder, in which something is to be `what`.

    Raises:
        Conflict: a daemon serves it.
        EnvironmentFault: as for `hold_lock`.
    """
    try:
        lock = hold_lock(home)
    except AlreadyHeld:
        raise Conflict(
            f"a daemon serves this data folder, and may be writing what is to be {what}",
            code="daemon_runs",
            hint="close the assistants that use it and end it (rover daemon stop; running tasks "
            "continue later), then call it again",
        ) from None
    try:
        yield
    finally:
        os.close(lock)


def make_socket_folder(home: Path) -> None:
    """Make the folder of the daemon's socket, for this user alone, if it is not the data folder.

    Raises:
        EnvironmentFault: it exists, and belongs to another user or is open to others.
    """
    folder = socket_path(home).parent
    if folder == home:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_foreign(folder, link=False)
    except OSError as error:
        raise EnvironmentFault(
            f"the daemon's socket cannot be made in {folder}: {error.strerror}",
            hint="remove it, or use a shorter path (ROVER_HOME, --home)",
            code="data_folder",
        ) from error


def _refuse_foreign(folder: Path, *, link: bool = True) -> None:
    if (why := objection(str(folder), link=link)) is not None:
        raise EnvironmentFault(why[0], hint=f"{why[1]} (ROVER_HOME, --home)", code="data_folder")
