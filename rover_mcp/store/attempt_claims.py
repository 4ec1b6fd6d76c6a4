"""Claiming an attempt whose turn has come, or letting it wait for its account or a credential."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from agent_runner.models import Pause, PauseReason
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.event_kinds import AGENT_CHANGED, HELD
from rover_mcp.domain.task_status import RUNNING, Event, TaskStatus
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.store import store_tables
from rover_mcp.store.account_windows import Windows, in_words
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_event
from rover_mcp.store.record_reading import task_row
from rover_mcp.store.records import HoldRow, TaskRow
from rover_mcp.store.resume_switches import switched_off
from rover_mcp.store.row_changes import (
    attempt_at,
    before_resume,
    columns_after,
    end_waiting_attempts,
    lock_existing_task,
    locked_hold,
    locked_task,
    resume_task_row,
    this_attempt,
    to_json,
)

T = store_tables.tasks
A = store_tables.attempts
H = store_tables.holds


class AttemptClaims:
    """Claims of attempts by their workflows. If several workflows claim one attempt, one gets
    it."""

    def __init__(self, database: Database, windows: Windows) -> None:
        self._database = database
        self._windows = windows

    def start(
        self,
        task_id: str,
        attempt: int,
        workflow_id: str,
        *,
        account: str | None = None,
        limits: Collection[str] = (),
        agent: str | None = None,
        agent_binary: str | None = None,
    ) -> TaskRow | HoldRow | None:
        """Claim an attempt whose turn has come, to run `agent` on `account`. `limits` are the keys
        of the holds that concern it besides that of the account itself.

        Return None if something else has happened to the task meanwhile or another workflow has
        the attempt. Return a hold if that is closed to this attempt; then nothing was written.
        Repeating a claim returns the task again.

        A hold lets its probe pass, and an attempt that a person asked for. When its time has come
        and no probe is under way, the first attempt that asks becomes the probe.
        """
        with self._database.write() as connection:
            holds = _lock_holds(connection, {*limits, account} if account else ())
            task = lock_existing_task(connection, task_id)
            row = attempt_at(connection, task_id, attempt)
            if row is None or row.workflow_id != workflow_id:
                return None
            if row.state == AttemptState.STARTING:
                # DBOS runs a step again that was in flight when the daemon died.
                return task_row(task)
            if not self._may_start(connection, task, row):
                return None
            if (hold := self._closed_by(holds, row)) is not None:
                return hold
            self._become_probe(connection, holds, row)
            self._start(connection, task, row)
            self._use(connection, task, attempt, account, agent, agent_binary)
            claimed = task_row(connection.execute(locked_task(task_id)).one())
        self._database.on_event()
        return claimed

    def _may_start(
        self, connection: sa.Connection, task: sa.Row[Any], attempt: sa.Row[Any]
    ) -> bool:
        status = TaskStatus(task.status)
        if attempt.state in (AttemptState.SCHEDULED, AttemptState.RELEASED):
            if status is not TaskStatus.PAUSED:
                return False
            if switched_off(connection, task.auto_resume, task.project_id) is None:
                return True
            # Automatic resumes were switched off while this attempt was being recorded.
            connection.execute(T.update().where(T.c.id == task.id).values(retry_at=None))
            end_waiting_attempts(connection, self._database.now(), task.id)
            return False
        if attempt.state != AttemptState.QUEUED:
            return False
        return status is TaskStatus.NEW or (status in RUNNING and task.attempt == attempt.attempt)

    def _closed_by(self, holds: Sequence[HoldRow], attempt: sa.Row[Any]) -> HoldRow | None:
        """The hold that an attempt has to wait for, or None."""
        if attempt.state == AttemptState.QUEUED and attempt.before is not None:
            return None  # a person asked for it
        this = (attempt.task_id, attempt.attempt)
        for hold in holds:
            due = hold.probe_task is None and hold.until <= self._database.now()
            if not due and (hold.probe_task, hold.probe_attempt) != this:
                return hold
        return None

    def _become_probe(
        self, connection: sa.Connection, holds: Sequence[HoldRow], attempt: sa.Row[Any]
    ) -> None:
        """Make the attempt the probe of each of these holds that has none, and of no other hold:
        one that it was chosen for waits for another probe if the attempt asks another account."""
        # In the transaction of the start, so that no second attempt becomes the probe of the same
        # account.
        probe = {
            "probe_task": attempt.task_id,
            "probe_attempt": attempt.attempt,
            "probed_at": self._database.now(),
        }
        own = (H.c.probe_task == attempt.task_id) & (H.c.probe_attempt == attempt.attempt)
        keys = [hold.account for hold in holds]
        connection.execute(
            H.update()
            .where(own, H.c.account.not_in(keys))
            .values(probe_task=None, probe_attempt=None)
        )
        tried = (own | H.c.probe_task.is_(None)) & H.c.account.in_(keys)
        connection.execute(H.update().where(tried).values(**probe))

    def _start(self, connection: sa.Connection, task: sa.Row[Any], attempt: sa.Row[Any]) -> None:
        here, now = this_attempt(task.id, attempt.attempt), self._database.now()
        if attempt.state != AttemptState.QUEUED:
            connection.execute(A.update().where(here).values(before=before_resume(task)))
            resume_task_row(connection, now, task, attempt.attempt, automatic=True)
        elif TaskStatus(task.status) is TaskStatus.NEW:
            target = TaskStatus.IN_PROGRESS
            values = columns_after(now, target, {"started_at": now})
            connection.execute(T.update().where(T.c.id == task.id).values(**values))
            data = {"attempt": attempt.attempt}
            insert_event(connection, now, task.id, Event.START, target, data, notable=False)
        connection.execute(A.update().where(here).values(state=AttemptState.STARTING))

    def _use(
        self,
        connection: sa.Connection,
        task: sa.Row[Any],
        attempt: int,
        account: str | None,
        agent: str | None,
        agent_binary: str | None,
    ) -> None:
        """Record the account, and the agent if another one takes over."""
        values: dict[str, Any] = {"account": account}
        if agent is not None and agent != task.agent:
            values |= {"agent": agent, "agent_binary": agent_binary}
            status = connection.execute(sa.select(T.c.status).where(T.c.id == task.id)).scalar_one()
            data = {"attempt": attempt, "from": task.agent, "to": agent}
            insert_event(
                connection, self._database.now(), task.id, AGENT_CHANGED,
                TaskStatus(status), data, notable=True,
            )  # fmt: skip
        connection.execute(T.update().where(T.c.id == task.id).values(**values))

    # Waiting

    def hold(self, task_id: str, attempt: int, workflow_id: str, limit: str) -> bool:
        """Let an attempt wait until a limit, by its key, has ended: the task is PAUSED with the
        hold's reason, and that uses up no retry. False where the limit no longer closes the
        account to it. Where automatic resumes are switched off the task waits for a person."""
        with self._database.write() as connection:
            hold = locked_hold(connection, limit)
            task = self._waiting_task(connection, task_id, attempt, workflow_id)
            if task is None:
                return True
            now = self._database.now()
            if hold is None or (hold.probe_task is None and hold.until <= now):
                return False
            by_itself = switched_off(connection, task.auto_resume, task.project_id) is None
            self._pause_for_hold(connection, task, hold, by_itself=by_itself)
            values: dict[str, Any] = {"state": AttemptState.HELD, "before": None}
            if not by_itself:
                values = {"state": AttemptState.ENDED, "ended_at": now, "detail": "not started"}
            connection.execute(A.update().where(this_attempt(task_id, attempt)).values(**values))
        self._database.on_event()
        return True

    def _waiting_task(
        self, connection: sa.Connection, task_id: str, attempt: int, workflow_id: str
    ) -> sa.Row[Any] | None:
        """The locked task, if this workflow has the attempt and may start it."""
        task = lock_existing_task(connection, task_id)
        row = attempt_at(connection, task_id, attempt)
        if row is None or row.workflow_id != workflow_id:
            return None
        return task if self._may_start(connection, task, row) else None

    def _pause_for_hold(
        self, connection: sa.Connection, task: sa.Row[Any], hold: HoldRow, *, by_itself: bool
    ) -> None:
        """Pause the task until a limit ends, with the limit as the reason."""
        limit = hold.limit
        model = f"{limit.model} on " if limit.model else ""
        until, now = datetime.fromtimestamp(hold.until, UTC), self._database.now()
        since = utc_minute(hold.since)
        pause = Pause(
            reason=PauseReason(hold.reason),
            message=f"{model}the account is closed since {since}: {hold.message}",
            since=datetime.fromtimestamp(task.paused_at or now, UTC),
            provider=hold.provider,
            account=limit.account,
            model=limit.model,
            windows=in_words(self._windows.of(limit.account, now), now),
            retry_at=until if by_itself else None,
        )
        columns: dict[str, Any] = {
            "pause": pause,
            "account": hold.account,
            "retry_at": hold.until if by_itself else None,
        }
        is_paused = TaskStatus(task.status) is TaskStatus.PAUSED
        kind = HELD if is_paused else Event.PAUSE
        _pause_row(connection, now, task, columns)
        data = pause.model_dump(mode="json")
        insert_event(connection, now, task.id, kind, TaskStatus.PAUSED, data, notable=not is_paused)

    def await_credential(
        self, task_id: str, attempt: int, workflow_id: str, pause: Pause, *, by_itself: bool
    ) -> None:
        """Let an attempt whose turn has come wait for its credential. The task is PAUSED with that
        reason, which uses up no retry. Nothing is written if something else has happened to the
        task meanwhile. Without `by_itself`, or if automatic resumes are switched off, the task
        waits for a person."""
        with self._database.write() as connection:
            task = self._waiting_task(connection, task_id, attempt, workflow_id)
            if task is None:
                return
            now = self._database.now()
            off = switched_off(connection, task.auto_resume, task.project_id)
            values: dict[str, Any] = {"state": AttemptState.AWAITING, "before": None}
            if off is not None or not by_itself:
                detail = "not started: no credential"
                values = {"state": AttemptState.ENDED, "ended_at": now, "detail": detail}
            connection.execute(A.update().where(this_attempt(task_id, attempt)).values(**values))
            _pause_for_credential(connection, now, task, pause)
        self._database.on_event()


def _lock_holds(connection: sa.Connection, keys: Collection[str]) -> list[HoldRow]:
    """The holds that exist under these keys."""
    # Sorted, so that two attempts which need the same holds lock them in one order.
    return [hold for key in sorted(keys) if (hold := locked_hold(connection, key))]


def _pause_for_credential(
    connection: sa.Connection, now: float, task: sa.Row[Any], pause: Pause
) -> None:
    before, new = task_row(task).pause, pause
    if TaskStatus(task.status) is TaskStatus.PAUSED:
        since = datetime.fromtimestamp(task.paused_at or now, UTC)
        new = pause.model_copy(update={"since": since})
    _pause_row(connection, now, task, {"pause": new, "retry_at": None})
    if before is not None and (before.reason, before.message) == (pause.reason, pause.message):
        # The credential existed for a moment. The user knows of this pause already.
        return
    data = to_json(pause)
    insert_event(connection, now, task.id, Event.PAUSE, TaskStatus.PAUSED, data, notable=True)


def _pause_row(
    connection: sa.Connection, now: float, task: sa.Row[Any], columns: dict[str, Any]
) -> None:
    """Set the columns of a pause. A task that is paused already keeps the time of that pause."""
    if TaskStatus(task.status) is TaskStatus.PAUSED:
        values = {k: to_json(v) for k, v in columns.items()} | {"updated_at": now}
    else:
        values = columns_after(now, TaskStatus.PAUSED, columns)
    connection.execute(T.update().where(T.c.id == task.id).values(**values))
