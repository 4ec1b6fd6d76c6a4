"""Every query and every write of ours. A status changes only through `Store.transition`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from agent_runner.models import Pause, RunState
from rover_mcp.store import schema
from rover_mcp.store.events import EventLog, insert_event, insert_for
from rover_mcp.store.reads import Reads, attempt_query
from rover_mcp.store.rows import (
    AttemptRow,
    NewTask,
    ProjectRow,
    TaskRow,
    attempt_row,
    task_row,
)
from rover_mcp.tasks.identifiers import branch_name, sandbox_name
from rover_mcp.tasks.models import TaskStatus
from rover_mcp.tasks.transitions import RUNNING, Event, advance, sources

T = schema.tasks
A = schema.attempts

NOTABLE = frozenset({Event.PAUSE, Event.RESUME, Event.COMPLETE, Event.FAIL, Event.CANCEL})


class Store(Reads):
    """Guarded writes and reads over one database. Safe to use from many threads.

    `on_event` is called, from the writing thread, after each transaction that wrote events.
    """

    def __init__(
        self,
        engine: sa.Engine,
        now: Callable[[], float] = time.time,
        on_event: Callable[[], object] = lambda: None,
    ) -> None:
        self._engine = engine
        super().__init__(engine)
        self._now = now
        self.events = EventLog(engine)
        self.on_event = on_event

    # Projects

    def project(self, project_id: str, path: str) -> ProjectRow:
        """The project of the repository at `path`, made if it is new."""
        projects = schema.projects
        with self._engine.begin() as connection:
            connection.execute(
                insert_for(connection, projects)
                .values(id=project_id, path=path, next_number=1, created_at=self._now())
                .on_conflict_do_nothing(index_elements=[projects.c.path])
            )
            query = sa.select(projects).where(projects.c.path == path)
            found = connection.execute(query).one()
        return ProjectRow(found.id, found.path)

    # Tasks

    def create_task(self, new: NewTask, taken: frozenset[str]) -> tuple[TaskRow, bool]:
        """Number the task, record it with its first attempt, and say whether it is new.

        With a `request_key` that the project has seen, the task of that key comes back and
        nothing is written.
        """
        try:
            with self._engine.begin() as connection:
                row = self._insert_task(connection, new, taken)
        except IntegrityError:
            existing = self.task_by_request(new.project_id, new.request_key or "")
            if existing is None:
                raise
            return existing, False
        self.on_event()
        return row, True

    def _insert_task(
        self, connection: sa.Connection, new: NewTask, taken: frozenset[str]
    ) -> TaskRow:
        projects = schema.projects
        number: int = connection.execute(
            projects.update()
            .where(projects.c.id == new.project_id)
            .values(next_number=projects.c.next_number + 1)
            .returning(projects.c.next_number)
        ).scalar_one()
        number -= 1
        now = self._now()
        connection.execute(
            T.insert().values(
                **vars(new),
                number=number,
                branch=branch_name(number, new.title, taken),
                status=TaskStatus.NEW,
                iteration=1,
                attempt=1,
                auto_retries=0,
                created_at=now,
                updated_at=now,
            )
        )
        self._insert_attempt(connection, new.id, 1, 1, "queued", new.client_id)
        insert_event(
            connection, self._now(), new.id, "task.created", TaskStatus.NEW, {}, notable=False
        )
        return task_row(connection.execute(sa.select(T).where(T.c.id == new.id)).one())

    # Status

    def transition(
        self,
        task_id: str,
        event: Event,
        *,
        expected: Collection[TaskStatus] | None = None,
        attempt: int | None = None,
        unstarted: bool = False,
        schedule: bool = False,
        data: dict[str, Any] | None = None,
        **columns: Any,
    ) -> TaskRow | None:
        """Apply `event` if the task is in one of `expected` (default: wherever the table allows
        it), still at `attempt` if that is given, and with `unstarted` only while that attempt is
        queued. None says that the race was lost.

        The event row goes into the same transaction, and with `schedule` the attempt that is to
        go on by itself. Leaving PAUSED clears what belongs to
        the pause, and any ending clears the error unless it brings one (H2).
        """
        allowed = sources(event) if expected is None else frozenset(expected) & sources(event)
        with self._engine.begin() as connection:
            query = _locked(task_id)
            row = connection.execute(query).one_or_none()
            if row is None or row.status not in allowed:
                return None
            if attempt is not None and row.attempt != attempt:
                return None
            if unstarted and not self._is_queued(connection, row):
                return None
            target = advance(TaskStatus(row.status), event)
            values = self._columns_after(target, columns)
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            notable = event in NOTABLE
            insert_event(
                connection, self._now(), task_id, event, target, data or {}, notable=notable
            )
            if target is TaskStatus.PAUSED or event is Event.CANCEL:
                self._end_waiting_attempts(connection, task_id)
            if schedule:
                number = self._next_attempt(connection, task_id)
                self._insert_attempt(connection, task_id, row.iteration, number, "scheduled")
            after = task_row(connection.execute(query).one())
        self.on_event()
        return after

    def _is_queued(self, connection: sa.Connection, row: sa.Row[Any]) -> bool:
        made = connection.execute(attempt_query(row.id, row.attempt)).one_or_none()
        return made is not None and made.state == "queued"

    def _columns_after(self, target: TaskStatus, columns: dict[str, Any]) -> dict[str, Any]:
        now = self._now()
        values: dict[str, Any] = {"status": target, "updated_at": now, "error": None}
        if target is TaskStatus.PAUSED:
            values["paused_at"] = now
        else:
            values |= {"paused_at": None, "pause": None, "retry_at": None}
        if target in RUNNING:
            values["ended_at"] = None
        elif target is not TaskStatus.PAUSED:
            values["ended_at"] = now
        return values | {k: _plain(v) for k, v in columns.items()}

    def _end_waiting_attempts(self, connection: sa.Connection, task_id: str) -> None:
        """An attempt that has not begun will not: its workflow finds that when it fires."""
        waiting = A.c.state.in_(["queued", "scheduled"])
        connection.execute(
            A.update()
            .where(A.c.task_id == task_id, waiting)
            .values(state="superseded", ended_at=self._now())
        )

    def update_task(self, task_id: str, **columns: Any) -> None:
        """Set columns that are not the status."""
        values = {k: _plain(v) for k, v in columns.items()} | {"updated_at": self._now()}
        with self._engine.begin() as connection:
            connection.execute(T.update().where(T.c.id == task_id).values(**values))

    def resume(self, task_id: str, client_id: str | None) -> tuple[TaskRow, AttemptRow] | None:
        """PAUSED or FAILED -> running, with a new attempt that is queued. One caller wins (J1);
        None for the others."""
        with self._engine.begin() as connection:
            query = _locked(task_id)
            row = connection.execute(query).one_or_none()
            if row is None or row.status not in sources(Event.RESUME):
                return None
            attempt = self._queue_now(connection, row, client_id)
            self._go_on(connection, row, attempt, automatic=False)
            task = task_row(connection.execute(query).one())
            made = attempt_row(connection.execute(attempt_query(task_id, attempt)).one())
        self.on_event()
        return task, made

    def drop_schedule(self, task_id: str) -> None:
        """A paused task no longer goes on by itself."""
        with self._engine.begin() as connection:
            dropped = connection.execute(
                T.update()
                .where(T.c.id == task_id, T.c.status == TaskStatus.PAUSED)
                .values(retry_at=None, updated_at=self._now())
            )
            if dropped.rowcount == 1:
                self._end_waiting_attempts(connection, task_id)

    def undo_resume(
        self,
        task_id: str,
        attempt: int,
        error: str,
        hint: str | None,
        retry_at: float | None = None,
    ) -> bool:
        """Give a task back what it was before a resume whose start failed (I4). With `retry_at`
        another attempt is scheduled: a time that nothing keeps is not promised."""
        with self._engine.begin() as connection:
            task = connection.execute(_locked(task_id)).one()
            made = connection.execute(attempt_query(task_id, attempt)).one()
            if made.before is None or task.attempt != attempt or task.status not in RUNNING:
                return False
            values = {**made.before, "retry_at": retry_at, "updated_at": self._now()}
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            if retry_at is not None:
                number = self._next_attempt(connection, task_id)
                self._insert_attempt(connection, task_id, task.iteration, number, "scheduled")
            data = {"error": error, "hint": hint, "retry_at": retry_at}
            status = TaskStatus(made.before["status"])
            insert_event(
                connection, self._now(), task_id, "task.resume_failed", status, data, notable=True
            )
        self.on_event()
        return True

    # Attempts

    def _insert_attempt(
        self,
        connection: sa.Connection,
        task_id: str,
        iteration: int,
        attempt: int,
        state: str,
        client_id: str | None = None,
        before: dict[str, Any] | None = None,
    ) -> None:
        connection.execute(
            A.insert().values(
                task_id=task_id,
                attempt=attempt,
                iteration=iteration,
                workflow_id=f"attempt-{task_id}-{attempt}",
                state=state,
                sandbox=sandbox_name(task_id, attempt),
                client_id=client_id,
                before=before,
                created_at=self._now(),
            )
        )

    def _next_attempt(self, connection: sa.Connection, task_id: str) -> int:
        last = sa.select(sa.func.max(A.c.attempt)).where(A.c.task_id == task_id)
        return connection.execute(last).scalar_one() + 1

    def _queue_now(self, connection: sa.Connection, row: sa.Row[Any], client_id: str | None) -> int:
        """The attempt that waits for its time, if there is one, else a new one. A workflow id
        of its own keeps the workflow that waits from taking it too."""
        waiting = (A.c.task_id == row.id) & (A.c.state == "scheduled")
        made = connection.execute(sa.select(A).where(waiting)).one_or_none()
        values: dict[str, Any] = {"client_id": client_id, "before": _before(row)}
        if made is None:
            attempt = self._next_attempt(connection, row.id)
            self._insert_attempt(connection, row.id, row.iteration, attempt, "queued", **values)
            return attempt
        values |= {"state": "queued", "workflow_id": f"{made.workflow_id}-now"}
        connection.execute(A.update().where(waiting).values(**values))
        return made.attempt

    def start_attempt(self, task_id: str, attempt: int, workflow_id: str) -> TaskRow | None:
        """Claim an attempt whose turn has come. None: something else has happened to the task
        meanwhile (K6), or another workflow has it. Claiming again what was claimed gives the
        task again."""
        with self._engine.begin() as connection:
            query = _locked(task_id)
            row = connection.execute(query).one()
            made = connection.execute(attempt_query(task_id, attempt)).one_or_none()
            if made is None or made.workflow_id != workflow_id:
                return None
            if made.state not in ("queued", "scheduled", "starting"):
                return None
            if made.state == "starting":
                return task_row(row)
            moved = self._claim(connection, row, made)
            if not moved:
                return None
            task = task_row(connection.execute(query).one())
        self.on_event()
        return task

    def _claim(self, connection: sa.Connection, row: sa.Row[Any], made: sa.Row[Any]) -> bool:
        status, attempt = TaskStatus(row.status), made.attempt
        here = (A.c.task_id == row.id) & (A.c.attempt == attempt)
        if made.state == "scheduled":
            if status is not TaskStatus.PAUSED:
                return False
            connection.execute(A.update().where(here).values(before=_before(row)))
            self._go_on(connection, row, attempt, automatic=True)
        elif status is TaskStatus.NEW:
            values = self._columns_after(TaskStatus.IN_PROGRESS, {"started_at": self._now()})
            connection.execute(T.update().where(T.c.id == row.id).values(**values))
            data = {"attempt": attempt}
            target = TaskStatus.IN_PROGRESS
            insert_event(connection, self._now(), row.id, Event.START, target, data, notable=False)
        elif status not in RUNNING or row.attempt != attempt:
            return False
        connection.execute(A.update().where(here).values(state="starting"))
        return True

    def _go_on(
        self, connection: sa.Connection, row: sa.Row[Any], attempt: int, *, automatic: bool
    ) -> None:
        event = Event.RESUME if row.iteration == 1 else Event.RESUME_ITERATION
        target = advance(TaskStatus(row.status), event)
        retries = row.auto_retries + 1 if automatic else 0
        started = row.started_at if row.started_at is not None else self._now()
        columns = {"attempt": attempt, "auto_retries": retries, "started_at": started}
        values = self._columns_after(target, columns)
        connection.execute(T.update().where(T.c.id == row.id).values(**values))
        data = {"automatic": automatic, "attempt": attempt}
        insert_event(connection, self._now(), row.id, event, target, data, notable=automatic)

    def move_attempt(
        self, task_id: str, attempt: int, expected: Collection[str], **columns: Any
    ) -> bool:
        """Change an attempt that is in one of the `expected` states; False if it is not."""
        with self._engine.begin() as connection:
            done = connection.execute(
                A.update()
                .where(A.c.task_id == task_id, A.c.attempt == attempt, A.c.state.in_(expected))
                .values(**columns)
            )
        return done.rowcount == 1

    # Writing events

    def add_event(self, task_id: str, kind: str, data: dict[str, Any]) -> None:
        """Record news that changes no status (a step began, a step ended, a warning)."""
        with self._engine.begin() as connection:
            status = connection.execute(sa.select(T.c.status).where(T.c.id == task_id)).scalar()
            if status is not None:
                insert_event(
                    connection, self._now(), task_id, kind, TaskStatus(status), data, notable=False
                )
        self.on_event()


def _locked(task_id: str) -> sa.Select[Any]:
    """A task that nobody else changes until the transaction ends. SQLite's writers queue anyway."""
    return sa.select(T).where(T.c.id == task_id).with_for_update()


def _before(row: sa.Row[Any]) -> dict[str, Any]:
    """What a failed start gives back (I4)."""
    names = ("status", "pause", "paused_at", "ended_at", "error", "retry_at")
    return {name: getattr(row, name) for name in names}


def _plain(value: Any) -> Any:
    """Models go into JSON columns as plain data."""
    if isinstance(value, (Pause, RunState)):
        return value.model_dump(mode="json")
    return value
