"""The changes of a task's status, each in one transaction with its event and its attempts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from agent_runner.models import RunState, Snapshot
from rover_mcp.domain.attempt_state import BY_ITSELF, AttemptState
from rover_mcp.domain.event_kinds import REBASE
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.operation import OperationKind
from rover_mcp.domain.task_status import (
    DELETING,
    RUNNING,
    Event,
    TaskStatus,
    advance,
    sources,
)
from rover_mcp.store import store_tables
from rover_mcp.store.account_holds import AccountReports, close_account, record_report
from rover_mcp.store.database import Database
from rover_mcp.store.events import has_event, insert_event
from rover_mcp.store.operations import has_open_operation
from rover_mcp.store.record_reading import attempt_row, task_row
from rover_mcp.store.records import RESTART, AttemptRow, HoldRow, Limit, ReportRow, TaskRow
from rover_mcp.store.resume_switches import switched_off
from rover_mcp.store.row_changes import (
    WHO,
    add_attempt,
    attempt_at,
    before_iteration,
    before_resume,
    columns_after,
    end_waiting_attempts,
    lock_live_task,
    lock_task,
    locked_hold,
    locked_task,
    next_workflow,
    resume_task_row,
    this_attempt,
    to_json,
)

T = store_tables.tasks
A = store_tables.attempts

NOTABLE: Final = frozenset({Event.PAUSE, Event.RESUME, Event.COMPLETE, Event.FAIL, Event.CANCEL})

_OF_OTHERS: Final = frozenset({*WHO, "auto_retries"})
"""Columns that a failed start restores only if another agent or account was to take over."""


@dataclass(frozen=True)
class AccountRefusal:
    """A refusal by an account, and how it changes the hold with the key `limit`.

    With `waits` the task's next attempt waits for the end of `waits_for`, by default the same hold,
    and has no time of its own. With a `report` the hold is only placed if `confirmed` returns True
    for what else is known; otherwise the account is closed to this task alone.
    """

    limit: str
    refused: Callable[[HoldRow | None], HoldRow]
    waits: bool
    waits_for: str | None = None
    report: ReportRow | None = None
    confirmed: Callable[[AccountReports], bool] = lambda _: True

    @property
    def awaited(self) -> str:
        """The key of the limit that the task's next attempt waits for."""
        return self.waits_for or self.limit


