"""Every query of ours that only reads."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from rover_mcp.domain.attempt_state import OVER, AttemptState
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.store import schema
from rover_mcp.store.damage import sound, sound_one
from rover_mcp.store.kinds import LATEST
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.records import (
    EVERYWHERE,
    AttemptRow,
    DamagedRecord,
    HoldRow,
    ProjectRow,
    TaskRow,
    attempt_row,
    hold_row,
    project_row,
    task_row,
)

T = schema.tasks
A = schema.attempts
H = schema.holds

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)

Off = Literal["task", "project", "all"]
"""Where automatic resumes are switched off; the widest of several."""


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
        return sound_one(found, project_row)

    def has_tasks(self, project_id: str) -> bool:
        """Whether any task says that it is of this project."""
        query = sa.select(T.c.id).where(T.c.project_id == project_id).limit(1)
        with self._reader.connect() as connection:
            return connection.execute(query).first() is not None

    def finished_before(self, when: float) -> list[str]:
        """The ids of the tasks that were done by then, and have not gone on."""
        done = (TaskStatus.COMPLETED, TaskStatus.MERGED, TaskStatus.PUSHED)
        query = sa.select(T.c.id).where(T.c.status.in_(done), T.c.ended_at <= when)
        with self._reader.connect() as connection:
            return list(connection.execute(query.order_by(T.c.ended_at)).scalars())

    def without_record(self, ids: Collection[str]) -> set[str]:
        """Those of them that no task has."""
        if not ids:
            return set()
        with self._reader.connect() as connection:
            return set(ids) - set(connection.execute(sa.select(T.c.id)).scalars())

    def project_around(self, folder: Path) -> ProjectRow | None:
        """The project whose repository holds `folder`; the innermost of several."""
        projects = schema.projects
        paths = [str(p) for p in (folder, *folder.parents)]
        query = sa.select(projects).where(projects.c.path.in_(paths))
        with self._reader.connect() as connection:
            found = sound(connection.execute(query), project_row)
        return max(found, key=lambda row: len(row.path), default=None)

    def task(self, task_id: str) -> TaskRow | None:
        with self._reader.connect() as connection:
            row = connection.execute(sa.select(T).where(T.c.id == task_id)).one_or_none()
        return task_row(row) if row is not None else None

    def tasks_named(
        self,
        kind: Literal["id", "prefix", "number", "branch"],
        name: str,
        *,
        project_id: str | None = None,
        owner: str | None = None,
    ) -> list[TaskRow | DamagedRecord]:
        """The tasks with this id, beginning of an id, number or branch; at most ten, newest first.
        With `project_id` or `owner` only those."""
        wanted = {
            "id": lambda: T.c.id == name,
            "prefix": lambda: T.c.id.startswith(name, autoescape=True),
            "number": lambda: T.c.number == int(name),
            "branch": lambda: T.c.branch == name,
        }[kind]()
        query = sa.select(T).where(wanted).order_by(T.c.created_at.desc()).limit(10)
        if project_id is not None:
            query = query.where(T.c.project_id == project_id)
        if owner is not None:
            query = query.where(T.c.owner == owner)
        with self._reader.connect() as connection:
            return [_task_or_damage(row) for row in connection.execute(query)]

    def tasks_of(self, project_id: str, path: str) -> list[TaskRow | DamagedRecord]:
        """Every task of a project: those that say its id, and those that say its repository."""
        query = sa.select(T).where((T.c.project_id == project_id) | (T.c.project_path == path))
        with self._reader.connect() as connection:
            rows = connection.execute(query.order_by(T.c.number)).all()
        return [_task_or_damage(row) for row in rows]

    def every_project(self) -> dict[str, str]:
        """The repository of each project, by id."""
        query = sa.select(schema.projects.c.id, schema.projects.c.path)
        with self._reader.connect() as connection:
            return {row.id: row.path for row in connection.execute(query)}

    def project_of_each_task(self) -> dict[str, str]:
        """The id of each task's project, by the task's id."""
        query = sa.select(T.c.id, T.c.project_id)
        with self._reader.connect() as connection:
            return {row.id: row.project_id for row in connection.execute(query)}

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
        """Tasks, newest first; `before` is the (created_at, id) of the last one already seen.

        Raises:
            DamagedRecord: one of them cannot be read; `page` gives the others.
        """
        page = self.page(statuses=statuses, project_id=project_id, before=before, limit=limit)
        tasks = [row for row in page if isinstance(row, TaskRow)]
        for damaged in page:
            if isinstance(damaged, DamagedRecord):
                raise damaged
        return tasks

    def page(
        self,
        *,
        statuses: Collection[TaskStatus] = (),
        project_id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 20,
        owner: str | None = None,
    ) -> list[TaskRow | DamagedRecord]:
        """As list_tasks; a record that cannot be read hides no other. With `owner` only that
        user's tasks. Those that have no place among the others are in `unplaced`."""
        query = sa.select(T).order_by(T.c.created_at.desc(), T.c.id.desc()).limit(limit)
        query = query.where(T.c.created_at.between(0, LATEST))
        if statuses:
            query = query.where(T.c.status.in_([str(s) for s in statuses]))
        if project_id is not None:
            query = query.where(T.c.project_id == project_id)
        if owner is not None:
            query = query.where(T.c.owner == owner)
        if before is not None:
            query = query.where(sa.tuple_(T.c.created_at, T.c.id) < sa.tuple_(*before))
        with self._reader.connect() as connection:
            return [_task_or_damage(row) for row in connection.execute(query)]

    def unplaced(
        self, *, owner: str | None = None, everywhere: bool = True, limit: int = 20
    ) -> list[DamagedRecord]:
        """Damaged records that no page shows, because it cannot be told when they were made; and,
        where a page is not of `everywhere`, in which project."""
        when, projects = T.c.created_at, schema.projects
        lost = when.is_(None) | (when < 0) | (when > LATEST)
        if not everywhere:
            lost |= T.c.project_id.not_in(sa.select(projects.c.id))
        query = sa.select(T).where(lost).limit(limit)
        if owner is not None:
            query = query.where(T.c.owner == owner)
        with self._reader.connect() as connection:
            found = [_task_or_damage(row) for row in connection.execute(query)]
        return [row for row in found if isinstance(row, DamagedRecord)]

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
            return sound(connection.execute(query), attempt_row)

    def stranded(self) -> list[tuple[str, int]]:
        """Ids of tasks that wait for their present attempt, with its number, where there is no
        such attempt, or it is over, or in a state that is unknown: nobody will ever see to them."""
        here = (A.c.task_id == T.c.id) & (A.c.attempt == T.c.attempt)
        waits = T.c.status.in_([str(s) for s in (TaskStatus.NEW, *RUNNING)])
        over = A.c.state.is_(None) | A.c.state.in_(OVER) | A.c.state.not_in(tuple(AttemptState))
        query = sa.select(T.c.id, T.c.attempt).select_from(T.outerjoin(A, here))
        with self._reader.connect() as connection:
            return [(row.id, row.attempt) for row in connection.execute(query.where(waits, over))]

    # Holds and switches

    def hold(self, account: str) -> HoldRow | None:
        with self._reader.connect() as connection:
            row = connection.execute(sa.select(H).where(H.c.account == account)).one_or_none()
        return sound_one(row, hold_row)

    def holds(self) -> list[HoldRow]:
        """Every account that is closed, the longest first."""
        with self._reader.connect() as connection:
            return sound(connection.execute(sa.select(H).order_by(H.c.since)), hold_row)

    def count_waiting(self, account: str) -> int:
        """How many tasks wait for an account."""
        query = sa.select(sa.func.count()).select_from(A).join(T, T.c.id == A.c.task_id)
        with self._reader.connect() as connection:
            held = query.where(A.c.state == AttemptState.HELD, T.c.account == account)
            return connection.execute(held).scalar_one()

    def base_commits(self, project_id: str, without: str = "") -> frozenset[str] | None:
        """What a project's tasks are based on, but for one task; None where a record cannot be
        read."""
        query = sa.select(T.c.base_commit).where(T.c.project_id == project_id, T.c.id != without)
        with self._reader.connect() as connection:
            found = connection.execute(query).scalars().all()
        commits = [c for c in found if isinstance(c, str) and _COMMIT.fullmatch(c)]
        return frozenset(commits) if len(commits) == len(found) else None

    def project_paths(self, ids: Collection[str]) -> list[str]:
        """The repositories of these projects."""
        projects = schema.projects
        query = sa.select(projects).where(projects.c.id.in_(ids)).order_by(projects.c.path)
        with self._reader.connect() as connection:
            return [project.path for project in sound(connection.execute(query), project_row)]

    def scopes_off(self) -> frozenset[str]:
        """Where automatic resumes are switched off: projects' ids, and EVERYWHERE."""
        query = sa.select(schema.switches.c.scope).where(~schema.switches.c.auto_resume)
        with self._reader.connect() as connection:
            found = connection.execute(query).scalars()
            return frozenset(scope for scope in found if isinstance(scope, str))

    def auto_resume_off(self, task: TaskRow) -> Off | None:
        """Where this task's automatic resumes are switched off, or None where they are on."""
        with self._reader.connect() as connection:
            return switched_off(connection, task.auto_resume, task.project_id)


def _task_or_damage(row: sa.Row[Any]) -> TaskRow | DamagedRecord:
    try:
        return task_row(row)
    except DamagedRecord as damaged:
        return damaged


def switched_off(connection: sa.Connection, auto_resume: bool, project_id: str) -> Off | None:
    """See `Reads.auto_resume_off`."""
    switches = schema.switches
    query = sa.select(switches.c.scope).where(
        switches.c.scope.in_([EVERYWHERE, project_id]), ~switches.c.auto_resume
    )
    off = set(connection.execute(query).scalars())
    if EVERYWHERE in off:
        return "all"
    if off:
        return "project"
    return None if auto_resume else "task"
