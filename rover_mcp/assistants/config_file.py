"""A client's configuration on disk: read completely, replaced atomically, with the old file kept
beside it."""

from __future__ import annotations

import os
import stat
import tempfile
from datetime import datetime
from pathlib import Path

from rover_mcp.assistants.config_change import ConfigChangeRefused

MAX_BYTES = 64_000_000
"""Claude Code keeps a history in the same file."""


def read(path: Path) -> str | None:
    """The text of the file; None where there is none.

    Raises:
        ConfigChangeRefused: it is not a regular file of this user's, or not UTF-8.
        OSError: it cannot be read.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    except IsADirectoryError:
        raise ConfigChangeRefused("is not a regular file") from None
    except FileNotFoundError:
        if path.is_symlink():
            raise ConfigChangeRefused(
                f"is a symbolic link to a missing file ({path.readlink()})"
            ) from None
        return None
    with file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigChangeRefused("is not a regular file")
        # With sudo a file of the user's would be replaced by one of root's.
        if facts.st_uid != os.geteuid():
            raise ConfigChangeRefused("belongs to another user")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigChangeRefused(f"is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigChangeRefused("is not UTF-8") from error


def write(path: Path, old: str | None, new: str, now: datetime) -> Path | None:
    """Replace the file by `new`, if it still contains `old`; returns where the old one is kept, if
    it is. A symbolic link stays, and the file that it leads to is replaced.

    Raises:
        ConfigChangeRefused: it contains something else by now.
        OSError: it cannot be written; then it is unchanged.
    """
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    mode = 0o600 if old is None else stat.S_IMODE(real.stat().st_mode)
    # Beside it, so that the last step is a rename within one file system.
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 (by descriptor)
            os.fchmod(handle, mode)
            file.write(new.encode())
            file.flush()
            # Before the rename: after a crash of the machine the name could otherwise lead to an
            # empty file.
            os.fsync(handle)
        # A client that is running may have written it since, and that change must not be lost.
        if read(path) != old:
            raise ConfigChangeRefused("was changed meanwhile; run this again")
        backup = None if old is None else _keep(real, old, mode, now)
        Path(name).replace(real)
    finally:
        Path(name).unlink(missing_ok=True)
    return backup


def _without_waiting(name: str, flags: int) -> int:
    """Open without blocking: opening a pipe would wait for someone to write."""
    return os.open(name, flags | os.O_NONBLOCK)


def _keep(path: Path, text: str, mode: int, now: datetime) -> Path:
    """Write `text` beside `path`, under a name that is free."""
    name = f"{path.name}.rover-backup-{now:%Y%m%dT%H%M%S}"
    # Two changes within one second need two names: no copy is ever written over another.
    names = (path.with_name(f"{name}{f'-{n}' if n else ''}") for n in range(1000))
    backup = next(name for name in names if not os.path.lexists(name))
    handle = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:  # noqa: PTH123 (by descriptor)
        os.fchmod(handle, mode)
        file.write(text.encode())
    return backup
