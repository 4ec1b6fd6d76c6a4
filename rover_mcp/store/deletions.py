"""Which tasks were deleted and are kept for a while: the trash.

A task in it is hidden, not changed: its record, number, files and snapshots stay where they are, so
that giving it back is one row less, and a crash leaves it either in the trash or outside.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter

from rover_mcp.domain.event_kinds import DELETED
from rover_mcp.domain.stacking import SATISFIES
from rover_mcp.domain.task_status import ENDED, TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import Moment, Name
from rover_mcp.store.damaged_records import DamagedRecord, InvalidValues, checked, sound
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_event
from rover_mcp.store.record_reading import columns_of
from rover_mcp.store.row_changes import T, cancel_paused, lock_live_task, locked_task

D = store_tables.deletions


@dataclass(frozen=True)
class DeletionRow:
    """One task of the trash."""

    task_id: Name
    deleted_at: Moment


class Deletions:
    """The trash of a store. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, task_id: str) -> bool:
        """Put a task that ended into the trash. False: it has not ended, or is not there."""
        with self._database.write() as connection:
            row = connection.execute(locked_task(task_id)).one_or_none()
            if row is None or row.status not in ENDED:
                return False
            _put(connection, self._database.now(), row)
        self._database.on_event()
        return True

    def choose(self, kept: str, others: Collection[str]) -> bool:
        """Put the other tasks of a race into the trash and end the pauses among them: all of it or
        nothing. False: the kept one is not done, or another one is neither paused nor ended."""
        now = self._database.now()
        with self._database.write() as connection:
            # Every transaction locks tasks in the order of their ids.
            rows = {i: lock_live_task(connection, i) for i in sorted({kept, *others})}
            chosen = rows.pop(kept)
            if chosen is None or chosen.status not in SATISFIES:
                return False
            losers = [row for row in rows.values() if row is not None]
            if any(row.status not in (TaskStatus.PAUSED, *ENDED) for row in losers):
                return False
            for row in losers:
                if row.status == TaskStatus.PAUSED:
                    cancel_paused(connection, now, row)
                _put(connection, now, connection.execute(locked_task(row.id)).one())
        self._database.on_event()
        return True

    def take_back(self, task_id: str) -> bool:
        """Take a task out of the trash. False: it is not in it."""
        with self._database.write() as connection:
            row = connection.execute(locked_task(task_id)).one_or_none()
            gone = connection.execute(D.delete().where(D.c.task_id == task_id)).rowcount
            if row is None or not gone:
                return False
            status, now = TaskStatus(row.status), self._database.now()
            insert_event(connection, now, task_id, "task.restored", status, {}, notable=False)
        self._database.on_event()
        return True

    def list(self) -> list[DeletionRow]:
        """All tasks of the trash, the first deleted first. A damaged row is left out, so that its
        task stays."""
        with self._database.read() as connection:
            return sound(connection.execute(sa.select(D).order_by(D.c.deleted_at)), deletion_row)


def _put(connection: sa.Connection, now: float, row: sa.Row[Any]) -> None:
    """Put one task into the trash, unless it is there."""
    query = sa.select(D.c.task_id).where(D.c.task_id == row.id)
    if connection.execute(query).first() is not None:
        return
    connection.execute(D.insert().values(task_id=row.id, deleted_at=now))
    # A request that is made again makes a new task, as if this one were gone.
    connection.execute(T.update().where(T.c.id == row.id).values(request_key=None))
    status = TaskStatus(row.status)
    insert_event(connection, now, row.id, DELETED, status, {}, notable=False)


_ROW: Final = TypeAdapter(DeletionRow)


def deletion_row(row: sa.Row[Any]) -> DeletionRow:
    """A row of the trash from its stored row.

    Raises:
        DamagedRecord: some column holds what it may not.
    """
    values = columns_of(row)
    try:
        return checked(_ROW, values)
    except InvalidValues as bad:
        message = f"a row of the trash is damaged, and its task is kept: {bad}"
        raise DamagedRecord(message) from bad
