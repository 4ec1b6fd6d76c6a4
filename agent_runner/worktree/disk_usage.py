"""Measures folders on disk: no link is followed, and the walk has a limit."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST_ENTRIES = 5_000_000
MOST_DEPTH = 200
"""The levels of one walk: each holds a descriptor. Deeper folders get a walk of their own."""

MOST_DEEP = 64
"""The folders beyond that depth that can wait for their walk: each holds a descriptor, too."""

BUNDLES = "bundles"
"""The folder of the snapshots in a run folder."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class DiskUsage:
    """The size of folders, as far as they could be read. `complete`: all of them could."""

    size: int
    complete: bool = True
    files: int = 0

    def __add__(self, other: DiskUsage) -> DiskUsage:
        complete = self.complete and other.complete
        return DiskUsage(self.size + other.size, complete, self.files + other.files)

    @property
    def counted(self) -> DiskUsage:
        """The number of files in place of the size."""
        return DiskUsage(self.files, self.complete)


def measure(folders: Sequence[os.PathLike[str]], ended: threading.Event) -> DiskUsage:
    """Measure folders. A file with several names counts once. `ended` ends the walk early."""
    return _Walk(ended).over(folders)


class _Walk:
    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended
        self._size = 0
        self._entries = 0
        self._files = 0
        self._complete = True
        self._seen: set[tuple[int, int]] = set()
        self._deep: list[int] = []
        """folders that were too deep for the walk that found them"""

    def over(self, folders: Sequence[os.PathLike[str]]) -> DiskUsage:
        try:
            for folder in folders:
                self._tree(self._open(folder))
                while self._deep and not self._ended.is_set():
                    self._tree(self._deep.pop())
        finally:
            for descriptor in self._deep:
                os.close(descriptor)
        return DiskUsage(self._size, self._complete, self._files)

    def _tree(self, root: int | None) -> None:
        """Walk a tree depth first, by descriptors: a path may be longer than the kernel accepts."""
        stack: list[tuple[int, list[str]]] = []
        try:
            self._enter(stack, root)
            while stack and not self._ended.is_set():
                descriptor, names = stack[-1]
                if not names:
                    os.close(stack.pop()[0])
                elif len(stack) < MOST_DEPTH:
                    self._enter(stack, self._open(names.pop(), descriptor))
                else:
                    self._defer(self._open(names.pop(), descriptor))
        finally:
            for descriptor, _ in stack:
                os.close(descriptor)

    def _open(self, name: str | os.PathLike[str], parent: int | None = None) -> int | None:
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError:
            self._complete = False
            return None

    def _defer(self, descriptor: int | None) -> None:
        if descriptor is None:
            return
        if len(self._deep) < MOST_DEEP:
            self._deep.append(descriptor)
        else:
            os.close(descriptor)
            self._complete = False

    def _enter(self, stack: list[tuple[int, list[str]]], descriptor: int | None) -> None:
        if descriptor is None:
            return
        stack.append((descriptor, []))
        if self._entries >= MOST_ENTRIES:
            self._complete = False
            return
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self._count(entry, stack[-1][1])
                    if self._entries >= MOST_ENTRIES or self._ended.is_set():
                        self._complete = False
                        break
        except OSError:
            self._complete = False

    def _count(self, entry: os.DirEntry[str], folders: list[str]) -> None:
        self._entries += 1
        # The file may have been deleted meanwhile.
        with suppress(FileNotFoundError):
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                folders.append(entry.name)
            # A package manager's store links one file many times.
            elif facts.st_nlink > 1:
                if (facts.st_dev, facts.st_ino) in self._seen:
                    return
                self._seen.add((facts.st_dev, facts.st_ino))
            self._files += 1
            # In units of 512 bytes on every file system (stat(2)). A sparse file holds less than
            # its size.
            self._size += facts.st_blocks * 512


def counted_twice(records: Sequence[Path]) -> list[Path]:
    """The folders of the task's records, and again those whose content is in the hub as well."""
    return [*records, *(folder / BUNDLES for folder in records)]


def kept_elsewhere(task: Path, run: Path) -> DiskUsage:
    """Measure what is kept of a task's iterations, without the records of the present one in
    `run`."""
    parts = [part for part in (task / "iterations").glob("*/*") if part != run]
    return measure([*parts, *(part / BUNDLES for part in parts)], threading.Event())
