"""Space that the data folder holds back, so that on a full disk the database still takes what has
to be recorded: that a task is paused, cancelled or deleted.

A file of no use, which is cut a slice at a time before a write that the disk has no space for:
whatever else fills the disk meanwhile gets little of it. It is filled again once there is space.
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
"""A small disk is asked for no more than this part of what is free."""
SLICE: Final = 512 * 1024


class Reserve:
    """That of one data folder. Safe to use from many threads: a slice too many does no harm."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path = home / FILE

    def fill(self) -> None:
        """Hold space back, where there is plenty. A disk that has none is left alone."""
        with suppress(OSError):
            held, free = self._held(), self._free()
            size = min(MOST_BYTES, (held + free) // SHARE)
            if size - held < SLICE:
                return
            with self._path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    def make_room(self) -> None:
        """Give back as much as the next write may need."""
        with suppress(OSError):
            while self._free() < SLICE and (held := self._held()):
                os.truncate(self._path, max(0, held - SLICE))

    def serve(self, database: str) -> None:
        """Make room before each transaction with this database, whoever begins it: the library
        of the queue has connections of its own."""

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
