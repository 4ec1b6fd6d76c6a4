"""Every query of ours that only reads."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rover_mcp.store import schema
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.rows import AttemptRow, ProjectRow, TaskRow, attempt_row, task_row
from rover_mcp.tasks.models import TaskStatus

T = schema.tasks
A = schema.attempts


def attempt_query(task_id: str, attempt: int) -> sa.Select[Any]:
    return sa.select(A).where(A.c.task_id == task_id, A.c.attempt == attempt)


class Reads:
    """Reads do not wait for writers."""

    def __init__(self, engine: sa.Engine) -> None:
        self._reader = engine.execution_options(**{READ_ONLY: True})

    def project_at(self, path: str) -> ProjectRow | None:
        with self._reader.connect() as connection:
            found = connection.execute(
                sa.select(schema.projects).where(schema.projects.c.path == path)
            ).one_or_none()
        return ProjectRow(found.id, found.path) if found is not None else None

    def project_around(self, folder: Path) -> ProjectRow | None:
        """The project whose repository holds `folder`; the innermost of several."""
        projects = schema.projects
        paths = [str(p) for p in (folder, *folder.parents)]
        query = sa.select(projects).where(projects.c.path.in_(paths))
        with self._reader.connect() as connection:
            found = connection.execute(query).all()
        inner = max(found, key=lambda row: len(row.path), default=None)
        return ProjectRow(inner.id, inner.path) if inner is not None else None

    def task(self, task_id: str) -> TaskRow | None:
        with self._reader.connect() as connection:
            row = connection.execute(sa.select(T).where(T.c.id == task_id)).one_or_none()
        return task_row(row) if row is not None else None

    def task_by_number(self, project_id: str, number: int) -> TaskRow | None:
        query = sa.select(T).where(T.c.project_id == project_id, T.c.number == number)
        with self._reader.connect() as connection:
            row = connection.execute(query).one_or_none()
        return task_row(row) if row is not None else None

    def tasks_by_number(self, number: int) -> list[TaskRow]:
        """Tasks of that number in any project, at most ten."""
        query = sa.select(T).where(T.c.number == number).order_by(T.c.created_at.desc()).limit(10)
        with self._reader.connect() as connection:
            return [task_row(row) for row in connection.execute(query)]

    def task_by_request(self, project_id: str, request_key: str) -> TaskRow | None:
        query = sa.select(T).where(T.c.project_id == project_id, T.c.request_key == request_key)
        with self._reader.connect() as connection:
            row = connection.execute(query).one_or_none()
        return task_row(row) if row is not None else None

    def list_tasks(
        self,
        *,
        statuses: Collection[TaskStatus] = (),
        project_id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 20,
    ) -> list[TaskRow]:
        """Tasks, newest first; `before` is the (created_at, id) of the last one already seen."""
        query = sa.select(T).order_by(T.c.created_at.desc(), T.c.id.desc()).limit(limit)
        if statuses:
            query = query.where(T.c.status.in_([str(s) for s in statuses]))
        if project_id is not None:
            query = query.where(T.c.project_id == project_id)
        if before is not None:
            query = query.where(sa.tuple_(T.c.created_at, T.c.id) < sa.tuple_(*before))
        with self._reader.connect() as connection:
            return [task_row(row) for row in connection.execute(query)]

    def count(self, statuses: Collection[TaskStatus]) -> int:
        query = sa.select(sa.func.count()).select_from(T)
        query = query.where(T.c.status.in_([str(s) for s in statuses]))
        with self._reader.connect() as connection:
            return connection.execute(query).scalar_one()

    def attempt(self, task_id: str, attempt: int) -> AttemptRow | None:
        with self._reader.connect() as connection:
            row = connection.execute(attempt_query(task_id, attempt)).one_or_none()
        return attempt_row(row) if row is not None else None

    def attempts_in(self, states: Collection[str]) -> list[AttemptRow]:
        query = sa.select(A).where(A.c.state.in_(states)).order_by(A.c.created_at)
        with self._reader.connect() as connection:
            return [attempt_row(row) for row in connection.execute(query)]
