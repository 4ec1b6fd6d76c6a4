"""Marks of tasks that are being created. A task's files are written before its record, so that no
recorded task lacks its files; if the daemon dies in between, a mark tells its successor that the
files belong to no task."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FOLDER: Final = "creating"
"""In the data folder; a mark is an empty file with the task's id as its name."""


@contextmanager
def creating(home: Path, task_ids: Collection[str]) -> Generator[None]:
    """Mark the tasks until the block ends. It either records them or removes their files.

    Raises:
        OSError: a mark cannot be written.
    """
    marks = [home / FOLDER / task_id for task_id in task_ids]
    (home / FOLDER).mkdir(mode=0o700, exist_ok=True)
    # A mark is not flushed to the disk: after a power cut the files themselves may be missing, too.
    for mark in marks:
        mark.touch()
    try:
        yield
    finally:
        for mark in marks:
            drop_mark(home, mark.name)


def marked(home: Path) -> list[str]:
    """The ids of the tasks that are being created, or whose creation was cut off."""
    folder = home / FOLDER
    return sorted(mark.name for mark in folder.iterdir()) if folder.is_dir() else []


def drop_mark(home: Path, task_id: str) -> None:
    """Remove a task's mark."""
    (home / FOLDER / task_id).unlink(missing_ok=True)