class TaskTransitions:
    """Every change of a task's status."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(
        self,
        task_id: str,
        event: Event,
        *,
        expected: Collection[TaskStatus] | None = None,
        attempt: int | None = None,
        unstarted: bool = False,
        schedule: bool = False,
        awaits: bool = False,
        closes: AccountRefusal | None = None,
        data: dict[str, Any] | None = None,
        **columns: Any,
    ) -> TaskRow | None:
        """Apply `event` if the task is in one of `expected` (default: wherever the table allows
        it), still at `attempt` if that is given, and with `unstarted` only while that attempt is
        queued. Return None otherwise: something else has happened to the task meanwhile.

        The event is recorded in the same transaction. With `schedule`, so is the attempt that
        resumes the task automatically, and with `awaits` one that waits for a credential, unless
        automatic resumes are switched off. `closes` places a hold on an account.
        """
        with self._database.write() as connection:
            holds = _lock_holds(connection, closes)
            task = lock_live_task(connection, task_id)
            statuses = sources(event) if expected is None else sources(event) & set(expected)
            if task is None or not _is_in(connection, task, statuses, attempt, unstarted=unstarted):
                return None
            if (schedule or awaits) and _may_not_resume(connection, task):
                schedule, awaits, columns["retry_at"] = False, False, None
            until = self._close(connection, holds, closes) if closes else None
            if schedule and until is not None and closes is not None:
                columns |= {"retry_at": until, "account": closes.awaited}
                data = {**(data or {}), "retry_at": datetime.fromtimestamp(until, UTC).isoformat()}
            after = self._apply(connection, task, event, columns, data or {})
            if schedule or awaits:
                state = _waiting_state(schedule=schedule, held=until is not None)
                add_attempt(connection, self._database.now(), task, state)
        self._database.on_event()
        return after

    def _apply(
        self,
        connection: sa.Connection,
        task: sa.Row[Any],
        event: Event,
        columns: dict[str, Any],
        details: dict[str, Any],
    ) -> TaskRow:
        """Write the status after `event`, and the event; the task as it is then."""
        target, now = advance(TaskStatus(task.status), event), self._database.now()
        values = columns_after(now, target, columns)
        connection.execute(T.update().where(T.c.id == task.id).values(**values))
        notable = event in NOTABLE
        insert_event(connection, now, task.id, event, target, details, notable=notable)
        if target is TaskStatus.PAUSED or event is Event.CANCEL:
            end_waiting_attempts(connection, now, task.id)
        return task_row(connection.execute(locked_task(task.id)).one())

    def _close(
        self, connection: sa.Connection, holds: Mapping[str, HoldRow | None], closes: AccountRefusal
    ) -> float | None:
        """Place the hold, if it is confirmed. The time until which the next attempt waits, or
        None."""
        if closes.report and not closes.confirmed(record_report(connection, closes.report)):
            return None
        # In the transaction of the task's own change: between the two another task could start on
        # the closed account.
        until = close_account(connection, holds[closes.limit], closes.refused).until
        if not closes.waits:
            return None
        if closes.awaited == closes.limit:
            return until
        # If the other hold has ended meanwhile, the attempt may start at once.
        other = holds[closes.awaited]
        return other.until if other is not None else self._database.now()

    def resume(
        self, task_id: str, client_id: str | None, *, restart: bool = False, **columns: Any
    ) -> tuple[TaskRow, AttemptRow] | None:
        """Set a PAUSED, FAILED or CANCELLED task running, with a new attempt that is queued; with
        `restart` only a FAILED one, and the attempt runs its iteration from the start. Of several
        callers one gets the task, and its `columns` are set. None for the others, and if the task's
        deletion has begun."""
        values = {k: to_json(v) for k, v in columns.items()}
        with self._database.write() as connection:
            task = lock_live_task(connection, task_id)
            # The task is locked first, so of two callers the second one finds it running and gets
            # None.
            event = Event.RESTART if restart else Event.RESUME
            if task is None or task.status not in sources(event):
                return None
            if task.status == TaskStatus.CANCELLED and has_event(connection, task_id, DELETING):
                return None
            now = self._database.now()
            attempt = _queue_now(connection, now, task, client_id)
            resume_task_row(connection, now, task, attempt, automatic=False, restart=restart)
            # A person who resumes may have replaced a refused credential in a place that Rover does
            # not read.
            values["refused_keys"] = None
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            here = this_attempt(task_id, attempt)
            if restart:
                connection.execute(A.update().where(here).values(detail=RESTART))
            resumed = task_row(connection.execute(locked_task(task_id)).one())
            queued = attempt_row(connection.execute(sa.select(A).where(here)).one())
        self._database.on_event()
        return resumed, queued

    def iterate(
        self,
        task_id: str,
        attempt: int,
        client_id: str | None,
        given: IterationInput,
        event: Event = Event.ITERATE,
        **columns: Any,
    ) -> tuple[TaskRow, AttemptRow] | None:
        """Set a task that ended at `attempt` running in a further iteration, with an attempt that
        is queued. Of several callers one gets the task, and its `columns` are set. None for the
        others, and if the task's deletion has begun. With the `event` NEXT_ROUND the task is still
        running: it has done an iteration, and goes into the next one without a stop."""
        with self._database.write() as connection:
            task = lock_live_task(connection, task_id)
            if task is None or task.status not in sources(event):
                return None
            if task.attempt != attempt or has_event(connection, task_id, DELETING):
                return None
            # It is about to move the branch that the iteration would begin on.
            if has_open_operation(connection, task_id, OperationKind.REBASE):
                return None
            now, iteration = self._database.now(), task.iteration + 1
            before = before_iteration(task) if event is Event.ITERATE else None
            number = add_attempt(
                connection, now, task, AttemptState.QUEUED,
                iteration=iteration, client_id=client_id, before=before,
            )  # fmt: skip
            columns |= _iteration_columns(iteration, number, given)
            text = given.instructions.text[:500] if given.instructions else ""
            data: dict[str, Any] = {"iteration": iteration, "attempt": number, "instructions": text}
            if given.begin is not None:
                data["snapshot"] = f"s{given.begin.sequence}"
            begun = self._apply(connection, task, event, columns, data)
            here = this_attempt(task_id, number)
            queued = attempt_row(connection.execute(sa.select(A).where(here)).one())
        self._database.on_event()
        return begun, queued

    def rebased(
        self, task_id: str, snapshot: Snapshot, onto: str, base_branch: str, data: dict[str, Any]
    ) -> TaskRow | None:
        """Record that a task's branch stands on `onto`, with the snapshot as its result. Its status
        stays. None where it has been deleted; recorded already, nothing changes."""
        with self._database.write() as connection:
            task = connection.execute(locked_task(task_id)).one_or_none()
            if task is None:
                return None
            row = task_row(task)
            state = row.run_state or RunState()
            if row.onto == onto and state.snapshot == snapshot:
                return row
            now = self._database.now()
            values = {
                "run_state": to_json(state.model_copy(update={"snapshot": snapshot})),
                "onto": onto,
                "base_branch": base_branch,
                "updated_at": now,
            }
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            insert_event(connection, now, task_id, REBASE, row.status, data, notable=False)
            after = task_row(connection.execute(locked_task(task_id)).one())
        self._database.on_event()
        return after

    def undo_resume(
        self,
        task_id: str,
        attempt: int,
        error: str,
        hint: str | None,
        retry_at: float | None = None,
    ) -> bool:
        """Restore a task to what it was before a resume whose start failed. With `retry_at` another
        attempt is scheduled. If another agent or account was to take over, the task waits for its
        own account again, and no retry is used up."""
        limit = self._limit_before(task_id, attempt)
        with self._database.write() as connection:
            hold = locked_hold(connection, limit)
            task = lock_task(connection, task_id)
            row = attempt_at(connection, task_id, attempt)
            if task is None or row is None or row.before is None:
                return False
            if task.attempt != attempt or task.status not in RUNNING:
                return False
            took_over = _took_over(task, row.before)
            held = hold is not None and took_over and retry_at is not None
            # `retry_at` is only set together with an attempt: the task's view shows it as a
            # promise.
            retry_at = hold.until if hold is not None and held else retry_at
            now = self._database.now()
            values = _restored(row.before, took_over=took_over)
            values |= {"retry_at": retry_at, "updated_at": now}
            connection.execute(T.update().where(T.c.id == task_id).values(**values))
            if retry_at is not None:
                state = AttemptState.HELD if held else AttemptState.SCHEDULED
                add_attempt(connection, now, task, state)
            data = {"error": error, "hint": hint, "retry_at": retry_at}
            status = TaskStatus(row.before["status"])
            insert_event(connection, now, task_id, "task.resume_failed", status, data, notable=True)
        self._database.on_event()
        return True

    def _limit_before(self, task_id: str, attempt: int) -> str | None:
        """The key of what a task used or waited for before an attempt."""
        # Every transaction locks holds before tasks, so the key has to be known before it begins.
        with self._database.read() as connection:
            row = attempt_at(connection, task_id, attempt)
        before: dict[str, Any] = (row.before if row else None) or {}
        pause: dict[str, Any] = before.get("pause") or {}
        account: str | None = before.get("account")
        if account is not None and pause.get("account") == account:
            return str(Limit(account, pause.get("model")))
        return account


def _iteration_columns(iteration: int, attempt: int, given: IterationInput) -> dict[str, Any]:
    """The columns of a task that begins a further iteration."""
    return {
        "iteration": iteration,
        "attempt": attempt,
        "auto_retries": 0,
        "iteration_input": given,
        "run_state": given.start(),
        "refused_keys": None,
    }


def _may_not_resume(connection: sa.Connection, task: sa.Row[Any]) -> bool:
    """Whether the task's automatic resumes are switched off, in this transaction."""
    return switched_off(connection, task.auto_resume, task.project_id) is not None


