"""Holds on accounts that refuse: which tasks wait, which one probes, and when a hold ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from rover_mcp.domain.attempt_state import UNDER_WAY, WAITING, AttemptState
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import store_tables
from rover_mcp.store.column_types import LATEST
from rover_mcp.store.damaged_records import DamagedRecord, log_once, sound, sound_one
from rover_mcp.store.database import Database
from rover_mcp.store.events import insert_for
from rover_mcp.store.record_reading import attempt_row, hold_row, report_row, task_row
from rover_mcp.store.records import AttemptRow, HoldRow, Limit, ReportRow, TaskRow
from rover_mcp.store.row_changes import attempt_at, locked_hold, next_workflow, this_attempt

T = store_tables.tasks
A = store_tables.attempts
H = store_tables.holds
R = store_tables.reports
C = store_tables.calls
log = logging.getLogger("rover.store")

OPENED_EARLY: Final = ("usage_window", "credits")
"""Reasons of holds that may end before the reported time: a provider resets everybody's window, or
the user buys credits."""


class HoldStore:
    """Reads and ends holds, and releases the attempts that wait for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Reading

    def get(self, account: str) -> HoldRow | None:
        """The hold of an account or of one model of it, by the key of its Limit."""
        query = sa.select(H).where(H.c.account == account)
        with self._database.read() as connection:
            return sound_one(connection.execute(query).one_or_none(), hold_row)

    def all(self) -> list[HoldRow]:
        """Every hold, the longest first."""
        with self._database.read() as connection:
            return sound(connection.execute(sa.select(H).order_by(H.c.since)), hold_row)

    def probed_by(self, probe: tuple[str, int]) -> list[Limit]:
        """The limits that an attempt probes."""
        return [h.limit for h in self.all() if (h.probe_task, h.probe_attempt) == probe]

    def reports(self, task_id: str) -> list[ReportRow]:
        """The reports of a task on accounts."""
        query = sa.select(R).where(R.c.task_id == task_id)
        with self._database.read() as connection:
            return sound(connection.execute(query), report_row)

    def count_waiting(self, account: str) -> int:
        """The number of tasks that wait for an account."""
        query = sa.select(sa.func.count()).select_from(A).join(T, T.c.id == A.c.task_id)
        held = query.where(A.c.state == AttemptState.HELD, T.c.account == account)
        with self._database.read() as connection:
            return connection.execute(held).scalar_one()

    def waiting_accounts(self) -> set[str]:
        """The accounts that attempts wait for, closed or not."""
        query = sa.select(T.c.account).join(A, A.c.task_id == T.c.id)
        held = query.where(A.c.state == AttemptState.HELD).distinct()
        with self._database.read() as connection:
            accounts = connection.execute(held).scalars()
            return {account for account in accounts if isinstance(account, str)}

    def proven_open(self, least_wait: float) -> list[TaskRow]:
        """Paused tasks that wait for a person, and whose account has answered another task since.
        A task that paused less than `least_wait` seconds ago is left out: its account may have
        answered while it was still closed to this task."""
        waits = sa.select(A.c.task_id).where(A.c.state.in_(WAITING))
        latest = self._database.now() - least_wait
        given_up = sa.select(T).where(
            T.c.status == str(TaskStatus.PAUSED), T.c.retry_at.is_(None), T.c.account.is_not(None),
            T.c.auto_resume, T.c.paused_at <= latest, T.c.id.not_in(waits),
        )  # fmt: skip
        with self._database.read() as connection:
            tasks = sound(connection.execute(given_up), task_row)
            return [task for task in tasks if _answered_since(connection, task)]

    # Writing

    def open(self, account: str, probe: tuple[str, int], models: Collection[str] = ()) -> bool:
        """End the holds of an account and of its `models` that the attempt `probe` probes; whether
        there was one. `release` then releases the attempts that wait."""
        keys = [account, *(str(Limit(account, model)) for model in models)]
        with self._database.write() as connection:
            done = connection.execute(
                H.delete().where(
                    H.c.account.in_(keys),
                    H.c.probe_task == probe[0],
                    H.c.probe_attempt == probe[1],
                )
            )
        return done.rowcount > 0

    def release(self, account: str, look_after: float = 0) -> list[AttemptRow]:
        """Release the attempts that need not wait for an account any more, and return them: the
        caller enqueues them.

        If the account is open, all are released. If its hold's time has come and no probe is under
        way, the attempt that has waited longest is released as the probe. A probe that ended
        without a verdict (cancelled, paused for another reason) is replaced. With `look_after`, in
        seconds, a probe for a window or for credits also starts when no attempt has asked the
        account for so long, because it may have been opened early.
        """
        now = self._database.now()
        with self._database.write() as connection:
            hold = locked_hold(connection, account)
            if hold is None:
                waiting = _waiting_attempts(connection, account)
                return [_release(connection, now, attempt) for attempt in waiting]
            if _probe_is_out(connection, hold):
                return []
            is_due = hold.until <= now or _may_look(connection, now, hold, look_after)
            waiting = _waiting_attempts(connection, account) if is_due else []
            chosen = waiting[0] if waiting else None
            values = {
                "probe_task": chosen.task_id if chosen else None,
                "probe_attempt": chosen.attempt if chosen else None,
                "probed_at": now if chosen else hold.probed_at,
            }
            connection.execute(H.update().where(H.c.account == account).values(**values))
            return [_release(connection, now, chosen)] if chosen else []


