"""What `rover usage` is computed from: recorded calls, the tasks that they belong to, and the
events that say who ran and who waited."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from rover_mcp.domain.event_kinds import AGENT_CHANGED, DELETED, HELD
from rover_mcp.domain.task_status import Event
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import LATEST
from rover_mcp.store.database import Database
from rover_mcp.store.events import NUMBERED, readable
from rover_mcp.store.records import CallRow, EventRow, TaskLabel
from rover_mcp.store.usage_records import SOUND, is_named

C = store_tables.calls
T = store_tables.tasks
D = store_tables.deletions
E = store_tables.events
_KINDS: Final = (*map(str, Event), HELD, AGENT_CHANGED, DELETED)
"""Events that begin or end a wait, or say that another agent continues."""


class UsageHistory:
    """Reads the usage of all tasks, deleted ones among them. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def calls(self, since: float) -> list[CallRow]:
        """The calls since a time, the first one first. Damaged records are left out, as they are
        of every sum."""
        query = sa.select(C).where(C.c.calls > 0, SOUND, C.c.at.between(since, LATEST))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(C.c.at)).all()
        # Not through the check of each column, which takes most of the time for a million records:
        # the query has checked the columns that are summed.
        return [_call(row) for row in rows if is_named(row)]

    def labels(self) -> dict[str, TaskLabel]:
        """What each task that has a record is called, by its id; those in the trash, too. A column
        that cannot be read is shown as a text."""
        query = sa.select(
            T.c.id, T.c.number, T.c.title, T.c.project_path, T.c.agent, D.c.task_id.label("trash")
        ).outerjoin(D, D.c.task_id == T.c.id)
        with self._database.read() as connection:
            return {row.id: _label(row) for row in connection.execute(query)}

    def events(self) -> list[EventRow]:
        """The events that begin or end a wait or change the agent, the first one first."""
        query = sa.select(E).where(E.c.kind.in_(_KINDS), NUMBERED).order_by(E.c.seq)
        with self._database.read() as connection:
            return readable(connection.execute(query))


def _call(row: sa.Row[Any]) -> CallRow:
    return CallRow(**{column.name: getattr(row, column.name) for column in C.columns})


def _label(row: Any) -> TaskLabel:
    number = row.number if isinstance(row.number, int) else 0
    texts = [str(row.title), str(row.project_path), str(row.agent)]
    return TaskLabel(row.id, number, *texts, in_trash=row.trash is not None)
