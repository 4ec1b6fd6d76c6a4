"""Taking an attempt whose turn has come, or letting it wait for its account. One winner (J1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from agent_runner.models import Pause, PauseReason
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.task_status import RUNNING, Event, TaskStatus
from rover_mcp.store.base import (
    A,
    H,
    T,
    Writes,
    attempt_at,
    locked,
    locked_hold,
    the_task,
    to_json,
    what_it_was,
)
from rover_mcp.store.events import insert_event
from rover_mcp.store.reads import switched_off
from rover_mcp.store.records import HoldRow, TaskRow, task_row
from rover_mcp.store.windows import in_words


class Claims(Writes):
    """The part of the store that the attempts' workflows use."""

    def start_attempt(
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
        of the holds that concern it beside that of the whole account.

        None: something else has happened to the task meanwhile (K6), or another workflow has it.
        A hold: it is closed to this attempt, and nothing was written. Claiming again what was
        claimed gives the task again.

        A hold lets its probe through, and what a person asked for; when its time has come and no
        probe is out, the first that asks is the probe (K5).
        """
        with self._engine.begin() as connection:
            keys = sorted({*limits, account}) if account else []
            holds = [hold for key in keys if (hold := locked_hold(connection, key))]
            row = the_task(connection, task_id)
            made = attempt_at(connection, task_id, attempt)
            if made is None or made.workflow_id != workflow_id:
                return None
            if made.state == AttemptState.STARTING:
                return task_row(row)
            if not self._may_start(connection, row, made):
                return None
            if (shut := self._shut(holds, made)) is not None:
                return shut
            self._become_probe(connection, holds, made)
            self._start(connection, row, made)
            self._use(connection, row, attempt, account, agent, agent_binary)
            task = task_row(connection.execute(locked(task_id)).one())
        self.on_event()
        return task

    def _may_start(self, connection: sa.Connection, row: sa.Row[Any], made: sa.Row[Any]) -> bool:
        status = TaskStatus(row.status)
        if made.state in (AttemptState.SCHEDULED, AttemptState.RELEASED):
            if status is not TaskStatus.PAUSED:
                return False
            if switched_off(connection, row.auto_resume, row.project_id) is None:
                return True
            # It was switched off while this attempt was being recorded (K7).
            connection.execute(T.update().where(T.c.id == row.id).values(retry_at=None))
            self._end_waiting_attempts(connection, row.id)
            return False
        if made.state != AttemptState.QUEUED:
            return False
        return status is TaskStatus.NEW or (status in RUNNING and row.attempt == made.attempt)

    def _shut(self, holds: Sequence[HoldRow], made: sa.Row[Any]) -> HoldRow | None:
        """The hold that lets an attempt not through, if there is one."""
        if made.state == AttemptState.QUEUED and made.before is not None:
            return None  # a person asked for it
        mine = (made.task_id, made.attempt)
        for hold in holds:
            due = hold.probe_task is None and hold.until <= self._now()
            if not due and (hold.probe_task, hold.probe_attempt) != mine:
                return hold
        return None

    def _become_probe(
        self, connection: sa.Connection, holds: Sequence[HoldRow], made: sa.Row[Any]
    ) -> None:
        """The attempt tries every one of these holds that nobody tries yet, and no other: one that
        it was chosen for waits for another probe if it asks something else."""
        probe = {
            "probe_task": made.task_id,
            "probe_attempt": made.attempt,
            "looked_at": self._now(),
        }
        mine = (H.c.probe_task == made.task_id) & (H.c.probe_attempt == made.attempt)
        keys = [hold.account for hold in holds]
        connection.execute(
            H.update()
            .where(mine, H.c.account.not_in(keys))
            .values(probe_task=None, probe_attempt=None)
        )
        its = (mine | H.c.probe_task.is_(None)) & H.c.account.in_(keys)
        connection.execute(H.update().where(its).values(**probe))

    def _start(self, connection: sa.Connection, row: sa.Row[Any], made: sa.Row[Any]) -> None:
        here = (A.c.task_id == row.id) & (A.c.attempt == made.attempt)
        if made.state != AttemptState.QUEUED:
            connection.execute(A.update().where(here).values(before=what_it_was(row)))
            self._go_on(connection, row, made.attempt, automatic=True)
        elif TaskStatus(row.status) is TaskStatus.NEW:
            values = self._columns_after(TaskStatus.IN_PROGRESS, {"started_at": self._now()})
            connection.execute(T.update().where(T.c.id == row.id).values(**values))
            data = {"attempt": made.attempt}
            target = TaskStatus.IN_PROGRESS
            insert_event(connection, self._now(), row.id, Event.START, target, data, notable=False)
        connection.execute(A.update().where(here).values(state=AttemptState.STARTING))

    def _use(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        attempt: int,
        account: str | None,
        agent: str | None,
        agent_binary: str | None,
    ) -> None:
        values: dict[str, Any] = {"account": account}
        if agent is not None and agent != row.agent:
            values |= {"agent": agent, "agent_binary": agent_binary}
            status = connection.execute(sa.select(T.c.status).where(T.c.id == row.id)).scalar_one()
            data = {"attempt": attempt, "from": row.agent, "to": agent}
            insert_event(
                connection, self._now(), row.id, "task.agent_changed", TaskStatus(status), data,
                notable=True,
            )  # fmt: skip
        connection.execute(T.update().where(T.c.id == row.id).values(**values))

    def hold_attempt(self, task_id: str, attempt: int, workflow_id: str, limit: str) -> bool:
        """Let an attempt wait until a limit, by its key, has ended: the task is PAUSED with the
        hold's reason, and that uses up no retry. False: it is not closed to it any more. Where
        automatic resumes are switched off the task waits for a person."""
        with self._engine.begin() as connection:
            hold = locked_hold(connection, limit)
            row = the_task(connection, task_id)
            made = attempt_at(connection, task_id, attempt)
            if (
                made is None
                or made.workflow_id != workflow_id
                or not self._may_start(connection, row, made)
            ):
                return True
            if hold is None or (hold.probe_task is None and hold.until <= self._now()):
                return False
            off = switched_off(connection, row.auto_resume, row.project_id)
            self._wait(connection, row, hold, by_itself=off is None)
            values: dict[str, Any] = {"state": AttemptState.HELD, "before": None}
            if off is not None:
                values = {
                    "state": AttemptState.ENDED,
                    "ended_at": self._now(),
                    "detail": "not started",
                }
            here = (A.c.task_id == task_id) & (A.c.attempt == attempt)
            connection.execute(A.update().where(here).values(**values))
        self.on_event()
        return True

    def _wait(
        self, connection: sa.Connection, row: sa.Row[Any], hold: HoldRow, *, by_itself: bool
    ) -> None:
        """The task waits for the end of a limit, with a pause that says so."""
        limit = hold.limit
        model = f"{limit.model} on " if limit.model else ""
        until, now = datetime.fromtimestamp(hold.until, UTC), self._now()
        since = f"{datetime.fromtimestamp(hold.since, UTC):%Y-%m-%d %H:%M} UTC"
        pause = Pause(
            reason=PauseReason(hold.reason),
            message=f"{model}the account is closed since {since}: {hold.message}",
            since=datetime.fromtimestamp(row.paused_at or now, UTC),
            provider=hold.provider,
            account=limit.account,
            model=limit.model,
            windows=in_words(self.windows.of(limit.account, now), now),
            retry_at=until if by_itself else None,
        )
        columns: dict[str, Any] = {
            "pause": pause,
            "account": hold.account,
            "retry_at": hold.until if by_itself else None,
        }
        is_paused = TaskStatus(row.status) is TaskStatus.PAUSED
        kind = "task.held" if is_paused else Event.PAUSE
        if is_paused:
            values = {k: to_json(v) for k, v in columns.items()} | {"updated_at": now}
        else:
            values = self._columns_after(TaskStatus.PAUSED, columns)
        connection.execute(T.update().where(T.c.id == row.id).values(**values))
        data = pause.model_dump(mode="json")
        insert_event(connection, now, row.id, kind, TaskStatus.PAUSED, data, notable=not is_paused)

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