# Within a transaction that pauses a task


@dataclass(frozen=True)
class AccountReports:
    """What is known of an account apart from one task's report: the reports of other tasks, and
    when it last answered one (seconds since 1970)."""

    others: Sequence[ReportRow]
    answered_at: float | None


def record_report(connection: sa.Connection, report: ReportRow) -> AccountReports:
    """Record what a task reports of a limit, and return what else is known of its account."""
    limit = Limit.of(report.account)
    query = sa.select(R).where(R.c.account == report.account)
    others = sound(connection.execute(query), report_row)
    insert = insert_for(connection, R).values(**vars(report))
    keys = [R.c.account, R.c.task_id]
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=vars(report)))
    answered = (
        sa.select(sa.func.max(C.c.at))
        .join(T, T.c.id == C.c.task_id)
        .where(_uses(limit.account), C.c.output_tokens > 0, C.c.at.between(0, LATEST))
    )
    if limit.model is not None:
        answered = answered.where(C.c.model.icontains(limit.model, autoescape=True))
    return AccountReports(others, connection.execute(answered).scalar())


def close_account(
    connection: sa.Connection,
    hold: HoldRow | None,
    refused: Callable[[HoldRow | None], HoldRow],
) -> HoldRow:
    """Change a hold after a refusal. The tasks that wait for it wait until its new end."""
    after = refused(hold)
    insert = insert_for(connection, H).values(**vars(after))
    connection.execute(insert.on_conflict_do_update(index_elements=[H.c.account], set_=vars(after)))
    ids = [attempt.task_id for attempt in _waiting_attempts(connection, after.account)]
    connection.execute(T.update().where(T.c.id.in_(ids)).values(retry_at=after.until))
    return after


def _waiting_attempts(connection: sa.Connection, account: str) -> list[AttemptRow]:
    """The attempts that wait for an account, the longest wait first, with their tasks locked."""
    waiting = sa.select(A.c.task_id).where(A.c.state == AttemptState.HELD)
    # Two transactions that lock the same tasks in different orders end in a deadlock on PostgreSQL,
    # hence the order by id. The joined query for the attempts comes after the lock.
    lock = sa.select(T.c.id).where(T.c.account == account, T.c.id.in_(waiting))
    ids = connection.execute(lock.order_by(T.c.id).with_for_update()).scalars().all()
    query = sa.select(A).where(A.c.state == AttemptState.HELD, A.c.task_id.in_(ids))
    rows = connection.execute(query.order_by(A.c.created_at, A.c.task_id))
    return sound(rows, attempt_row)


def _release(connection: sa.Connection, now: float, attempt: AttemptRow) -> AttemptRow:
    here = this_attempt(attempt.task_id, attempt.attempt)
    values = {"state": AttemptState.RELEASED, "workflow_id": next_workflow(attempt.workflow_id)}
    connection.execute(A.update().where(here).values(**values))
    connection.execute(T.update().where(T.c.id == attempt.task_id).values(retry_at=now))
    return attempt_row(connection.execute(sa.select(A).where(here)).one())


def _may_look(connection: sa.Connection, now: float, hold: HoldRow, look_after: float) -> bool:
    if look_after <= 0 or hold.reason not in OPENED_EARLY:
        return False
    starts = sa.select(sa.func.max(A.c.started_at)).join(T, T.c.id == A.c.task_id)
    keys = (hold.account, hold.limit.account)
    here = starts.where(T.c.account.in_(keys), A.c.started_at.between(0, LATEST))
    last = connection.execute(here).scalar() or 0
    last = max(hold.since, last, hold.probed_at or 0)
    return last + look_after <= now


def _probe_is_out(connection: sa.Connection, hold: HoldRow) -> bool:
    if hold.probe_task is None:
        return False
    try:
        probe = attempt_at(connection, hold.probe_task, hold.probe_attempt or 0)
    except DamagedRecord as damaged:
        # The end of this probe cannot be recorded, so it will give no verdict, and is replaced.
        log_once(log, damaged.message)
        return False
    if probe is None or probe.state not in UNDER_WAY:
        return False
    query = sa.select(T.c.account).where(T.c.id == hold.probe_task)
    used = connection.execute(query).scalar()
    return isinstance(used, str) and Limit.of(used).account == hold.limit.account


def _answered_since(connection: sa.Connection, task: TaskRow) -> bool:
    query = (
        sa.select(C.c.task_id)
        .join(T, T.c.id == C.c.task_id)
        .where(
            T.c.account == task.account, C.c.output_tokens > 0,
            C.c.at.between(task.paused_at or 0, LATEST), C.c.task_id != task.id,
        )
    )  # fmt: skip
    return connection.execute(query.limit(1)).first() is not None


def _uses(account: str) -> sa.ColumnElement[bool]:
    """The condition that a task uses an account, or waits for it or for a model of it."""
    of_a_model = T.c.account.startswith(f"{account}#", autoescape=True)
    return (T.c.account == account) | of_a_model
