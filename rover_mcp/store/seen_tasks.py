"""Which ended tasks a person has seen. A task that ends again is unseen again."""

from __future__ import annotations

import sqlalchemy as sa

from rover_mcp.store import store_tables
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_for

S = store_tables.seen


class SeenTasks:
    """Reads and writes what was seen. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self, task_id: str, ended_at: float) -> None:
        """Record that the end of a task at that time was seen. An earlier end never takes the place
        of a later one: the page that was looked at may be old."""
        with self._database.write() as connection:
            insert = insert_for(connection, S).values(task_id=task_id, ended_at=ended_at)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[S.c.task_id],
                    set_={"ended_at": ended_at},
                    where=S.c.ended_at < ended_at,
                )
            )

    def all(self) -> dict[str, float]:
        """When each task ended whose end was seen, by its id. A damaged record is left out: its
        task counts as unseen."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(S.c.task_id, S.c.ended_at)).all()
        return {row.task_id: row.ended_at for row in rows if isinstance(row.ended_at, float)}

    def end_seen(self, task_id: str) -> float | None:
        """The same for one task; None: no end of it was seen."""
        query = sa.select(S.c.ended_at).where(S.c.task_id == task_id)
        with self._database.read() as connection:
            ended_at = connection.execute(query).scalar()
        return ended_at if isinstance(ended_at, float) else None
