"""Queries and changes of rows that several parts of the store make within their transactions."""

from __future__ import annotations

import re
from typing import Any, Final

import sqlalchemy as sa
from pydantic import BaseModel

from rover_mcp.domain.attempt_state import WAITING, AttemptState
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.task_status import RUNNING, Event, TaskStatus, advance
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import sound_one
from rover_mcp.store.events import insert_event
from rover_mcp.store.record_reading import attempt_row, hold_row, task_row
from rover_mcp.store.records import HoldRow

T = store_tables.tasks
A = store_tables.attempts
H = store_tables.holds

WHO: Final = ("agent", "agent_binary", "agents", "model", "account")
"""Columns that say which agent does the work, and on which account."""

MAX_ATTEMPTS: Final = 999_999_998


def locked_task(task_id: str) -> sa.Select[Any]:
    """The query for a task's row that locks it until the transaction ends."""
    return sa.select(T).where(T.c.id == task_id).with_for_update()


def lock_live_task(connection: sa.Connection, task_id: str) -> sa.Row[Any] | None:
    """The task's row, if there is one and it was not deleted, locked until the transaction ends.
    The trash is looked at behind the lock: whoever deletes the task has held it before."""
    row = connection.execute(locked_task(task_id)).one_or_none()
    deletions = store_tables.deletions
    query = sa.select(deletions.c.task_id).where(deletions.c.task_id == task_id)
    return row if row is not None and connection.execute(query).first() is None else None


def lock_task(connection: sa.Connection, task_id: str) -> sa.Row[Any] | None:
    """The task's row, if there is one, locked until the transaction ends.

    Raises:
        DamagedRecord: it cannot be read, so nothing may be decided by it.
    """
    row = connection.execute(locked_task(task_id)).one_or_none()
    if row is not None:
        task_row(row)
    return row


def lock_existing_task(connection: sa.Connection, task_id: str) -> sa.Row[Any]:
    """The row of a task that has to exist, locked until the transaction ends.

    Raises:
        DamagedRecord: it cannot be read.
        EnvironmentFault: the task is gone.
    """
    row = lock_task(connection, task_id)
    if row is None:
        raise EnvironmentFault(f"task {task_id} is gone from the store")
    return row


def this_attempt(task_id: str, attempt: int) -> sa.ColumnElement[bool]:
    """The condition that selects the row of this attempt."""
    return (A.c.task_id == task_id) & (A.c.attempt == attempt)


def attempt_at(connection: sa.Connection, task_id: str, attempt: int) -> sa.Row[Any] | None:
    """An attempt's row, if there is one.

    Raises:
        DamagedRecord: it cannot be read.
    """
    query = sa.select(A).where(this_attempt(task_id, attempt))
    row = connection.execute(query).one_or_none()
    if row is not None:
        attempt_row(row)
    return row


def locked_hold(connection: sa.Connection, account: str | None) -> HoldRow | None:
    """The account's hold, if there is one, locked until the transaction ends. A damaged hold does
    not count: the account is asked again, and a refusal replaces the record."""
    if account is None:
        return None
    query = sa.select(H).where(H.c.account == account).with_for_update()
    return sound_one(connection.execute(query).one_or_none(), hold_row)


