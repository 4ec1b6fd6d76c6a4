"""The records of tasks: creating, finding, listing and deleting them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from rover_mcp.domain.attempt_state import OVER, AttemptState
from rover_mcp.domain.event_kinds import DELETED
from rover_mcp.domain.ids import branch_name
from rover_mcp.domain.task_status import ENDED, RUNNING, TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import LATEST
from rover_mcp.store.damaged_records import DamagedRecord, DamagedTask
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_event
from rover_mcp.store.projects import ProjectStore
from rover_mcp.store.record_reading import task_row
from rover_mcp.store.records import NewTask, TaskRow
from rover_mcp.store.row_changes import insert_attempt, locked_task, to_json
from rover_mcp.store.store_tables import not_deleted

T = store_tables.tasks
A = store_tables.attempts


class TaskStore:
    """Reads and writes the records of tasks; a status changes only through TaskTransitions."""

    def __init__(self, database: Database, projects: ProjectStore) -> None:
        self._database = database
        self._projects = projects

    # Reading

    def get(self, task_id: str, *, deleted: bool = False) -> TaskRow | None:
        """The task with this id; with `deleted` also where it is in the trash.

        Raises:
            DamagedRecord: its record cannot be read.
        """
        query = sa.select(T).where(T.c.id == task_id)
        return self._one(query if deleted else query.where(not_deleted()))

    def by_request(self, project_id: str, request_key: str) -> TaskRow | None:
        """The task of a project that was created with this request key.

        Raises:
            DamagedRecord: its record cannot be read.
        """
        return self._one(
            sa.select(T).where(T.c.project_id == project_id, T.c.request_key == request_key)
        )

    def _one(self, query: sa.Select[Any]) -> TaskRow | None:
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return task_row(row) if row is not None else None

    def named(
        self,
        kind: Literal["id", "prefix", "number", "branch"],
        name: str,
        *,
        project_id: str | None = None,
        owner: str | None = None,
        deleted: bool = False,
    ) -> list[TaskRow | DamagedRecord]:
        """The tasks with this id, beginning of an id, number or branch, at most ten, newest first.
        With `project_id` or `owner` only that project's or user's; with `deleted` those of the
        trash, and no others."""
        wanted = {
            "id": lambda: T.c.id == name,
            "prefix": lambda: T.c.id.startswith(name, autoescape=True),
            "number": lambda: T.c.number == int(name),
            "branch": lambda: T.c.branch == name,
        }[kind]()
        visible = ~not_deleted() if deleted else not_deleted()
        query = sa.select(T).where(wanted, visible).order_by(T.c.created_at.desc()).limit(10)
        return self._all(_only(query, project_id, owner))

    def of_project(self, project_id: str, path: str) -> list[TaskRow | DamagedRecord]:
        """Every task whose record names the project's id or its repository."""
        query = sa.select(T).where((T.c.project_id == project_id) | (T.c.project_path == path))
        return self._all(query.order_by(T.c.number))

    def page(
        self,
        *,
        statuses: Collection[TaskStatus] = (),
        project_id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 20,
        owner: str | None = None,
    ) -> list[TaskRow | DamagedRecord]:
        """Tasks, newest first; `before` is the (created_at, id) of the last one already shown. A
        record that cannot be read hides no other. With `owner` only that user's tasks. Records
        without a readable time of creation are in `unplaced`."""
        query = sa.select(T).order_by(T.c.created_at.desc(), T.c.id.desc()).limit(limit)
        query = query.where(T.c.created_at.between(0, LATEST), not_deleted())
        if statuses:
            query = query.where(T.c.status.in_([str(s) for s in statuses]))
        if before is not None:
            query = query.where(sa.tuple_(T.c.created_at, T.c.id) < sa.tuple_(*before))
        return self._all(_only(query, project_id, owner))

    def unplaced(
        self, *, owner: str | None = None, everywhere: bool = True, limit: int = 20
    ) -> list[DamagedRecord]:
        """Damaged records that no page shows, because their time of creation is unknown. Unless the
        pages show `everywhere`, also those whose project is unknown."""
        when = T.c.created_at
        lost = when.is_(None) | (when < 0) | (when > LATEST)
        if not everywhere:
            lost |= T.c.project_id.not_in(sa.select(store_tables.projects.c.id))
        rows = self._all(_only(sa.select(T).where(lost, not_deleted()).limit(limit), None, owner))
        return [row for row in rows if isinstance(row, DamagedRecord)]

    def _all(self, query: sa.Select[Any]) -> list[TaskRow | DamagedRecord]:
        with self._database.read() as connection:
            return [_task_or_damage(row) for row in connection.execute(query)]

    def count(self, statuses: Collection[TaskStatus]) -> int:
        """The number of tasks with one of these statuses."""
        query = sa.select(sa.func.count()).select_from(T)
        query = query.where(T.c.status.in_([str(s) for s in statuses]), not_deleted())
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def finished_before(self, when: float) -> list[str]:
        """The ids of the tasks that ended successfully by that time and were not continued."""
        done = (TaskStatus.COMPLETED, TaskStatus.MERGED, TaskStatus.PUSHED)
        query = sa.select(T.c.id).where(T.c.status.in_(done), T.c.ended_at <= when)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(T.c.ended_at)).scalars())

    def without_record(self, ids: Collection[str]) -> set[str]:
        """The ids among these that no task has."""
        if not ids:
            return set()
        with self._database.read() as connection:
            return set(ids) - set(connection.execute(sa.select(T.c.id)).scalars())

    def project_ids(self) -> dict[str, str]:
        """The id of each task's project, by the task's id."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(T.c.id, T.c.project_id))
            return {row.id: row.project_id for row in rows}

    def stranded(self) -> list[tuple[str, int]]:
        """The ids of tasks that wait for their present attempt, with its number, although the
        attempt is missing, is over, or is in an unknown state: no workflow will ever finish it."""
        here = (A.c.task_id == T.c.id) & (A.c.attempt == T.c.attempt)
        waits = T.c.status.in_([str(s) for s in (TaskStatus.NEW, *RUNNING)])
        over = A.c.state.is_(None) | A.c.state.in_(OVER) | A.c.state.not_in(tuple(AttemptState))
        query = sa.select(T.c.id, T.c.attempt).select_from(T.outerjoin(A, here))
        with self._database.read() as connection:
            return [(row.id, row.attempt) for row in connection.execute(query.where(waits, over))]

    # Writing

    def create(
        self, new: NewTask, taken: frozenset[str], prefix: str = "rover"
    ) -> tuple[TaskRow, bool]:
        """Number the task, record it with its first attempt, and say whether it is new. Its branch
        is named below `prefix`, and differs from those that are `taken`.

        If a task of the project has this `request_key` already, that task is returned and nothing
        is written.
        """
        rows, is_new = self.create_all([new], taken, prefix)
        return rows[0], is_new

    def create_all(
        self, several: Sequence[NewTask], taken: frozenset[str], prefix: str = "rover"
    ) -> tuple[list[TaskRow], bool]:
        """The same for tasks of one project, all of them or none. The first may have a request
        key."""
        first = several[0]
        try:
            with self._database.write() as connection:
                rows = [self._insert(connection, new, taken, prefix) for new in several]
        except IntegrityError:
            # Two calls with the same key can both find no task before they write. The unique
            # constraint lets one of them through.
            existing = self.by_request(first.project_id, first.request_key or "")
            if existing is None:
                raise
            return [existing], False
        self._database.on_event()
        return rows, True

    def _insert(
        self, connection: sa.Connection, new: NewTask, taken: frozenset[str], prefix: str
    ) -> TaskRow:
        number = self._projects.next_number(connection, new.project_id)
        now = self._database.now()
        connection.execute(
            T.insert().values(
                **{k: to_json(v) for k, v in vars(new).items()},
                number=number,
                branch=branch_name(number, new.title, taken, prefix),
                status=TaskStatus.NEW,
                iteration=1,
                attempt=1,
                auto_retries=0,
                created_at=now,
                updated_at=now,
            )
        )
        stacked = new.links is not None and bool(new.links.after)
        first = AttemptState.STACKED if stacked else AttemptState.QUEUED
        insert_attempt(connection, now, new.id, 1, 1, first, new.client_id)
        insert_event(connection, now, new.id, "task.created", TaskStatus.NEW, {}, notable=False)
        return task_row(connection.execute(sa.select(T).where(T.c.id == new.id)).one())

    def update(self, task_id: str, **columns: Any) -> None:
        """Set columns other than the status."""
        values = {k: to_json(v) for k, v in columns.items()} | {"updated_at": self._database.now()}
        with self._database.write() as connection:
            connection.execute(T.update().where(T.c.id == task_id).values(**values))

    def delete(self, task_id: str) -> None:
        """Delete a task that ended, with its attempts. Its events and its usage stay."""
        with self._database.write() as connection:
            row = connection.execute(locked_task(task_id)).one_or_none()
            if row is None or row.status not in ENDED:
                return
            t = store_tables
            for table in (A, t.acknowledgements, t.reports, t.deletions, t.seen):
                connection.execute(table.delete().where(table.c.task_id == task_id))
            connection.execute(T.delete().where(T.c.id == task_id))
            status, now = TaskStatus(row.status), self._database.now()
            insert_event(connection, now, task_id, DELETED, status, {}, notable=False)
        self._database.on_event()

    def delete_damaged(self, task: DamagedTask) -> None:
        """Delete a task whose record, or that of one of its attempts, cannot be read, in any
        status. Its events and its usage stay."""
        with self._database.write() as connection:
            acknowledged = store_tables.acknowledgements.c.task_id
            for column in (
                A.c.task_id,
                acknowledged,
                store_tables.deletions.c.task_id,
                store_tables.seen.c.task_id,
                T.c.id,
            ):
                connection.execute(column.table.delete().where(stored_as(column, task.key)))
            if task.id is not None:
                now, gone = self._database.now(), TaskStatus.CANCELLED
                insert_event(connection, now, task.id, DELETED, gone, {}, notable=False)
        self._database.on_event()


def _only(query: sa.Select[Any], project_id: str | None, owner: str | None) -> sa.Select[Any]:
    if project_id is not None:
        query = query.where(T.c.project_id == project_id)
    return query if owner is None else query.where(T.c.owner == owner)


def _task_or_damage(row: sa.Row[Any]) -> TaskRow | DamagedRecord:
    try:
        return task_row(row)
    except DamagedRecord as damaged:
        return damaged


def stored_as(column: sa.ColumnElement[Any], value: Any) -> sa.ColumnElement[bool]:
    """The condition that a column holds exactly this value, also if it is a text that is not
    UTF-8."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        # The driver decoded bytes that are not UTF-8 to surrogates, which it does not encode again.
        raw = str(value).encode("utf-8", "surrogateescape")
        return sa.cast(column, sa.LargeBinary) == raw
    return column == sa.literal(value)
