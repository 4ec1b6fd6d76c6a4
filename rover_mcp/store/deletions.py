"""Which tasks were deleted and are kept for a while: the trash.

A task in it is hidden, not changed: its record, number, files and snapshots stay where they are, so
that giving it back is one row less, and a crash leaves it either in the trash or outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter

from rover_mcp.domain.task_status import ENDED, TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import Moment, Name
from rover_mcp.store.damaged_records import DamagedRecord, InvalidValues, checked, sound
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_event
from rover_mcp.store.record_reading import columns_of
from rover_mcp.store.row_changes import T, locked_task

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
            query = sa.select(D.c.task_id).where(D.c.task_id == task_id)
            if connection.execute(query).first() is None:
                now = self._database.now()
                connection.execute(D.insert().values(task_id=task_id, deleted_at=now))
                # A request that is made again makes a new task, as if this one were gone.
                connection.execute(T.update().where(T.c.id == task_id).values(request_key=None))
                status = TaskStatus(row.status)
                insert_event(connection, now, task_id, "task.deleted", status, {}, notable=False)
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