def columns_after(now: float, target: TaskStatus, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns of a task whose status becomes `target`. Leaving PAUSED clears what belongs to
    the pause, and every change clears the error, unless `columns` sets them."""
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


def end_waiting_attempts(connection: sa.Connection, now: float, task_id: str) -> None:
    """Supersede the attempts that have not begun. Their workflows find that when their time
    comes."""
    connection.execute(
        A.update()
        .where(A.c.task_id == task_id, A.c.state.in_(WAITING))
        .values(state=AttemptState.SUPERSEDED, ended_at=now)
    )


def cancel_paused(connection: sa.Connection, now: float, task: sa.Row[Any]) -> None:
    """Cancel a paused task, whose row is locked, and record the event."""
    target = advance(TaskStatus(task.status), Event.CANCEL)
    values = columns_after(now, target, {})
    connection.execute(T.update().where(T.c.id == task.id).values(**values))
    insert_event(connection, now, task.id, Event.CANCEL, target, {}, notable=False)
    end_waiting_attempts(connection, now, task.id)


def has_waiting_attempt(connection: sa.Connection, task_id: str) -> bool:
    """Whether an attempt of the task has not begun."""
    query = sa.select(A.c.attempt).where(A.c.task_id == task_id, A.c.state.in_(WAITING))
    return connection.execute(query).first() is not None


def insert_attempt(
    connection: sa.Connection,
    now: float,
    task_id: str,
    iteration: int,
    attempt: int,
    state: AttemptState,
    client_id: str | None = None,
    before: dict[str, Any] | None = None,
) -> None:
    """Record an attempt that has not begun."""
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
            created_at=now,
        )
    )


def add_attempt(
    connection: sa.Connection,
    now: float,
    task: sa.Row[Any],
    state: AttemptState,
    iteration: int | None = None,
    **values: Any,
) -> int:
    """Record a further attempt of the task's iteration, or of the one given; its number."""
    last = sa.select(sa.func.max(A.c.attempt)).where(A.c.task_id == task.id)
    highest = connection.execute(last.where(A.c.attempt.between(1, MAX_ATTEMPTS))).scalar()
    # Rows of attempts can get lost, and a number that was used before would find old sandboxes.
    number = max(highest or 0, task.attempt) + 1
    insert_attempt(connection, now, task.id, iteration or task.iteration, number, state, **values)
    return number


def resume_task_row(
    connection: sa.Connection,
    now: float,
    task: sa.Row[Any],
    attempt: int,
    *,
    automatic: bool,
    restart: bool = False,
) -> None:
    """Set the task running in `attempt`, and record the event. Counts an automatic retry."""
    event = Event.RESUME if task.iteration == 1 else Event.RESUME_ITERATION
    event = Event.RESTART if restart else event
    target = advance(TaskStatus(task.status), event)
    retries = 0
    if automatic:
        # A task that has only waited for its account tries for the first time, which uses up no
        # retry. Neither does a resume at a time that the provider named.
        pause: dict[str, Any] = task.pause or {}
        is_a_try = task.started_at is not None and pause.get("uses_try") is not False
        retries = task.auto_retries + is_a_try
    started = task.started_at if task.started_at is not None else now
    columns = {"attempt": attempt, "auto_retries": retries, "started_at": started}
    values = columns_after(now, target, columns)
    connection.execute(T.update().where(T.c.id == task.id).values(**values))
    data = {"automatic": automatic, "attempt": attempt}
    insert_event(connection, now, task.id, event, target, data, notable=automatic)


def before_resume(task: sa.Row[Any]) -> dict[str, Any]:
    """The columns of a task that a resume changes. A start that fails restores them."""
    names = ("status", "pause", "paused_at", "ended_at", "error", "retry_at")
    return {name: getattr(task, name) for name in (*names, *WHO, "auto_retries")}


def before_iteration(task: sa.Row[Any]) -> dict[str, Any]:
    """The columns of a task that a further iteration changes. A start that fails restores them."""
    names = ("iteration", "iteration_input", "run_state")
    return before_resume(task) | {name: getattr(task, name) for name in names}


def next_workflow(workflow_id: str) -> str:
    """Another workflow id for an attempt that waited. The workflow that had the attempt can then
    not take it, too, and DBOS runs the new one: it never runs a workflow of one id twice."""
    match = re.fullmatch(r"(.*)-now(\d*)", workflow_id)
    return f"{match[1]}-now{int(match[2] or 1) + 1}" if match else f"{workflow_id}-now"


def to_json(value: Any) -> Any:
    """A value in the form for a JSON column: models become plain data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value
