"""Attempts that wait until there is a credential for them (Q5), or until what is in their task's
way is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from agent_runner.models import Pause, PauseReason
from rover_mcp.domain.attempt_state import WAITING, AttemptState
from rover_mcp.domain.obstacles import obstacle_of
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.attempt_claims import Claims
from rover_mcp.store.base import A, T, attempt_at, lock_task, next_workflow, the_task, to_json
from rover_mcp.store.damage import sound
from rover_mcp.store.events import insert_event
from rover_mcp.store.reads import attempt_query, switched_off
from rover_mcp.store.records import AttemptRow, TaskRow, attempt_row, task_row


class Awaits(Claims):
    """Waiting for a credential uses up no retry: nothing has been tried."""

    def await_credential(
        self, task_id: str, attempt: int, workflow_id: str, pause: Pause, *, by_itself: bool
    ) -> None:
        """Let an attempt whose turn has come wait until its credential is there; the task is PAUSED
        with that reason. Nothing where something else has happened to the task meanwhile. Without
        `by_itself`, or where automatic resumes are switched off, it waits for a person."""
        with self._engine.begin() as connection:
            row = the_task(connection, task_id)
            made = attempt_at(connection, task_id, attempt)
            if (
                made is None
                or made.workflow_id != workflow_id
                or not self._may_start(connection, row, made)
            ):
                return
            off = switched_off(connection, row.auto_resume, row.project_id)
            values: dict[str, Any] = {"state": AttemptState.AWAITING, "before": None}
            if off is not None or not by_itself:
                detail = "not started: no credential"
                values = {"state": AttemptState.ENDED, "ended_at": self._now(), "detail": detail}
            here = (A.c.task_id == task_id) & (A.c.attempt == attempt)
            connection.execute(A.update().where(here).values(**values))
            self._pause_without(connection, row, pause)
        self.on_event()

    def _pause_without(self, connection: sa.Connection, row: sa.Row[Any], pause: Pause) -> None:
        now, before = self._now(), task_row(row).pause
        columns: dict[str, Any] = {"pause": pause, "retry_at": None}
        if TaskStatus(row.status) is TaskStatus.PAUSED:
            since = datetime.fromtimestamp(row.paused_at or now, UTC)
            columns["pause"] = pause.model_copy(update={"since": since})
            values = {k: to_json(v) for k, v in columns.items()} | {"updated_at": now}
        else:
            values = self._columns_after(TaskStatus.PAUSED, columns)
        connection.execute(T.update().where(T.c.id == row.id).values(**values))
        if before is not None and (before.reason, before.message) == (pause.reason, pause.message):
            return  # it was there for a moment: that is no news
        data = to_json(pause)
        insert_event(connection, now, row.id, Event.PAUSE, TaskStatus.PAUSED, data, notable=True)

    def credential_found(self, task_id: str, attempt: int) -> AttemptRow | None:
        """The attempt no longer waits for its credential, or for what was in its task's way: it is
        to be enqueued. None: it does not
        wait any more."""
        with self._engine.begin() as connection:
            row = lock_task(connection, task_id)
            made = attempt_at(connection, task_id, attempt)
            if row is None or row.status != TaskStatus.PAUSED:
                return None
            if made is None or made.state != AttemptState.AWAITING:
                return None
            here = (A.c.task_id == task_id) & (A.c.attempt == attempt)
            values = {
                "state": AttemptState.RELEASED,
                "workflow_id": next_workflow(made.workflow_id),
            }
            connection.execute(A.update().where(here).values(**values))
            connection.execute(T.update().where(T.c.id == task_id).values(retry_at=self._now()))
            found = attempt_row(connection.execute(attempt_query(task_id, attempt)).one())
        self.on_event()
        return found

    def await_further(self, task_id: str) -> AttemptRow | None:
        """Let a paused task wait again for a credential, or until what is in its way is gone.
        None: it waits already, is paused for something else, or automatic resumes are switched
        off for it."""
        with self._engine.begin() as connection:
            row = lock_task(connection, task_id)
            if row is None or row.status != TaskStatus.PAUSED or not _lacks(task_row(row)):
                return None
            if switched_off(connection, row.auto_resume, row.project_id) is not None:
                return None
            waiting = sa.select(A).where(A.c.task_id == task_id, A.c.state.in_(WAITING))
            if connection.execute(waiting).first() is not None:
                return None
            number = self._add_attempt(connection, row, AttemptState.AWAITING)
            return attempt_row(connection.execute(attempt_query(task_id, number)).one())

    def unattended(self) -> list[TaskRow]:
        """Tasks that are paused for want of a credential, or for what is in their way, where no
        attempt waits for that."""
        mine = sa.select(A.c.task_id).where(A.c.state.in_(WAITING))
        query = sa.select(T).where(T.c.status == TaskStatus.PAUSED, T.c.id.not_in(mine))
        with self._reader.connect() as connection:
            return [task for task in sound(connection.execute(query), task_row) if _lacks(task)]


def _lacks(task: TaskRow) -> bool:
    pause = task.pause
    return pause is not None and (
        pause.reason is PauseReason.AUTH or obstacle_of(pause) is not None
    )
