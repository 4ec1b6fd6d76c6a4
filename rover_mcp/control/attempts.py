"""One attempt, from its claim to what follows from its end.

Every method is idempotent: the durable workflow that calls them repeats the one that was in
flight when a daemon died.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agent_runner.classify.scope import canonical_model
from agent_runner.models import Snapshot
from rover_mcp.control.decide import retry_time
from rover_mcp.control.follow import Follows
from rover_mcp.control.parts import OPEN_STATES, now, told
from rover_mcp.control.settle import Settles
from rover_mcp.control.snapshots import T, with_hub
from rover_mcp.control.start import Starts
from rover_mcp.errors import RoverError
from rover_mcp.store.rows import AttemptRow, TaskRow
from rover_mcp.tasks.folders import TaskFolders
from rover_mcp.tasks.models import TaskStatus


class Attempts(Starts, Follows, Settles):
    """Carries out attempts, and keeps those that wait on their way."""

    def give_up(self, task_id: str, attempt: int, error: RoverError) -> None:
        """The control plane cannot carry this attempt out: the task fails, or, where it only
        waited for this attempt, it waits for a person."""
        task = self._task(task_id)
        self._remove(task, attempt)
        if task.attempt == attempt:
            self.gateway.close(task_id)
        if self._fail(task_id, attempt, error) is None and task.status is TaskStatus.PAUSED:
            self.store.drop_schedule(task_id)
            self._warn(task, f"it does not go on by itself: {told(error)}")
        self.store.move_attempt(
            task_id, attempt, OPEN_STATES, state="ended", ended_at=time.time(),
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
        limits = {hold.account for hold in self.store.holds()} | self.store.waiting_accounts()
        return [row for limit in sorted(limits) for row in self.store.let_go(limit)]

    def answered(self, task_id: str, attempt: int, model: str | None) -> bool:
        """A model answered an attempt. True: it was a probe, and what it tried is open again."""
        task = self.store.task(task_id)
        if task is None or task.account is None:
            return False
        models = [canonical_model(model)] if model else []
        return self.store.open_account(task.account, (task_id, attempt), models)

    def schedule(self, task: TaskRow) -> AttemptRow | None:
        """Let a paused task go on by itself again, if its reason permits that; None: not."""
        if task.pause is None or not self.settings.auto_resume:
            return None
        retry = self.settings.retry
        at = retry_time(task.pause, task.auto_retries, retry, now(), self.uniform())
        return self.store.schedule(task.id, at.timestamp()) if at is not None else None
