"""One daemon per data folder: a file lock that the kernel releases when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rover_mcp.errors import Conflict, EnvironmentFault
from rover_mcp.ownership import objection
from rover_mcp.preamble import socket_path


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
        # Tokens and sockets are inside; sandboxes get their folders mounted, and pass by this one.
        home.chmod(0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(home / "daemon.lock", flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # For people; the lock is what counts, and a full disk does not keep it from being held.
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
        pid = (home / "daemon.lock").read_text("utf-8").strip()
        raise Conflict(
            f"a daemon serves this data folder, and may be writing what is to be {what}",
            code="daemon_runs",
            hint=f"close the assistants that use it, or end it (kill {pid}; what runs goes on), "
            "then call it again",
        ) from None
    try:
        yield
    finally:
        os.close(lock)


def make_socket_folder(home: Path) -> None:
    """Make the folder of the daemon's socket where that is not the data folder, for this user
    alone.

    Raises:
        EnvironmentFault: it is there, and another's or open to others.
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
