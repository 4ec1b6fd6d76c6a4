"""Keeps a copy of what a status line shows, if the store is not in the data folder: a status line
has a third of a second, and no driver for PostgreSQL."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.config.private_files import write_private
from rover_mcp.launcher.glance import COPY

log = logging.getLogger("rover.glance")


class GlanceCopy:
    """Writes the copy. `wake`, on the loop's thread, says that it may have changed; `read` reads
    the store."""

    def __init__(self, home: Path, read: Callable[[], dict[str, Any]]) -> None:
        self._path = home / COPY
        self._read = read
        self._wake = anyio.Event()
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Write the copy now and whenever it may have changed, for ever."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            try:
                await anyio.to_thread.run_sync(self.write)
            except (OSError, SQLAlchemyError) as error:
                log.warning("what is shown at a glance is not kept: %s", error)

    def write(self) -> None:
        """Write the copy now.

        Raises:
            OSError, SQLAlchemyError: it cannot be read or kept.
        """
        write_private(self._path, json.dumps(self._read()))
