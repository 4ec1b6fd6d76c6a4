"""Writes files of the data folder that hold secrets: only their owner may read them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent_runner.atomic_write import replace_file
from agent_runner.process.locks import holding, open_lock
from rover_mcp.domain.errors import EnvironmentFault


def unwritable(what: str, home: Path, error: OSError) -> EnvironmentFault:
    """The error where `what` cannot be stored in a data folder."""
    return EnvironmentFault(
        f"{what} cannot be kept in {home}: {error.strerror}",
        hint="check that the data folder is writable and its disk not full",
        code="data_folder",
    )


@contextmanager
def locked(home: Path, name: str, what: str) -> Generator[None]:
    """Let one program at a time change the file of this name.

    Raises:
        EnvironmentFault: `what` cannot be stored there.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = open_lock(home / f"{name}.lock")
    except OSError as error:
        raise unwritable(what, home, error) from error
    with holding(lock):
        yield


# A file that is created first and restricted later can be read in between.
def write_private(path: Path, text: str) -> None:
    """Write a file completely or not at all, with mode 0600 at every moment. Raises OSError."""
    # A crash must not leave a secret behind that is removed later.
    for stale in path.parent.glob(f".{path.name}.*.part"):
        stale.unlink(missing_ok=True)
    replace_file(path, text, mode=0o600, durable=True)
