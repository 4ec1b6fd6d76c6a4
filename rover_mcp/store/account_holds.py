"""Paused tasks that go on by themselves: holds on accounts, their probes, and the switches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from rover_mcp.domain.attempt_state import BY_ITSELF, UNDER_WAY, WAITING, AttemptState
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store import schema
from rover_mcp.store.base import (
    A,
    H,
    T,
    Writes,
    attempt_at,
    lock_task,
    locked_hold,
    next_workflow,
    to_json,
)
from rover_mcp.store.damage import sound, tell_once
from rover_mcp.store.events import insert_for
from rover_mcp.store.kinds import LATEST
from rover_mcp.store.reads import attempt_query, switched_off
from rover_mcp.store.records import (
    EVERYWHERE,
    AttemptRow,
    DamagedRecord,
    HoldRow,
    Limit,
    ReportRow,
    TaskRow,
    attempt_row,
    report_row,
    task_row,
)

R = schema.reports
C = schema.calls
log = logging.getLogger("rover.store")

OPENED_EARLY: Final = ("usage_window", "credits")
"""Reasons of holds that may end before the time that was told: a provider resets everybody's
window, or the user buys."""


@dataclass(frozen=True)
class Reported:
    """What is known of an account beside a task's report."""

    others: Sequence[ReportRow]
    answered_at: float | None