def _waiting_state(*, schedule: bool, held: bool) -> AttemptState:
    """The state of an attempt that waits for its time, an account's hold, or a credential."""
    if not schedule:
        return AttemptState.AWAITING
    return AttemptState.HELD if held else AttemptState.SCHEDULED


def _lock_holds(
    connection: sa.Connection, closes: AccountRefusal | None
) -> Mapping[str, HoldRow | None]:
    """The holds that a refusal concerns, by their keys."""
    # Sorted, so that two transactions which need the same holds lock them in one order.
    keys = sorted({closes.limit, closes.awaited}) if closes else []
    return {key: locked_hold(connection, key) for key in keys}


def _is_in(
    connection: sa.Connection,
    task: sa.Row[Any],
    statuses: Collection[TaskStatus],
    attempt: int | None,
    *,
    unstarted: bool,
) -> bool:
    """Whether the task has one of the statuses, is at `attempt` if one is given, and with
    `unstarted` whether that is queued."""
    if task.status not in statuses:
        return False
    task_row(task)  # raises for a damaged record, whose number of an attempt means nothing
    if attempt is not None and task.attempt != attempt:
        return False
    if not unstarted:
        return True
    row = attempt_at(connection, task.id, task.attempt)
    return row is not None and row.state == AttemptState.QUEUED


def _queue_now(
    connection: sa.Connection, now: float, task: sa.Row[Any], client_id: str | None
) -> int:
    """Queue the attempt that waits for its time, or else a new one; its number. It gets a new
    workflow id, so that the workflow that waits does not take it, too."""
    waiting = (A.c.task_id == task.id) & A.c.state.in_(BY_ITSELF)
    row = connection.execute(sa.select(A).where(waiting)).first()
    values: dict[str, Any] = {"client_id": client_id, "before": before_resume(task)}
    if row is None:
        return add_attempt(connection, now, task, AttemptState.QUEUED, **values)
    values |= {"state": AttemptState.QUEUED, "workflow_id": next_workflow(row.workflow_id)}
    connection.execute(A.update().where(waiting).values(**values))
    return row.attempt


def _restored(before: Mapping[str, Any], *, took_over: bool) -> dict[str, Any]:
    """The columns of a task whose resume failed to start."""
    values = {n: v for n, v in before.items() if took_over or n not in _OF_OTHERS}
    pause: dict[str, Any] | None = before.get("pause")
    if pause is not None and not took_over:
        # The time that the provider named does not end what prevented the start, so the next try
        # uses up a retry.
        values["pause"] = {**pause, "uses_try": True}
    return values


def _took_over(task: sa.Row[Any], before: Mapping[str, Any]) -> bool:
    """Whether another agent, model or account was to continue a task than before."""
    account = before.get("account")
    if before.get("agent") is None or (account is None and before["agent"] == task.agent):
        return False
    others = any(before.get(name) != getattr(task, name) for name in WHO if name != "account")
    return others or Limit.of(account or "").account != task.account
