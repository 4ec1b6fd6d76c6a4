"""The records of projects."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from rover_mcp.domain.errors import Conflict
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import sound, sound_one
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_for
from rover_mcp.store.record_reading import project_row
from rover_mcp.store.records import ProjectRow

P = store_tables.projects
T = store_tables.tasks

MAX_NUMBER: Final = 999_999_998
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


class ProjectStore:
    """Reads and writes the records of projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Reading

    def at(self, path: str) -> ProjectRow | None:
        """The project of the repository at `path`, if it has a record that can be read."""
        query = sa.select(P).where(P.c.path == path)
        with self._database.read() as connection:
            return sound_one(connection.execute(query).one_or_none(), project_row)

    def around(self, folder: Path) -> ProjectRow | None:
        """The project whose repository contains `folder`; the innermost if there are several."""
        paths = [str(p) for p in (folder, *folder.parents)]
        with self._database.read() as connection:
            rows = connection.execute(sa.select(P).where(P.c.path.in_(paths)))
            projects = sound(rows, project_row)
        return max(projects, key=lambda row: len(row.path), default=None)

    def paths_by_id(self) -> dict[str, str]:
        """The repository of each project, by the project's id."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(P.c.id, P.c.path))
            return {row.id: row.path for row in rows}

    def paths(self, ids: Collection[str]) -> list[str]:
        """The repositories of these projects."""
        query = sa.select(P).where(P.c.id.in_(ids)).order_by(P.c.path)
        with self._database.read() as connection:
            return [project.path for project in sound(connection.execute(query), project_row)]

    def has_tasks(self, project_id: str) -> bool:
        """Whether the record of any task names this project."""
        query = sa.select(T.c.id).where(T.c.project_id == project_id).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def base_commits(self, project_id: str, without: str = "") -> frozenset[str] | None:
        """The base commits of a project's tasks, except the task `without`; None if one of them
        cannot be read."""
        query = sa.select(T.c.base_commit).where(T.c.project_id == project_id, T.c.id != without)
        with self._database.read() as connection:
            values = connection.execute(query).scalars().all()
        commits = [c for c in values if isinstance(c, str) and _COMMIT.fullmatch(c)]
        return frozenset(commits) if len(commits) == len(values) else None

    # Writing

    def register(self, project_id: str, path: str) -> ProjectRow:
        """The project of the repository at `path`, which is recorded if it is new. A damaged record
        is corrected, because everything in it follows from the id and the path."""
        with self._database.write() as connection:
            # Two clients may register the same repository at the same time.
            connection.execute(
                insert_for(connection, P)
                .values(id=project_id, path=path, next_number=1, created_at=self._database.now())
                .on_conflict_do_nothing()
            )
            query = sa.select(P).where(P.c.path == path)
            project = sound_one(connection.execute(query).one_or_none(), project_row)
            if project is not None and not _has_lost_its_id(connection, project, project_id):
                return project
            broken = (P.c.path == path) | (P.c.id == project_id)
            connection.execute(P.update().where(broken).values(id=project_id, path=path))
            return project_row(connection.execute(query).one())

    def move(self, project_id: str, path: str) -> None:
        """Record that the repository of a project, and of all its tasks, is at another path now."""
        tasks = T.update().where(T.c.project_id == project_id)
        with self._database.write() as connection:
            connection.execute(P.update().where(P.c.id == project_id).values(path=path))
            connection.execute(tasks.values(project_path=path))

    def forget(self, project_id: str, path: str) -> bool:
        """Remove a project's record and its switch. False, and nothing is removed, if a task of it
        has been created meanwhile."""
        switches = store_tables.switches
        here = (P.c.id == project_id) | (P.c.path == path)
        with self._database.write() as connection:
            # `next_number` locks the same row, so no task is created until this transaction ends.
            connection.execute(sa.select(P.c.id).where(here).with_for_update())
            own = (T.c.project_id == project_id) | (T.c.project_path == path)
            if connection.execute(sa.select(T.c.id).where(own).limit(1)).first() is not None:
                return False
            connection.execute(switches.delete().where(switches.c.scope == project_id))
            connection.execute(P.delete().where(here))
        return True

    def next_number(self, connection: sa.Connection, project_id: str) -> int:
        """Draw a number that no task of the project has, even if the project's record is damaged.

        Raises:
            Conflict: the project has just been forgotten.
        """
        here = P.c.id == project_id
        query = sa.select(P.c.next_number).where(here).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            raise Conflict(
                "the project has just been forgotten, so no task was created",
                hint="call again",
                code="project_forgotten",
            )
        number = row.next_number
        highest = sa.select(sa.func.max(T.c.number)).where(
            T.c.project_id == project_id, T.c.number.between(1, MAX_NUMBER)
        )
        last: int = connection.execute(highest).scalar() or 0
        is_sound = isinstance(number, int) and last < number <= MAX_NUMBER
        number = number if is_sound else last + 1
        connection.execute(P.update().where(here).values(next_number=number + 1))
        return number


def _has_lost_its_id(connection: sa.Connection, project: ProjectRow, project_id: str) -> bool:
    """Whether the record names an id that no task has, while tasks have the right one."""
    query = sa.select(T.c.project_id).where(T.c.project_id.in_([project.id, project_id]))
    return set(connection.execute(query.distinct()).scalars()) == {project_id} != {project.id}
