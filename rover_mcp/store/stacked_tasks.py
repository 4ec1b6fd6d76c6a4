"""Tasks that wait for others: which there are, and the one start that each of them gets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.stacking import Statuses, is_satisfied
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import sound
from rover_mcp.store.database import Database
from rover_mcp.store.record_reading import attempt_row, task_row
from rover_mcp.store.records import AttemptRow, TaskRow
from rover_mcp.store.row_changes import attempt_at, lock_task, this_attempt

T = store_tables.tasks
A = store_tables.attempts


class StackedTasks:
    """Reads and starts what waits. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self) -> list[TaskRow]:
        """The tasks whose first attempt waits for other tasks."""
        query = sa.select(T).join(A, (A.c.task_id == T.c.id) & (A.c.attempt == T.c.attempt))
        query = query.where(A.c.state == AttemptState.STACKED, T.c.status == TaskStatus.NEW)
        with self._database.read() as connection:
            return list(sound(connection.execute(query.order_by(T.c.created_at)), task_row))

    def statuses(self, ids: Collection[str]) -> Statuses:
        """The status of each of these tasks that is there."""
        with self._database.read() as connection:
            return _statuses(connection, ids)

    def start(self, task_id: str, attempt: int, **columns: Any) -> AttemptRow | None:
        """Put the attempt into the queue, if all that the task waits for is done. Of several
        callers one gets it. `columns` of the task are set with it."""
        here = this_attempt(task_id, attempt)
        with self._database.write() as connection:
            task = lock_task(connection, task_id)
            row = attempt_at(connection, task_id, attempt)
            if task is None or task.status != TaskStatus.NEW or row is None:
                return None
            links = task_row(task).links
            if row.state != AttemptState.STACKED or links is None:
                return None
            # Read in the transaction that starts it: one of them may have been iterated since.
            if not is_satisfied(links, _statuses(connection, [t.task for t in links.after])):
                return None
            values = {**columns, "updated_at": self._database.now()}
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            connection.execute(A.update().where(here).values(state=AttemptState.QUEUED))
            queued = attempt_row(connection.execute(sa.select(A).where(here)).one())
        self._database.on_event()
        return queued


def _statuses(connection: sa.Connection, ids: Collection[str]) -> Statuses:
    rows = connection.execute(sa.select(T.c.id, T.c.status).where(T.c.id.in_(list(ids))))
    return {row.id: TaskStatus(row.status) for row in rows}
