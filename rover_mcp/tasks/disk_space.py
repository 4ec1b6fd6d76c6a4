"""Checks that the data folder's disk has room for a task, before any part of the task is
created."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent_runner.worktree.disk_watch import FreeDiskSpace, free_space
from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import EnvironmentFault

AMPLE = 20 * 1024**3
"""With so many bytes free beyond the floor the base's files are not measured: that takes longer
than all other checks together."""

BESIDE = 4 * 1024**2
"""Bytes for what a task has beside its work tree: index, journal, logs, first snapshots. More than
what store/reserve.py gives back at a time on a full disk, which is for the tasks that there are."""

_HINT = "free some space, or set ROVER_HOME to a folder on another disk"


@dataclass(frozen=True)
class TreeSize:
    """The size in bytes and the number of the files of a commit, without the file system's
    overhead."""

    size: int
    files: int


# Files count, too: a file system can run out of inodes before it runs out of bytes, which a
# checkout of many small files brings about.
def check_space(settings: Settings, measure: Callable[[], TreeSize | None]) -> None:
    """Check that there is room for a work tree. `measure` returns its size, or None if it is
    unknown.

    Raises:
        EnvironmentFault: the disk has too little room ("disk_full").
    """
    free = free_space([settings.home])
    _check_floor(settings, free)
    spare = free.lowest - settings.min_free_bytes
    if spare >= AMPLE or (needed := measure()) is None:
        return
    if spare < needed.size + BESIDE:
        raise _full(
            settings.home,
            f"{_mb(free.lowest)} MB left, of which {_mb(settings.min_free_bytes)} MB stay free "
            f"(min_free_bytes), and the files of the task's base take {_mb(needed.size)} MB",
        )
    if free.lowest_files - settings.min_free_files < needed.files:
        raise _full(
            settings.home,
            f"room for {free.lowest_files} more files left, of which {settings.min_free_files} "
            f"stay free (min_free_files), and the task's base has {needed.files} files",
        )


def _check_floor(settings: Settings, free: FreeDiskSpace) -> None:
    if free.lowest < settings.min_free_bytes:
        raise _full(settings.home, f"{_mb(free.lowest)} MB left")
    if free.lowest_files < settings.min_free_files:
        raise _full(settings.home, f"room for {free.lowest_files} more files left")


def _mb(size: int) -> int:
    return size // 1024**2


def _full(home: Path, left: str) -> EnvironmentFault:
    return EnvironmentFault(f"the disk of {home} has only {left}", hint=_HINT, code="disk_full")
