"""The switches for automatic resumes: of one task, of a project, and of all tasks."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from rover_mcp.domain.attempt_state import BY_ITSELF, AttemptState
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_for
from rover_mcp.store.records import EVERYWHERE, TaskRow

T = store_tables.tasks
A = store_tables.attempts
S = store_tables.switches

Off = Literal["task", "project", "all"]
"""Where automatic resumes are switched off; the widest scope if there are several."""


class ResumeSwitches:
    """Reads and sets the switches. A task is off if any of its three switches is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def scopes_off(self) -> frozenset[str]:
        """The scopes in which automatic resumes are switched off: ids of projects, and
        EVERYWHERE."""
        query = sa.select(S.c.scope).where(~S.c.auto_resume)
        with self._database.read() as connection:
            scopes = connection.execute(query).scalars()
            return frozenset(scope for scope in scopes if isinstance(scope, str))

    def off_for(self, task: TaskRow) -> Off | None:
        """Where this task's automatic resumes are switched off, or None where they are on."""
        with self._database.read() as connection:
            return switched_off(connection, task.auto_resume, task.project_id)

    def set_for_task(self, task_id: str, *, enabled: bool) -> int:
        """Switch one task's automatic resumes; the number of schedules that this dropped."""
        now = self._database.now()
        with self._database.write() as connection:
            values = {"auto_resume": enabled, "updated_at": now}
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            return 0 if enabled else _drop_schedules(connection, now, T.c.id == task_id)

    def set_for_project(self, project_id: str | None, *, enabled: bool) -> int:
        """Switch the automatic resumes of a project, or of all tasks (None); the number of
        schedules that this dropped."""
        now = self._database.now()
        values = {
            "scope": EVERYWHERE if project_id is None else project_id,
            "auto_resume": enabled,
            "changed_at": now,
        }
        with self._database.write() as connection:
            insert = insert_for(connection, S).values(**values)
            connection.execute(
                insert.on_conflict_do_update(index_elements=[S.c.scope], set_=values)
            )
            if enabled:
                return 0
            scope = sa.true() if project_id is None else T.c.project_id == project_id
            return _drop_schedules(connection, now, scope)


def _drop_schedules(connection: sa.Connection, now: float, scope: sa.ColumnElement[bool]) -> int:
    waiting = sa.select(A.c.task_id).where(A.c.state.in_(BY_ITSELF))
    query = sa.select(T.c.id).where(T.c.status == TaskStatus.PAUSED, T.c.id.in_(waiting), scope)
    ids = connection.execute(query.order_by(T.c.id).with_for_update()).scalars().all()
    connection.execute(T.update().where(T.c.id.in_(ids)).values(retry_at=None, updated_at=now))
    connection.execute(
        A.update()
        .where(A.c.task_id.in_(ids), A.c.state.in_(BY_ITSELF))
        .values(state=AttemptState.SUPERSEDED, ended_at=now)
    )
    return len(ids)


def switched_off(connection: sa.Connection, auto_resume: bool, project_id: str) -> Off | None:
    """Where the automatic resumes of a task are switched off, read in the caller's transaction."""
    query = sa.select(S.c.scope).where(S.c.scope.in_([EVERYWHERE, project_id]), ~S.c.auto_resume)
    off = set(connection.execute(query).scalars())
    if EVERYWHERE in off:
        return "all"
    if off:
        return "project"
    return None if auto_resume else "task"
