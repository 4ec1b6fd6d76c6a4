"""What the store's writing halves share: rows that go on, wait, or end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from pydantic import BaseModel

from rover_mcp.domain.attempt_state import WAITING, AttemptState
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.task_status import RUNNING, Event, TaskStatus, advance
from rover_mcp.store import schema
from rover_mcp.store.damage import sound_one
from rover_mcp.store.deliveries import Deliveries
from rover_mcp.store.events import EventLog, insert_event
from rover_mcp.store.executors import Executors
from rover_mcp.store.reads import Reads, attempt_query
from rover_mcp.store.records import HoldRow, attempt_row, hold_row, task_row
from rover_mcp.store.spending import Books
from rover_mcp.store.windows import Windows

T = schema.tasks
A = schema.attempts
H = schema.holds

WHO: Final = ("agent", "agent_binary", "agents", "model", "account")
"""Columns that say who does the work."""

MOST_ATTEMPTS: Final = 999_999_998


class Writes(Reads):
    """Locks are taken in one order, so that nobody waits in a circle: the hold, the task, its
    attempts. SQLite's writers queue anyway."""

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
        self.executors = Executors(engine, now)
        self.books = Books(engine)
        self.windows = Windows(engine)
        self.on_event = on_event

    def deliveries(self, executor: str) -> Deliveries:
        """What the hooks of one daemon have to be told."""
        return Deliveries(self._engine, executor, self._now)

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
        return values | {k: to_json(v) for k, v in columns.items()}

    def _end_waiting_attempts(self, connection: sa.Connection, task_id: str) -> None:
        """An attempt that has not begun will not: its workflow finds that when it fires."""
        connection.execute(
            A.update()
            .where(A.c.task_id == task_id, A.c.state.in_(WAITING))
            .values(state=AttemptState.SUPERSEDED, ended_at=self._now())
        )

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

    def _add_attempt(
        self, connection: sa.Connection, row: sa.Row[Any], state: str, **values: Any
    ) -> int:
        """A further attempt of the task's iteration; its number."""
        last = sa.select(sa.func.max(A.c.attempt)).where(A.c.task_id == row.id)
        found = connection.execute(last.where(A.c.attempt.between(1, MOST_ATTEMPTS))).scalar()
        # The row's own number counts where the attempts' rows are lost.
        number = max(found or 0, row.attempt) + 1
        self._insert_attempt(connection, row.id, row.iteration, number, state, **values)
        return number

    def _go_on(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        attempt: int,
        *,
        automatic: bool,
        restart: bool = False,
    ) -> None:
        event = Event.RESUME if row.iteration == 1 else Event.RESUME_ITERATION
        event = Event.RESTART if restart else event
        target = advance(TaskStatus(row.status), event)
        retries = 0
        if automatic:
            # What only waited for an account and never ran tries for the first time (K4). Nor does
            # a resume count that comes when the provider said (Q3).
            pause: dict[str, Any] = row.pause or {}
            is_a_try = row.started_at is not None and pause.get("uses_try") is not False
            retries = row.auto_retries + is_a_try
        started = row.started_at if row.started_at is not None else self._now()
        columns = {"attempt": attempt, "auto_retries": retries, "started_at": started}
        values = self._columns_after(target, columns)
        connection.execute(T.update().where(T.c.id == row.id).values(**values))
        data = {"automatic": automatic, "attempt": attempt}
        insert_event(connection, self._now(), row.id, event, target, data, notable=automatic)


def locked(task_id: str) -> sa.Select[Any]:
    """A task that nobody else changes until the transaction ends."""
    return sa.select(T).where(T.c.id == task_id).with_for_update()


def lock_task(connection: sa.Connection, task_id: str) -> sa.Row[Any] | None:
    """The task's row, if there is one, which nobody else changes until the end.

    Raises:
        DamagedRecord: it cannot be read, so nothing is made of it.
    """
    row = connection.execute(locked(task_id)).one_or_none()
    if row is not None:
        task_row(row)
    return row


def the_task(connection: sa.Connection, task_id: str) -> sa.Row[Any]:
    """As lock_task, of a task that there is.

    Raises:
        DamagedRecord: it cannot be read.
        EnvironmentFault: it is gone.
    """
    row = lock_task(connection, task_id)
    if row is None:
        raise EnvironmentFault(f"task {task_id} is gone from the store")
    return row


def attempt_at(connection: sa.Connection, task_id: str, attempt: int) -> sa.Row[Any] | None:
    """An attempt's row, if there is one.

    Raises:
        DamagedRecord: it cannot be read.
    """
    row = connection.execute(attempt_query(task_id, attempt)).one_or_none()
    if row is not None:
        attempt_row(row)
    return row


def locked_hold(connection: sa.Connection, account: str | None) -> HoldRow | None:
    """The account's hold, if there is one, which nobody else changes until the end. One that is
    damaged holds nobody: the account is asked again, and a refusal writes it anew."""
    if account is None:
        return None
    query = sa.select(H).where(H.c.account == account).with_for_update()
    return sound_one(connection.execute(query).one_or_none(), hold_row)


def what_it_was(row: sa.Row[Any]) -> dict[str, Any]:
    """What a failed start gives back (I4)."""
    names = ("status", "pause", "paused_at", "ended_at", "error", "retry_at")
    return {name: getattr(row, name) for name in (*names, *WHO, "auto_retries")}


def next_workflow(workflow_id: str) -> str:
    """Another id for an attempt that waited: the workflow that had it does not take it too."""
    found = re.fullmatch(r"(.*)-now(\d*)", workflow_id)
    return f"{found[1]}-now{int(found[2] or 1) + 1}" if found else f"{workflow_id}-now"


def to_json(value: Any) -> Any:
    """Models go into JSON columns as plain data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value