class Waits(Writes):
    """What keeps every waiting task on its way."""

    def going_on(self, ids: Collection[str]) -> set[str]:
        """Those of these paused tasks that go on by themselves."""
        query = sa.select(A.c.task_id).join(T, T.c.id == A.c.task_id)
        waits = query.where(A.c.state.in_(BY_ITSELF), T.c.status == str(TaskStatus.PAUSED))
        with self._reader.connect() as connection:
            return set(ids) & set(connection.execute(waits).scalars())

    # Holds

    def _close_account(
        self,
        connection: sa.Connection,
        hold: HoldRow | None,
        refused: Callable[[HoldRow | None], HoldRow],
    ) -> HoldRow:
        """Write what a refusal makes of a hold; those who wait for it wait until its new end."""
        after = refused(hold)
        made = insert_for(connection, H).values(**vars(after))
        connection.execute(
            made.on_conflict_do_update(index_elements=[H.c.account], set_=vars(after))
        )
        held = self._held(connection, after.account)
        ids = [row.task_id for row in held]
        connection.execute(T.update().where(T.c.id.in_(ids)).values(retry_at=after.until))
        return after

    def _report(self, connection: sa.Connection, report: ReportRow) -> Reported:
        """Record what a task reports of a limit; what others did, and when its account last
        answered anybody."""
        limit = Limit.of(report.account)
        query = sa.select(R).where(R.c.account == report.account)
        others = sound(connection.execute(query), report_row)
        made = insert_for(connection, R).values(**vars(report))
        keys = [R.c.account, R.c.task_id]
        connection.execute(made.on_conflict_do_update(index_elements=keys, set_=vars(report)))
        answered = (
            sa.select(sa.func.max(C.c.at))
            .join(T, T.c.id == C.c.task_id)
            .where(_uses(limit.account), C.c.output_tokens > 0, C.c.at.between(0, LATEST))
        )
        if limit.model is not None:
            answered = answered.where(C.c.model.icontains(limit.model, autoescape=True))
        return Reported(others, connection.execute(answered).scalar())

    def reports(self, task_id: str) -> list[ReportRow]:
        """What a task reported of accounts."""
        query = sa.select(R).where(R.c.task_id == task_id)
        with self._reader.connect() as connection:
            return sound(connection.execute(query), report_row)

    def _held(self, connection: sa.Connection, account: str) -> list[AttemptRow]:
        """The attempts that wait for an account, the longest first. Their tasks are locked, in
        one order."""
        mine = sa.select(A.c.task_id).where(A.c.state == AttemptState.HELD)
        lock = sa.select(T.c.id).where(T.c.account == account, T.c.id.in_(mine))
        ids = connection.execute(lock.order_by(T.c.id).with_for_update()).scalars().all()
        query = sa.select(A).where(A.c.state == AttemptState.HELD, A.c.task_id.in_(ids))
        found = connection.execute(query.order_by(A.c.created_at, A.c.task_id))
        return sound(found, attempt_row)

    def _let_go(self, connection: sa.Connection, made: AttemptRow) -> AttemptRow:
        here = (A.c.task_id == made.task_id) & (A.c.attempt == made.attempt)
        values = {"state": AttemptState.RELEASED, "workflow_id": next_workflow(made.workflow_id)}
        connection.execute(A.update().where(here).values(**values))
        connection.execute(T.update().where(T.c.id == made.task_id).values(retry_at=self._now()))
        row = connection.execute(attempt_query(made.task_id, made.attempt)).one()
        return attempt_row(row)

    def open_account(
        self, account: str, probe: tuple[str, int], models: Collection[str] = ()
    ) -> bool:
        """End the hold of an account, and those of its `models`, as far as that attempt is their
        probe. Those who wait are let go by `let_go`."""
        keys = [account, *(str(Limit(account, model)) for model in models)]
        with self._engine.begin() as connection:
            done = connection.execute(
                H.delete().where(
                    H.c.account.in_(keys),
                    H.c.probe_task == probe[0],
                    H.c.probe_attempt == probe[1],
                )
            )
        return done.rowcount > 0

    def probed(self, probe: tuple[str, int]) -> list[Limit]:
        """What an attempt is the probe of."""
        return [h.limit for h in self.holds() if (h.probe_task, h.probe_attempt) == probe]

    def let_go(self, account: str, look_after: float = 0) -> list[AttemptRow]:
        """The attempts that no longer wait for an account; they are to be enqueued.

        All where it is open. Where its hold's time has come and no probe is out, the one that
        has waited longest: it is the probe. A probe that ended without a verdict (cancelled,
        paused for another reason) is replaced. With `look_after` the probe of a window or of
        credits also goes when nobody has asked the account for so many seconds: it may have been
        opened early.
        """
        with self._engine.begin() as connection:
            hold = locked_hold(connection, account)
            if hold is None:
                return [self._let_go(connection, row) for row in self._held(connection, account)]
            if self._probe_is_out(connection, hold):
                return []
            is_due = hold.until <= self._now() or self._may_look(connection, hold, look_after)
            held = self._held(connection, account) if is_due else []
            chosen = held[0] if held else None
            values = {
                "probe_task": chosen.task_id if chosen else None,
                "probe_attempt": chosen.attempt if chosen else None,
                "looked_at": self._now() if chosen else hold.looked_at,
            }
            connection.execute(H.update().where(H.c.account == account).values(**values))
            return [self._let_go(connection, chosen)] if chosen else []

    def _may_look(self, connection: sa.Connection, hold: HoldRow, look_after: float) -> bool:
        if look_after <= 0 or hold.reason not in OPENED_EARLY:
            return False
        asked = sa.select(sa.func.max(A.c.started_at)).join(T, T.c.id == A.c.task_id)
        keys = (hold.account, hold.limit.account)
        here = asked.where(T.c.account.in_(keys), A.c.started_at.between(0, LATEST))
        last = connection.execute(here).scalar() or 0
        last = max(hold.since, last, hold.looked_at or 0)
        return last + look_after <= self._now()

    def _probe_is_out(self, connection: sa.Connection, hold: HoldRow) -> bool:
        if hold.probe_task is None:
            return False
        try:
            made = attempt_at(connection, hold.probe_task, hold.probe_attempt or 0)
        except DamagedRecord as damaged:
            # It brings no verdict: another takes its place.
            tell_once(log, damaged.message)
            return False
        if made is None or made.state not in UNDER_WAY:
            return False
        query = sa.select(T.c.account).where(T.c.id == hold.probe_task)
        used = connection.execute(query).scalar()
        return isinstance(used, str) and Limit.of(used).account == hold.limit.account

    def waiting_accounts(self) -> set[str]:
        """Accounts that attempts wait for, whether they are closed or not."""
        query = (
            sa.select(T.c.account)
            .join(A, A.c.task_id == T.c.id)
            .where(A.c.state == AttemptState.HELD)
        )
        with self._reader.connect() as connection:
            found = connection.execute(query.distinct()).scalars()
            return {account for account in found if isinstance(account, str)}

    # Schedules

    def proven_open(self, least_wait: float) -> list[TaskRow]:
        """Paused tasks that wait for a person, and whose account has answered another task since;
        none that paused less than `least_wait` seconds ago, for it may be the account's fault
        no longer, but the task's own."""
        waits = sa.select(A.c.task_id).where(A.c.state.in_(WAITING))
        given_up = sa.select(T).where(
            T.c.status == str(TaskStatus.PAUSED), T.c.retry_at.is_(None), T.c.account.is_not(None),
            T.c.auto_resume, T.c.paused_at <= self._now() - least_wait, T.c.id.not_in(waits),
        )  # fmt: skip
        with self._reader.connect() as connection:
            found = sound(connection.execute(given_up), task_row)
            return [task for task in found if self._answered_since(connection, task)]

    def _answered_since(self, connection: sa.Connection, task: TaskRow) -> bool:
        query = (
            sa.select(C.c.task_id)
            .join(T, T.c.id == C.c.task_id)
            .where(
                T.c.account == task.account, C.c.output_tokens > 0,
                C.c.at.between(task.paused_at or 0, LATEST), C.c.task_id != task.id,
            )
        )  # fmt: skip
        return connection.execute(query.limit(1)).first() is not None

    def schedule(self, task_id: str, retry_at: float) -> AttemptRow | None:
        """Let a paused task go on by itself again: at `retry_at`, or when its account is open.
        None: it does already, is not paused, or automatic resumes are switched off for it."""
        task = self.task(task_id)
        keys = _limits_of(task) if task else ()
        with self._engine.begin() as connection:
            hold = next((hold for key in keys if (hold := locked_hold(connection, key))), None)
            row = lock_task(connection, task_id)
            if row is None or row.status != TaskStatus.PAUSED:
                return None
            if switched_off(connection, row.auto_resume, row.project_id) is not None:
                return None
            waiting = sa.select(A).where(A.c.task_id == task_id, A.c.state.in_(WAITING))
            if connection.execute(waiting).first() is not None:
                return None
            state = AttemptState.SCHEDULED if hold is None else AttemptState.HELD
            number = self._add_attempt(connection, row, state)
            at = retry_at if hold is None else hold.until
            values: dict[str, Any] = {"retry_at": at, "updated_at": self._now()}
            if hold is not None:
                values["account"] = hold.account
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            return attempt_row(connection.execute(attempt_query(task_id, number)).one())

    def drop_schedule(self, task_id: str, **columns: Any) -> None:
        """A paused task no longer goes on by itself. `columns` are set with that."""
        values = {k: to_json(v) for k, v in columns.items()}
        with self._engine.begin() as connection:
            dropped = connection.execute(
                T.update()
                .where(T.c.id == task_id, T.c.status == TaskStatus.PAUSED)
                .values(retry_at=None, updated_at=self._now(), **values)
            )
            if dropped.rowcount == 1:
                self._end_waiting_attempts(connection, task_id)

    # Switches

    def switch_task(self, task_id: str, *, enabled: bool) -> int:
        """Switch one task's automatic resumes; how many schedules that dropped."""
        with self._engine.begin() as connection:
            values = {"auto_resume": enabled, "updated_at": self._now()}
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            return 0 if enabled else self._drop_schedules(connection, T.c.id == task_id)

    def switch(self, project_id: str | None, *, enabled: bool) -> int:
        """Switch the automatic resumes of a project, or of all tasks (None); how many schedules
        that dropped. Off anywhere is off."""
        switches = schema.switches
        values = {
            "scope": EVERYWHERE if project_id is None else project_id,
            "auto_resume": enabled,
            "changed_at": self._now(),
        }
        with self._engine.begin() as connection:
            made = insert_for(connection, switches).values(**values)
            connection.execute(
                made.on_conflict_do_update(index_elements=[switches.c.scope], set_=values)
            )
            if enabled:
                return 0
            scope = sa.true() if project_id is None else T.c.project_id == project_id
            return self._drop_schedules(connection, scope)

    def _drop_schedules(self, connection: sa.Connection, scope: sa.ColumnElement[bool]) -> int:
        waiting = sa.select(A.c.task_id).where(A.c.state.in_(BY_ITSELF))
        query = sa.select(T.c.id).where(T.c.status == TaskStatus.PAUSED, T.c.id.in_(waiting), scope)
        ids = connection.execute(query.order_by(T.c.id).with_for_update()).scalars().all()
        now = self._now()
        connection.execute(T.update().where(T.c.id.in_(ids)).values(retry_at=None, updated_at=now))
        connection.execute(
            A.update()
            .where(A.c.task_id.in_(ids), A.c.state.in_(BY_ITSELF))
            .values(state=AttemptState.SUPERSEDED, ended_at=now)
        )
        return len(ids)


def _uses(account: str) -> sa.ColumnElement[bool]:
    """That a task uses an account, or waits for it or for a model of it."""
    of_a_model = T.c.account.startswith(f"{account}#", autoescape=True)
    return (T.c.account == account) | of_a_model


def _limits_of(task: TaskRow) -> list[str]:
    """The keys of what a paused task may have to wait for."""
    keys = [task.account]
    if task.pause is not None and task.pause.account is not None:
        keys += [task.pause.account, str(Limit(task.pause.account, task.pause.model))]
    return sorted({key for key in keys if key is not None})
