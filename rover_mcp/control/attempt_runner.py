"""One attempt, from its claim to what follows from its end.

Every method is idempotent: the durable workflow that calls them repeats the one that was in
flight when a daemon died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final

from agent_runner.classify.scope import canonical_model
from agent_runner.models import Snapshot
from rover_mcp.control.accounts import NoCredential, Use, Wait
from rover_mcp.control.attempt_context import now, told
from rover_mcp.control.attempt_finish import Settles
from rover_mcp.control.attempt_launch import Starts
from rover_mcp.control.attempt_wait import Follows
from rover_mcp.control.control_ports import utc
from rover_mcp.control.decide import is_the_accounts, retry_time
from rover_mcp.control.obstacle_check import is_gone
from rover_mcp.control.snapshots import T, with_hub
from rover_mcp.domain.attempt_state import OPEN, AttemptState
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.obstacles import obstacle_of
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.records import AttemptRow, TaskRow

SOON_SECONDS: Final = 6 * 3600.0
"""Before its end, a log-in that nobody renews is told to whom has a task running with it."""


class Attempts(Starts, Follows, Settles):
    """Carries out attempts, and keeps those that wait on their way."""

    def give_up(self, task_id: str, attempt: int, error: RoverError) -> None:
        """The control plane cannot carry this attempt out: the task fails, or, where it only
        waited for this attempt, it waits for a person."""
        self._check_record(task_id, attempt)
        task = self._task(task_id)
        self._remove(task, attempt)
        if task.attempt == attempt:
            self.gateway.close(task_id)
        if self._fail(task_id, attempt, error) is None and task.status is TaskStatus.PAUSED:
            self.store.attempts.drop_schedule(task_id)
            self._warn(task, f"it does not resume automatically: {told(error)}")
        self.store.attempts.move(
            task_id, attempt, OPEN, state=AttemptState.ENDED, ended_at=time.time(),
            detail=error.message,
        )  # fmt: skip

    def import_snapshots(self, task: TaskRow) -> Snapshot | None:
        """Bring home what the sandbox committed so far; the last snapshot."""
        return self.from_hub(task, lambda last: last)

    def from_hub(self, task: TaskRow, work: Callable[[Snapshot | None], T]) -> T:
        """See with_hub."""
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        return with_hub(task, folders, self.hub_of(task.project_id), work)

    # Waiting

    def tend(self) -> list[AttemptRow]:
        """See to every account that is closed or waited for; the attempts that are to be
        enqueued now: all, where it is open again, or its next probe."""
        limits = {
            hold.account for hold in self.store.holds.all()
        } | self.store.holds.waiting_accounts()
        look_after = self.settings.retry.look_again
        found = [
            row for limit in sorted(limits) for row in self.store.holds.release(limit, look_after)
        ]
        return found + self._wake()

    def _wake(self) -> list[AttemptRow]:
        """Schedule the tasks that had given up and whose account has answered since (K3)."""
        retry = self.settings.retry
        if not self.settings.auto_resume or retry.max_auto_retries == 0:
            return []
        found = [
            self.store.attempts.schedule(task.id, now().timestamp())
            for task in self.store.holds.proven_open(retry.transient_most)
            if task.pause is not None and is_the_accounts(task.pause)
        ]
        return [row for row in found if row is not None and row.state == AttemptState.SCHEDULED]

    def look(self) -> list[AttemptRow]:
        """The attempts that waited for a credential which is there now: they are to be enqueued."""
        found: list[AttemptRow] = []
        lacking: set[Hashable] = set()
        for row in self.store.attempts.in_states((AttemptState.AWAITING,)):
            task = self._task(row.task_id)
            if obstacle_of(task.pause) is not None:
                continue
            # What one lacks, another of the same user lacks too: a command is asked once.
            alike = (task.agent, tuple(task.agents or ()), task.model, task.owner,
                     tuple(task.refused_keys or ()))  # fmt: skip
            if alike in lacking:
                continue
            if self._is_there(row):
                made = self.store.attempts.release(row.task_id, row.attempt)
                found += [made] if made else []
            else:
                lacking.add(alike)
        return found

    def look_for_room(self) -> list[AttemptRow]:
        """The attempts that waited until something was out of their task's way, which it is now:
        they are to be enqueued."""
        found: list[AttemptRow] = []
        for row in self.store.attempts.in_states((AttemptState.AWAITING,)):
            task = self._task(row.task_id)
            gone = is_gone(self.settings, task, self.engines.get(task.engine))
            if gone and self.tries.take(task.id, self.settings.retry):
                made = self.store.attempts.release(row.task_id, row.attempt)
                found += [made] if made else []
        return found

    def _is_there(self, row: AttemptRow) -> bool:
        match self._choose(row.task_id, row.attempt):
            case Use(account=account):
                return account is not None
            case Wait():
                return True  # then its account is closed
            case NoCredential():
                return False

    def warn_of_log_ins(self) -> None:
        """Tell, once for each task and hours before, that its log-in expires while it needs it and
        that no program renews it."""
        soon = now().timestamp() + SOON_SECONDS
        for row in self.store.attempts.in_states(
            (AttemptState.SCHEDULED, AttemptState.HELD, AttemptState.RUNNING)
        ):
            task = self._task(row.task_id)
            found = self.gateway.expiry(task.id, row.attempt, task.agent)
            needed = soon if row.state == AttemptState.RUNNING else task.retry_at
            if found is None or found.obstacle is None or needed is None or found.at > needed:
                continue
            begins = f"the log-in of {found.log_in} expires"
            if not any(warning.startswith(begins) for warning in task.warnings):
                before = (
                    "" if row.state == AttemptState.RUNNING else ", before this task is to continue"
                )
                why = f"and is not renewed automatically ({found.obstacle}): {found.advice}"
                self._warn(task, f"{begins} at {utc(found.at)}{before}, {why}", notable=True)

    def await_credentials(self) -> None:
        """See that each task that is paused for want of a credential waits for one, and one that
        waits for space or for its branch does so: also those that were paused before this
        version."""
        for task in self.store.attempts.unattended():
            if self._is_awaited(task) and self._goes_by_itself(task):
                self.store.attempts.await_again(task.id)

    def answered(self, task_id: str, attempt: int, model: str | None) -> bool:
        """A model answered an attempt. True: it was a probe, and what it tried is open again."""
        task = self.store.tasks.get(task_id)
        if task is None or task.account is None:
            return False
        models = [canonical_model(model)] if model else []
        return self.store.holds.open(task.account, (task_id, attempt), models)

    def schedule(self, task: TaskRow) -> AttemptRow | None:
        """Let a paused task resume automatically again, if its reason permits that; None: not."""
        if task.pause is None or not self.settings.auto_resume:
            return None
        if self._is_awaited(task):
            return self.store.attempts.await_again(task.id)
        retry = self.settings.retry
        at = retry_time(task.pause, task.auto_retries, retry, now(), self.uniform())
        return self.store.attempts.schedule(task.id, at.timestamp()) if at is not None else None
