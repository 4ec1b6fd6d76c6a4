"""What `rover status-line` and `rover session-start` show of a store."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.store_tables import not_deleted

MOST: Final = 200
"""Greatest number of tasks; the newest are shown."""
T, P, E, ACK = (
    store_tables.tasks,
    store_tables.projects,
    store_tables.events,
    store_tables.acknowledgements,
)
_RUNNING = [str(s) for s in (TaskStatus.NEW, TaskStatus.IN_PROGRESS, TaskStatus.ITERATING)]


def glanced(reader: sa.Engine) -> dict[str, Any]:
    """The counts of tasks by status, the projects, and the tasks that run, are paused or have new
    events, in the form in which launcher/glance.py reads them from the file of a data folder."""
    newest = (
        sa.select(sa.func.max(E.c.seq))
        .where(E.c.task_id == T.c.id, E.c.notable)
        .correlate(T)
        .scalar_subquery()
    )
    columns = (T.c.number, T.c.status, T.c.branch, T.c.project_path, T.c.pause, T.c.retry_at)
    tasks = (
        sa.select(*columns, T.c.project_id)
        .outerjoin(ACK, ACK.c.task_id == T.c.id)
        .where(
            T.c.owner.is_(None),
            not_deleted(),
            T.c.status.in_([*_RUNNING, str(TaskStatus.PAUSED)])
            | (newest > sa.func.coalesce(ACK.c.seq, 0)),
        )
        .order_by(T.c.updated_at.desc())
        .limit(MOST)
    )
    counts = sa.select(T.c.status, sa.func.count()).group_by(T.c.status)
    counts = counts.where(T.c.owner.is_(None), not_deleted())
    with reader.connect() as connection:
        return {
            "counts": {row[0]: row[1] for row in connection.execute(counts)},
            "projects": [list(row) for row in connection.execute(sa.select(P.c.id, P.c.path))],
            "tasks": [list(row) for row in connection.execute(tasks)],
        }
