"""Space that the data folder reserves, so that on a full disk the database can still record that a
task is paused, cancelled or deleted.

It is a file without a meaning that is shortened by one slice before a write for which the disk has
no space. Whatever else fills the disk gets little of one slice. The file is extended again once
there is space.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import event

FILE: Final = "reserve"
MOST_BYTES: Final = 8 * 2**20
SHARE: Final = 16
"""The reserve takes at most one part in so many of the free space of a small disk."""
SLICE: Final = 512 * 1024


class Reserve:
    """The reserve of one data folder. Safe to use from many threads: if two of them free a slice,
    one was not needed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / FILE

    def fill(self) -> None:
        """Extend the file if there is space for it. On a full disk nothing happens."""
        with suppress(OSError):
            held, free = self._held(), self._free()
            size = min(MOST_BYTES, (held + free) // SHARE)
            if size - held < SLICE:
                return
            with self._path.open("ab") as file:
                # Blocks are allocated. A file that is only made longer would be sparse, and cutting
                # it would free nothing.
                os.posix_fallocate(file.fileno(), 0, size)

    def make_room(self) -> None:
        """Free as much space as the next write may need."""
        with suppress(OSError):
            while self._free() < SLICE and (held := self._held()):
                os.truncate(self._path, max(0, held - SLICE))

    def serve(self, database: str) -> None:
        """Make room before each transaction with this database. It does not matter who begins it,
        because DBOS has connections of its own."""

        def on_begin(connection: sa.Connection) -> None:
            if connection.engine.url.database == database:
                self.make_room()

        event.listen(sa.Engine, "begin", on_begin)

    def _held(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _free(self) -> int:
        facts = os.statvfs(self._home)
        return facts.f_bavail * facts.f_frsize
