"""The records of attempts, and which of the waiting ones are enqueued."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from agent_runner.models import PauseReason
from rover_mcp.domain.attempt_state import BY_ITSELF, WAITING, AttemptState
from rover_mcp.domain.obstacles import obstacle_of
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import LATEST
from rover_mcp.store.damaged_records import sound
from rover_mcp.store.database import Database
from rover_mcp.store.record_reading import attempt_row, task_row
from rover_mcp.store.records import AttemptRow, Limit, TaskRow
from rover_mcp.store.resume_switches import switched_off
from rover_mcp.store.row_changes import (
    add_attempt,
    attempt_at,
    end_waiting_attempts,
    has_waiting_attempt,
    lock_task,
    locked_hold,
    next_workflow,
    this_attempt,
    to_json,
)

T = store_tables.tasks
A = store_tables.attempts


class AttemptStore:
    """Reads and writes the records of attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Reading

    def get(self, task_id: str, attempt: int) -> AttemptRow | None:
        """One attempt of a task.

        Raises:
            DamagedRecord: its record cannot be read.
        """
        query = sa.select(A).where(this_attempt(task_id, attempt))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return attempt_row(row) if row is not None else None

    def seconds_at_work(self, task_id: str) -> float:
        """How long the task's sandboxes have run until now, all attempts together."""
        query = sa.select(A.c.started_at, A.c.ended_at)
        query = query.where(A.c.task_id == task_id, A.c.started_at.between(0, LATEST))
        now = self._database.now()
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return sum(max(0.0, (row.ended_at or now) - row.started_at) for row in rows)

    def in_states(self, states: Collection[str]) -> list[AttemptRow]:
        """All attempts in one of these states, the oldest first."""
        query = sa.select(A).where(A.c.state.in_(states)).order_by(A.c.created_at)
        with self._database.read() as connection:
            return sound(connection.execute(query), attempt_row)

    def resuming_automatically(self, ids: Collection[str]) -> set[str]:
        """The tasks among these that are paused and resume automatically."""
        query = sa.select(A.c.task_id).join(T, T.c.id == A.c.task_id)
        waits = query.where(A.c.state.in_(BY_ITSELF), T.c.status == str(TaskStatus.PAUSED))
        with self._database.read() as connection:
            return set(ids) & set(connection.execute(waits).scalars())

    def unattended(self) -> list[TaskRow]:
        """Tasks that are paused for lack of a credential or because of an obstacle, and that have
        no attempt which waits for it."""
        waiting = sa.select(A.c.task_id).where(A.c.state.in_(WAITING))
        query = sa.select(T).where(T.c.status == TaskStatus.PAUSED, T.c.id.not_in(waiting))
        with self._database.read() as connection:
            tasks = sound(connection.execute(query), task_row)
        return [task for task in tasks if _lacks_something(task)]

    # Writing

    def move(self, task_id: str, attempt: int, expected: Collection[str], **columns: Any) -> bool:
        """Change an attempt if it is in one of the `expected` states; whether it was."""
        with self._database.write() as connection:
            done = connection.execute(
                A.update()
                .where(this_attempt(task_id, attempt), A.c.state.in_(expected))
                .values(**columns)
            )
        return done.rowcount == 1

    def release(self, task_id: str, attempt: int) -> AttemptRow | None:
        """End an attempt's wait for its credential or for an obstacle. Return it, so that the
        caller enqueues it; None if it does not wait any more."""
        here, now = this_attempt(task_id, attempt), self._database.now()
        with self._database.write() as connection:
            task = lock_task(connection, task_id)
            row = attempt_at(connection, task_id, attempt)
            if task is None or task.status != TaskStatus.PAUSED:
                return None
            if row is None or row.state != AttemptState.AWAITING:
                return None
            workflow = next_workflow(row.workflow_id)
            values = {"state": AttemptState.RELEASED, "workflow_id": workflow}
            connection.execute(A.update().where(here).values(**values))
            connection.execute(T.update().where(T.c.id == task_id).values(retry_at=now))
            released = attempt_row(connection.execute(sa.select(A).where(here)).one())
        self._database.on_event()
        return released

    def await_again(self, task_id: str) -> AttemptRow | None:
        """Let a paused task wait again for its credential, or until its obstacle is gone. None if
        it waits already, is paused for another reason, or may not resume automatically."""
        with self._database.write() as connection:
            task = _may_be_scheduled(connection, task_id)
            if task is None or not _lacks_something(task_row(task)):
                return None
            number = add_attempt(connection, self._database.now(), task, AttemptState.AWAITING)
            return _read(connection, task_id, number)

    def schedule(self, task_id: str, retry_at: float) -> AttemptRow | None:
        """Let a paused task resume automatically again, at `retry_at` or when its account opens.
        None if it does so already, is not paused, or may not resume automatically."""
        # Every transaction locks holds before tasks, so the keys have to be known before it begins.
        limits, now = self._limits_of(task_id), self._database.now()
        with self._database.write() as connection:
            holds = (locked_hold(connection, limit) for limit in limits)
            hold = next((hold for hold in holds if hold), None)
            task = _may_be_scheduled(connection, task_id)
            if task is None:
                return None
            values: dict[str, Any] = {"retry_at": retry_at, "updated_at": now}
            if hold is not None:
                values |= {"retry_at": hold.until, "account": hold.account}
            state = AttemptState.SCHEDULED if hold is None else AttemptState.HELD
            number = add_attempt(connection, now, task, state)
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            return _read(connection, task_id, number)

    def _limits_of(self, task_id: str) -> list[str]:
        with self._database.read() as connection:
            row = connection.execute(sa.select(T).where(T.c.id == task_id)).one_or_none()
        return _limits_of(task_row(row)) if row is not None else []

    def drop_schedule(self, task_id: str, **columns: Any) -> None:
        """Stop the automatic resume of a paused task, and set `columns` with it."""
        values, now = {k: to_json(v) for k, v in columns.items()}, self._database.now()
        with self._database.write() as connection:
            dropped = connection.execute(
                T.update()
                .where(T.c.id == task_id, T.c.status == TaskStatus.PAUSED)
                .values(retry_at=None, updated_at=now, **values)
            )
            if dropped.rowcount == 1:
                end_waiting_attempts(connection, now, task_id)


def _may_be_scheduled(connection: sa.Connection, task_id: str) -> sa.Row[Any] | None:
    """The locked task, if it is paused, may resume automatically, and has no attempt that waits."""
    task = lock_task(connection, task_id)
    if task is None or task.status != TaskStatus.PAUSED:
        return None
    if switched_off(connection, task.auto_resume, task.project_id) is not None:
        return None
    return None if has_waiting_attempt(connection, task_id) else task


def _read(connection: sa.Connection, task_id: str, attempt: int) -> AttemptRow:
    query = sa.select(A).where(this_attempt(task_id, attempt))
    return attempt_row(connection.execute(query).one())


def _lacks_something(task: TaskRow) -> bool:
    pause = task.pause
    return pause is not None and (
        pause.reason is PauseReason.AUTH or obstacle_of(pause) is not None
    )


def _limits_of(task: TaskRow) -> list[str]:
    """The keys of the limits that a paused task may have to wait for."""
    keys = [task.account]
    if task.pause is not None and task.pause.account is not None:
        keys += [task.pause.account, str(Limit(task.pause.account, task.pause.model))]
    return sorted({key for key in keys if key is not None})
