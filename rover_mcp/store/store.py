"""Every query and every write of ours. A status changes only through `Store.transition`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from rover_mcp.domain.attempt_state import BY_ITSELF, AttemptState
from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.ids import branch_name
from rover_mcp.domain.task_status import (
    DELETING,
    ENDED,
    RUNNING,
    Event,
    TaskStatus,
    advance,
    sources,
)
from rover_mcp.store import schema
from rover_mcp.store.account_holds import Reported, Waits
from rover_mcp.store.awaits import Awaits
from rover_mcp.store.base import (
    WHO,
    A,
    T,
    attempt_at,
    lock_task,
    locked,
    locked_hold,
    next_workflow,
    to_json,
    what_it_was,
)
from rover_mcp.store.damage import sound_one
from rover_mcp.store.events import has_event, insert_event, insert_for
from rover_mcp.store.glanced import glanced
from rover_mcp.store.migrations import checkpoint
from rover_mcp.store.reads import attempt_query, switched_off
from rover_mcp.store.records import (
    RESTART,
    AttemptRow,
    DamagedTask,
    HoldRow,
    Limit,
    NewTask,
    ProjectRow,
    ReportRow,
    TaskRow,
    attempt_row,
    project_row,
    task_row,
)

MOST_NUMBER = 999_999_998
NOTABLE = frozenset({Event.PAUSE, Event.RESUME, Event.COMPLETE, Event.FAIL, Event.CANCEL})


@dataclass(frozen=True)
class Closing:
    """A refusal: what it makes of the hold of `limit`, its key. `waits`: the task's next attempt
    waits for the end of `waits_for`, by default the same, and has no time of its own. With a
    `report` it is only held where `confirmed` says so of what else is known; else it is closed to
    this task alone."""

    limit: str
    refused: Callable[[HoldRow | None], HoldRow]
    waits: bool
    waits_for: str | None = None
    report: ReportRow | None = None
    confirmed: Callable[[Reported], bool] = lambda _: True


class Store(Awaits, Waits):
    """Guarded writes and reads over one database. Safe to use from many threads.

    `on_event` is called, from the writing thread, after each transaction that wrote events.
    """

    def checkpoint(self) -> None:
        """Make the database's file a whole copy of what it holds."""
        checkpoint(str(self._engine.url))

    def glanced(self) -> dict[str, Any]:
        """See glanced.py."""
        return glanced(self._reader)

    # Projects

    def project(self, project_id: str, path: str) -> ProjectRow:
        """The project of the repository at `path`, made if it is new. A record of it that is
        damaged is set right: all that it says follows from the two."""
        projects = schema.projects
        with self._engine.begin() as connection:
            connection.execute(
                insert_for(connection, projects)
                .values(id=project_id, path=path, next_number=1, created_at=self._now())
                .on_conflict_do_nothing()
            )
            query = sa.select(projects).where(projects.c.path == path)
            found = sound_one(connection.execute(query).one_or_none(), project_row)
            if found is not None and not self._is_lost(connection, found, project_id):
                return found
            broken = (projects.c.path == path) | (projects.c.id == project_id)
            connection.execute(projects.update().where(broken).values(id=project_id, path=path))
            return project_row(connection.execute(query).one())

    def _is_lost(self, connection: sa.Connection, found: ProjectRow, project_id: str) -> bool:
        """Whether the record names an id that no task has, while tasks have the right one."""
        query = sa.select(T.c.project_id).where(T.c.project_id.in_([found.id, project_id]))
        return set(connection.execute(query.distinct()).scalars()) == {project_id} != {found.id}

    def move_project(self, project_id: str, path: str) -> None:
        """The repository of a project, and of all its tasks, is at another path now."""
        projects = schema.projects
        with self._engine.begin() as connection:
            connection.execute(
                projects.update().where(projects.c.id == project_id).values(path=path)
            )
            connection.execute(
                T.update().where(T.c.project_id == project_id).values(project_path=path)
            )

    def forget_project(self, project_id: str, path: str) -> bool:
        """Remove a project's record and its switch. False, and nothing is done, where a task of it
        has been made meanwhile."""
        projects, switches = schema.projects, schema.switches
        here = (projects.c.id == project_id) | (projects.c.path == path)
        with self._engine.begin() as connection:
            connection.execute(sa.select(projects.c.id).where(here).with_for_update())
            own = (T.c.project_id == project_id) | (T.c.project_path == path)
            if connection.execute(sa.select(T.c.id).where(own).limit(1)).first() is not None:
                return False
            connection.execute(switches.delete().where(switches.c.scope == project_id))
            connection.execute(projects.delete().where(here))
        return True

    # Tasks

    def create_task(
        self, new: NewTask, taken: frozenset[str], prefix: str = "rover"
    ) -> tuple[TaskRow, bool]:
        """Number the task, record it with its first attempt, and say whether it is new. Its branch
        is named below `prefix`, and differs from those that are `taken`.

        With a `request_key` that the project has seen, the task of that key comes back and
        nothing is written.
        """
        try:
            with self._engine.begin() as connection:
                row = self._insert_task(connection, new, taken, prefix)
        except IntegrityError:
            existing = self.task_by_request(new.project_id, new.request_key or "")
            if existing is None:
                raise
            return existing, False
        self.on_event()
        return row, True

    def _insert_task(
        self, connection: sa.Connection, new: NewTask, taken: frozenset[str], prefix: str
    ) -> TaskRow:
        number, now = self._next_number(connection, new.project_id), self._now()
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
        self._insert_attempt(connection, new.id, 1, 1, AttemptState.QUEUED, new.client_id)
        insert_event(
            connection, self._now(), new.id, "task.created", TaskStatus.NEW, {}, notable=False
        )
        return task_row(connection.execute(sa.select(T).where(T.c.id == new.id)).one())

    def _next_number(self, connection: sa.Connection, project_id: str) -> int:
        """A number that no task of the project has, whatever the project's record says."""
        projects = schema.projects
        here = projects.c.id == project_id
        query = sa.select(projects.c.next_number).where(here).with_for_update()
        found = connection.execute(query).one_or_none()
        if found is None:
            raise Conflict(
                "the project has just been forgotten, and nothing is made of this call",
                hint="call again",
                code="project_forgotten",
            )
        number = found.next_number
        highest = sa.select(sa.func.max(T.c.number)).where(
            T.c.project_id == project_id, T.c.number.between(1, MOST_NUMBER)
        )
        last: int = connection.execute(highest).scalar() or 0
        sound = isinstance(number, int) and last < number <= MOST_NUMBER
        number = number if sound else last + 1
        connection.execute(projects.update().where(here).values(next_number=number + 1))
        return number

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
        awaits: bool = False,
        closes: Closing | None = None,
        data: dict[str, Any] | None = None,
        **columns: Any,
    ) -> TaskRow | None:
        """Apply `event` if the task is in one of `expected` (default: wherever the table allows
        it), still at `attempt` if that is given, and with `unstarted` only while that attempt is
        queued. None says that the race was lost.

        The event row goes into the same transaction, and so does, with `schedule`, the attempt
        that is to go on by itself, unless that is switched off; with `awaits` it waits for a
        credential. `closes` holds an account.
        """
        told = dict(data or {})
        with self._engine.begin() as connection:
            locked_holds = self._lock_holds(connection, closes)
            row = connection.execute(locked(task_id)).one_or_none()
            if row is None or row.status not in _allowed(event, expected):
                return None
            task_row(row)
            if not self._is_at(connection, row, attempt, unstarted=unstarted):
                return None
            if (schedule or awaits) and (
                switched_off(connection, row.auto_resume, row.project_id) is not None
            ):
                schedule, awaits, columns["retry_at"] = False, False, None
            until = self._close(connection, locked_holds, closes) if closes else None
            if schedule and until is not None:
                columns |= {"retry_at": until, "account": _waits_for(closes)}
                told["retry_at"] = datetime.fromtimestamp(until, UTC).isoformat()
            self._apply(connection, row, event, columns, told)
            if schedule:
                self._add_attempt(
                    connection, row, AttemptState.SCHEDULED if until is None else AttemptState.HELD
                )
            elif awaits:
                self._add_attempt(connection, row, AttemptState.AWAITING)
            after = task_row(connection.execute(locked(task_id)).one())
        self.on_event()
        return after

    def _apply(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        event: Event,
        columns: dict[str, Any],
        told: dict[str, Any],
    ) -> None:
        """Write the status after `event`, and the event. Leaving PAUSED clears what belongs to
        the pause, and any ending clears the error unless it brings one (H2)."""
        target = advance(TaskStatus(row.status), event)
        values = self._columns_after(target, columns)
        connection.execute(T.update().where(T.c.id == row.id).values(**values))
        notable = event in NOTABLE
        insert_event(connection, self._now(), row.id, event, target, told, notable=notable)
        if target is TaskStatus.PAUSED or event is Event.CANCEL:
            self._end_waiting_attempts(connection, row.id)

    def _lock_holds(
        self, connection: sa.Connection, closes: Closing | None
    ) -> Mapping[str, HoldRow | None]:
        """The holds that a refusal concerns, by their keys."""
        if closes is None:
            return {}
        keys = sorted({closes.limit, _waits_for(closes)})
        return {key: locked_hold(connection, key) for key in keys}

    def _close(
        self, connection: sa.Connection, holds: Mapping[str, HoldRow | None], closes: Closing
    ) -> float | None:
        """Hold what is refused, if it is to be; until when the next attempt waits, if it does."""
        if closes.report and not closes.confirmed(self._report(connection, closes.report)):
            return None
        until = self._close_account(connection, holds[closes.limit], closes.refused).until
        if not closes.waits:
            return None
        if _waits_for(closes) == closes.limit:
            return until
        # One that has ended meanwhile lets it go at once.
        other = holds[_waits_for(closes)]
        return other.until if other is not None else self._now()

    def _is_at(
        self, connection: sa.Connection, row: sa.Row[Any], attempt: int | None, *, unstarted: bool
    ) -> bool:
        """Whether the task is at `attempt`, if one is given, and with `unstarted` it is queued."""
        if attempt is not None and row.attempt != attempt:
            return False
        if not unstarted:
            return True
        made = attempt_at(connection, row.id, row.attempt)
        return made is not None and made.state == AttemptState.QUEUED

    def update_task(self, task_id: str, **columns: Any) -> None:
        """Set columns that are not the status."""
        values = {k: to_json(v) for k, v in columns.items()} | {"updated_at": self._now()}
        with self._engine.begin() as connection:
            connection.execute(T.update().where(T.c.id == task_id).values(**values))

    def resume(
        self, task_id: str, client_id: str | None, *, restart: bool = False, **columns: Any
    ) -> tuple[TaskRow, AttemptRow] | None:
        """PAUSED, FAILED or CANCELLED -> running, with a new attempt that is queued; with `restart`
        only FAILED, and the attempt starts over. One caller wins (J1) and its `columns` are set;
        None for the others, and where the task's deletion has begun."""
        values = {k: to_json(v) for k, v in columns.items()}
        with self._engine.begin() as connection:
            row = connection.execute(locked(task_id)).one_or_none()
            if row is None or row.status not in sources(Event.RESTART if restart else Event.RESUME):
                return None
            if row.status == TaskStatus.CANCELLED and has_event(connection, task_id, DELETING):
                return None
            attempt = self._queue_now(connection, row, client_id)
            self._go_on(connection, row, attempt, automatic=False, restart=restart)
            # A person may have corrected what was refused where nobody sees it.
            values["refused_keys"] = None
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            if restart:
                here = (A.c.task_id == task_id) & (A.c.attempt == attempt)
                connection.execute(A.update().where(here).values(detail=RESTART))
            task = task_row(connection.execute(locked(task_id)).one())
            made = attempt_row(connection.execute(attempt_query(task_id, attempt)).one())
        self.on_event()
        return task, made

    def undo_resume(
        self,
        task_id: str,
        attempt: int,
        error: str,
        hint: str | None,
        retry_at: float | None = None,
    ) -> bool:
        """Give a task back what it was before a resume whose start failed (I4). With `retry_at`
        another attempt is scheduled: a time that nothing keeps is not promised. Where somebody else
        was to take over, it waits for its own account as it did, and no retry was used up."""
        limit = self._limit_before(task_id, attempt)
        with self._engine.begin() as connection:
            hold = locked_hold(connection, limit)
            task = lock_task(connection, task_id)
            made = attempt_at(connection, task_id, attempt)
            if task is None or made is None or made.before is None:
                return False
            if task.attempt != attempt or task.status not in RUNNING:
                return False
            took_over = _took_over(task, made.before)
            held = hold is not None and took_over and retry_at is not None
            retry_at = hold.until if hold is not None and held else retry_at
            given_back = {n: v for n, v in made.before.items() if took_over or n not in _OF_OTHERS}
            values = {**given_back, "retry_at": retry_at, "updated_at": self._now()}
            pause: dict[str, Any] | None = made.before.get("pause")
            if pause is not None and not took_over:
                # What hindered the start does not end when the provider said: the next one counts.
                values["pause"] = {**pause, "uses_try": True}
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            if retry_at is not None:
                self._add_attempt(
                    connection, task, AttemptState.HELD if held else AttemptState.SCHEDULED
                )
            data = {"error": error, "hint": hint, "retry_at": retry_at}
            status = TaskStatus(made.before["status"])
            insert_event(
                connection, self._now(), task_id, "task.resume_failed", status, data, notable=True
            )
        self.on_event()
        return True

    def _limit_before(self, task_id: str, attempt: int) -> str | None:
        """The key of what a task used or waited for before an attempt."""
        made = self.attempt(task_id, attempt)
        before: dict[str, Any] = (made.before if made else None) or {}
        pause: dict[str, Any] = before.get("pause") or {}
        account: str | None = before.get("account")
        if account is not None and pause.get("account") == account:
            return str(Limit(account, pause.get("model")))
        return account

    # Attempts

    def _queue_now(self, connection: sa.Connection, row: sa.Row[Any], client_id: str | None) -> int:
        """The attempt that waits for its time, if there is one, else a new one. A workflow id
        of its own keeps the workflow that waits from taking it too."""
        waiting = (A.c.task_id == row.id) & A.c.state.in_(BY_ITSELF)
        made = connection.execute(sa.select(A).where(waiting)).first()
        values: dict[str, Any] = {"client_id": client_id, "before": what_it_was(row)}
        if made is None:
            return self._add_attempt(connection, row, AttemptState.QUEUED, **values)
        values |= {"state": AttemptState.QUEUED, "workflow_id": next_workflow(made.workflow_id)}
        connection.execute(A.update().where(waiting).values(**values))
        return made.attempt

    def delete_task(self, task_id: str) -> None:
        """Forget a task that ended, with its attempts. Its events and what it spent stay."""
        tables = (A, schema.acknowledgements, schema.reports)
        with self._engine.begin() as connection:
            row = connection.execute(locked(task_id)).one_or_none()
            if row is None or row.status not in ENDED:
                return
            for table in tables:
                connection.execute(table.delete().where(table.c.task_id == task_id))
            connection.execute(T.delete().where(T.c.id == task_id))
            status = TaskStatus(row.status)
            insert_event(
                connection, self._now(), task_id, "task.deleted", status, {}, notable=False
            )
        self.on_event()

    def delete_damaged(self, task: DamagedTask) -> None:
        """Forget a task whose record, or that of an attempt of it, cannot be read: whatever its
        status is. Its events and what it spent stay."""
        with self._engine.begin() as connection:
            for column in (A.c.task_id, schema.acknowledgements.c.task_id, T.c.id):
                connection.execute(column.table.delete().where(stored_as(column, task.key)))
            if task.id is not None:
                gone = TaskStatus.CANCELLED
                insert_event(
                    connection, self._now(), task.id, "task.deleted", gone, {}, notable=False
                )
        self.on_event()

    # Writing events

    def add_event(
        self, task_id: str, kind: str, data: dict[str, Any], *, notable: bool = False
    ) -> None:
        """Record news that changes no status (a step began, a step ended, a warning)."""
        with self._engine.begin() as connection:
            status = connection.execute(sa.select(T.c.status).where(T.c.id == task_id)).scalar()
            if status is not None:
                insert_event(
                    connection, self._now(), task_id, kind, TaskStatus(status), data,
                    notable=notable,
                )  # fmt: skip
        self.on_event()


_OF_OTHERS = frozenset({*WHO, "auto_retries"})


def _waits_for(closes: Closing | None) -> str:
    """The key of what the task's next attempt waits for."""
    return (closes.waits_for or closes.limit) if closes else ""


def _took_over(task: sa.Row[Any], before: Mapping[str, Any]) -> bool:
    """Whether another agent, model or account was to continue a task than before."""
    account = before.get("account")
    if before.get("agent") is None or (account is None and before["agent"] == task.agent):
        return False
    others = any(before.get(name) != getattr(task, name) for name in WHO if name != "account")
    return others or Limit.of(account or "").account != task.account


def stored_as(column: sa.ColumnElement[Any], value: Any) -> sa.ColumnElement[bool]:
    """That a column holds exactly this, also where it is a text that is not UTF-8."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        raw = str(value).encode("utf-8", "surrogateescape")
        return sa.cast(column, sa.LargeBinary) == raw
    return column == sa.literal(value)


def _allowed(event: Event, expected: Collection[TaskStatus] | None) -> frozenset[TaskStatus]:
    return sources(event) if expected is None else frozenset(expected) & sources(event)
