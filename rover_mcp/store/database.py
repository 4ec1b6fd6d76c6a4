"""The database that the parts of the store share."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa

from rover_mcp.store.migrations import READ_ONLY


class Database:
    """One database with its clock. Safe to use from many threads.

    `on_event` is called, from the writing thread, after each transaction that wrote events.
    """

    def __init__(
        self,
        engine: sa.Engine,
        now: Callable[[], float] = time.time,
        on_event: Callable[[], object] = lambda: None,
    ) -> None:
        self.engine = engine
        self.reader = engine.execution_options(**{READ_ONLY: True})
        self.now = now
        self.on_event = on_event

    def write(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that may write. It is committed if the block ends without an error."""
        return self.engine.begin()

    def read(self) -> AbstractContextManager[sa.Connection]:
        """A connection that only reads, and does not wait for writers."""
        return self.reader.connect()
