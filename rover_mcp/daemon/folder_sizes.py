"""Counts what folders take on the disk, in blocks: a sparse file is as small as its blocks."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

_BLOCK = 512


class FolderSizer:
    """Counts bytes on the disk. A file with several names counts once, where it is first seen; a
    folder counts in the call that asked for it first."""

    def __init__(self, has_time: Callable[[], bool] = lambda: True) -> None:
        """`has_time`: whether there is time to count more."""
        self._has_time = has_time
        self._seen: set[tuple[int, int]] = set()
        self._asked: set[str] = set()

    def size(self, *places: Path) -> int:
        """Bytes of files and folders. What cannot be read is left out, and links are not
        followed."""
        return self.size_so_far(*places)[0]

    def size_so_far(self, *places: Path) -> tuple[int, bool]:
        """The same, and whether everything was counted."""
        total, left = 0, [os.fspath(place) for place in places]
        while left and self._has_time():
            path = left.pop()
            try:
                facts = os.lstat(path)
                total += self._own(facts)
                if stat.S_ISDIR(facts.st_mode):
                    with os.scandir(path) as inside:
                        left += [e.path for e in inside if e.path not in self._asked]
            except OSError:
                continue
        self._asked.update(map(os.fspath, places))
        return total, not left

    def _own(self, facts: os.stat_result) -> int:
        if facts.st_nlink > 1 and not stat.S_ISDIR(facts.st_mode):
            name = (facts.st_dev, facts.st_ino)
            if name in self._seen:
                return 0
            self._seen.add(name)
        return facts.st_blocks * _BLOCK
