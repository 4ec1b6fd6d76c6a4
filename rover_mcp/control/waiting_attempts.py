"""The attempts that wait for their account, for a credential, or until an obstacle is gone."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from agent_runner.classify.scope import canonical_model
from rover_mcp.control.accounts import NoCredential, Use, Wait
from rover_mcp.control.attempt_context import AttemptContext, now
from rover_mcp.control.attempt_launch import AttemptLaunch
from rover_mcp.control.decide import is_the_accounts, retry_time
from rover_mcp.control.obstacle_check import is_gone
from rover_mcp.control.stacked_starts import StackedStarts
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.obstacles import obstacle_of
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.store.records import AttemptRow, TaskRow

SOON_SECONDS: Final = 6 * 3600.0
"""How long before its end the user is warned of a login that a running task uses and no program
renews."""


class WaitingAttempts:
    """Finds the attempts that need not wait any more, and schedules tasks again that may resume."""

    def __init__(self, context: AttemptContext, launch: AttemptLaunch) -> None:
        self._context = context
        self._launch = launch
        self._stacked = StackedStarts(context)

    def release_due(self) -> list[AttemptRow]:
        """Check every account that is closed or waited for. Return the attempts to enqueue: for an
        open account all that wait, for a closed one its next probe."""
        limits = {
            hold.account for hold in self._context.store.holds.all()
        } | self._context.store.holds.waiting_accounts()
        # Also accounts without a hold: it may have ended while no daemon ran, with attempts that
        # still wait for it.
        look_after = self._context.settings.retry.look_again
        released = [
            row
            for limit in sorted(limits)
            for row in self._context.store.holds.release(limit, look_after)
        ]
        return released + self._wake() + self._stacked.due()

    def _wake(self) -> list[AttemptRow]:
        """Schedule tasks that had used up their tries, and whose account has answered since."""
        retry = self._context.settings.retry
        if not self._context.settings.auto_resume or retry.max_auto_retries == 0:
            return []
        scheduled = [
            self._context.store.attempts.schedule(task.id, now().timestamp())
            for task in self._context.store.holds.proven_open(retry.transient_most)
            # An account that answers says nothing about a full disk or a damaged journal.
            if task.pause is not None and is_the_accounts(task.pause)
        ]
        return [row for row in scheduled if row is not None and row.state == AttemptState.SCHEDULED]

    def release_signed_in(self) -> list[AttemptRow]:
        """The attempts whose credential exists now, for the caller to enqueue."""
        released: list[AttemptRow] = []
        # What was found missing in this round is not looked for again.
        lacking: set[Hashable] = set()
        for row in self._context.store.attempts.in_states((AttemptState.AWAITING,)):
            task = self._context.task(row.task_id)
            if obstacle_of(task.pause) is not None:
                continue
            # Tasks of one user lack the same credential, whose command is run only once for all: it
            # may open a window that asks its user.
            alike = (task.agent, tuple(task.agents or ()), task.model, task.owner,
                     tuple(task.refused_keys or ()))  # fmt: skip
            if alike in lacking:
                continue
            if self._is_there(row):
                attempt = self._context.store.attempts.release(row.task_id, row.attempt)
                released += [attempt] if attempt else []
            else:
                lacking.add(alike)
        return released

    def release_unblocked(self) -> list[AttemptRow]:
        """The attempts whose obstacle is gone now, for the caller to enqueue."""
        released: list[AttemptRow] = []
        for row in self._context.store.attempts.in_states((AttemptState.AWAITING,)):
            task = self._context.task(row.task_id)
            settings, engine = self._context.settings, self._context.engines.get(task.engine)
            gone = is_gone(settings, task, engine)
            if gone and self._context.tries.take(task.id, settings.retry):
                attempt = self._context.store.attempts.release(row.task_id, row.attempt)
                released += [attempt] if attempt else []
        return released

    def _is_there(self, row: AttemptRow) -> bool:
        match self._launch.choose(row.task_id, row.attempt):
            case Use(account=account):
                return account is not None
            case Wait():
                return True  # there is a credential, and its account is closed
            case NoCredential():
                return False

    def warn_of_log_ins(self) -> None:
        """Tell, once for each task and hours before, that its login expires while it needs it and
        that no program renews it."""
        soon = now().timestamp() + SOON_SECONDS
        for row in self._context.store.attempts.in_states(
            (AttemptState.SCHEDULED, AttemptState.HELD, AttemptState.RUNNING)
        ):
            task = self._context.task(row.task_id)
            expiry = self._context.gateway.expiry(task.id, row.attempt, task.agent)
            needed = soon if row.state == AttemptState.RUNNING else task.retry_at
            if expiry is None or expiry.obstacle is None or needed is None or expiry.at > needed:
                continue
            begins = f"the login of {expiry.login} expires"
            if not any(warning.startswith(begins) for warning in task.warnings):
                before = (
                    "" if row.state == AttemptState.RUNNING else ", before this task is to continue"
                )
                why = f"and is not renewed automatically ({expiry.obstacle}): {expiry.advice}"
                self._context.warn(
                    task, f"{begins} at {utc_minute(expiry.at)}{before}, {why}", notable=True
                )

    def await_credentials(self) -> None:
        """Let each task wait again that is paused for a credential, for space or for its branch,
        and has no attempt that waits: a crash can come between the pause and the attempt's
        record."""
        for task in self._context.store.attempts.unattended():
            if self._context.is_awaited(task) and self._context.resumes_by_itself(task):
                self._context.store.attempts.await_again(task.id)

    def answered(self, task_id: str, attempt: int, model: str | None) -> bool:
        """Record that a model answered an attempt. True if that was a probe, and its account is
        open again."""
        task = self._context.store.tasks.get(task_id)
        if task is None or task.account is None:
            return False
        models = [canonical_model(model)] if model else []
        return self._context.store.holds.open(task.account, (task_id, attempt), models)

    def schedule(self, task: TaskRow) -> AttemptRow | None:
        """Let a paused task resume automatically again; None if its reason does not permit that."""
        if task.pause is None or not self._context.settings.auto_resume:
            return None
        if self._context.is_awaited(task):
            return self._context.store.attempts.await_again(task.id)
        retry = self._context.settings.retry
        at = retry_time(task.pause, task.auto_retries, retry, now(), self._context.uniform())
        return (
            self._context.store.attempts.schedule(task.id, at.timestamp())
            if at is not None
            else None
        )
