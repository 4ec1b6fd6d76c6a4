"""What all parts of control need for an attempt: the parts of the daemon, and current rows."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent_runner.models import Pause, PauseReason, RunState
from rover_mcp.config.settings import Settings
from rover_mcp.control.accounts import Option
from rover_mcp.control.control_ports import AttemptGateway, HubOf, ResolutionRounds
from rover_mcp.control.decide import NEVER_BY_ITSELF, PauseFor, retry_time
from rover_mcp.control.journal_watch import JournalWatch
from rover_mcp.control.needed_models import need_of
from rover_mcp.control.resume_tries import ResumeTries
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.domain.attempt_state import STARTED, AttemptState
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.obstacles import is_watched
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import RUNNING, Event, TaskStatus
from rover_mcp.sandbox.protocol import Engine, SandboxExit
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.store.transitions import AccountRefusal
from rover_mcp.tasks.pause_view import awaits_credential

log = logging.getLogger("rover.attempts")

GIT_STOOD_STILL = "git_timeout"
"""The code of the error for a git on this machine that was stopped because it made no progress."""

UNSETTLED = frozenset({*RUNNING, TaskStatus.CANCELLED})
"""Statuses in which the present attempt may not be settled yet. A cancelled task stays
cancelled."""


@dataclass
class AttemptContext:
    """The parts of the daemon that an attempt uses, and what several modules do with them. The
    daemon's wiring builds the real objects."""

    settings: Settings
    store: Store
    engines: Mapping[str, Engine]
    hub_of: HubOf
    gateway: AttemptGateway
    live: JournalWatch
    warm_pool: WarmPool
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[], float] = random.random
    offers_service: Callable[[], bool] = lambda: False
    """Whether to offer the user now, once, a service that starts Rover after a reboot."""
    rounds: ResolutionRounds | None = None
    """Set by the daemon's wiring: what judges the answers of tasks that resolve conflicts."""
    starting: dict[str, CancelToken] = field(default_factory=dict[str, CancelToken])
    """The token that cancels the preparation of a task's sandbox, by task."""
    tries: ResumeTries = field(default_factory=ResumeTries)

    def task(self, task_id: str) -> TaskRow:
        task = self.store.tasks.get(task_id)
        if task is None:
            raise EnvironmentFault(f"task {task_id} is gone from the store")
        return task

    def check_record(self, task_id: str, attempt: int) -> None:
        """Check that this version knows the attempt's state. Nothing is decided by an unknown one.

        Raises:
            DamagedRecord: the state is unknown; the message names the attempt.
        """
        try:
            self.store.attempts.get(task_id, attempt)
        except DamagedRecord as damaged:
            if "state" in damaged.fields:
                raise

    def resumes_by_itself(self, task: TaskRow) -> bool:
        """Whether automatic resumes are on for the task, its project and all tasks."""
        return self.settings.auto_resume and self.store.switches.off_for(task) is None

    def is_awaited(self, task: TaskRow) -> bool:
        """Whether a paused task waits for something that is checked regularly."""
        pause = task.pause
        if pause is None:
            return False
        return awaits_credential(task, pause) or self.is_watched(pause, task.auto_retries)

    def is_watched(self, pause: Pause, retries: int) -> bool:
        return is_watched(pause, retries, self.settings.retry.max_auto_retries)

    def options(self, task: TaskRow, attempt: int, agent: str) -> Iterator[Option]:
        """An agent with each account that it may use, in their order."""
        need = need_of(self.settings.home, task, agent)
        for account in self.gateway.accounts(task.id, attempt, agent):
            yield Option(agent, account, need)

    def is_unwanted(self, task: TaskRow) -> bool:
        """Whether the task must stop: it was cancelled, or a person asked for a pause."""
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        fresh = self.store.tasks.get(task.id)
        cancelled = fresh is not None and fresh.status is TaskStatus.CANCELLED
        return cancelled or folders.pause_request.exists()

    def open_gateway(self, task: TaskRow, attempt: int) -> None:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        self.gateway.open(task.id, attempt, folders.gateway_socket, task.gateway_token, task.agent)

    def pause(
        self,
        task: TaskRow,
        attempt: int,
        decision: PauseFor,
        state: RunState | None,
        *,
        retries: int = 0,
        awaits: bool = False,
        closes: AccountRefusal | None = None,
    ) -> TaskRow | None:
        pause, at = decision.pause, decision.retry_at
        columns: dict[str, Any] = {
            "pause": pause,
            "retry_at": at.timestamp() if at else None,
            "auto_retries": retries,
        }
        if state is not None:
            columns["run_state"] = state
        data = pause.model_dump(mode="json") | {
            "auto_retries": retries,
            # Only the event of the pause says so: it is reported once.
            "exhausted": at is None and self._has_exhausted(task, pause, retries),
            "offers_service": at is not None and self.offers_service(),
        }
        return self.store.transitions.apply(
            task.id, Event.PAUSE, attempt=attempt, schedule=at is not None, awaits=awaits,
            closes=closes, data=data, **columns,
        )  # fmt: skip

    def pause_for_git(self, task: TaskRow, message: str) -> PauseFor:
        """The pause after a git on this machine made no progress. The same is tried again later."""
        pause = Pause(reason=PauseReason.INTERRUPTED, message=message, since=now())
        if not self.resumes_by_itself(task):
            return PauseFor(pause, None)
        at = retry_time(pause, task.auto_retries, self.settings.retry, now(), self.uniform())
        return PauseFor(pause.model_copy(update={"retry_at": at}), at)

    def _has_exhausted(self, task: TaskRow, pause: Pause, retries: int) -> bool:
        permitted = pause.reason not in NEVER_BY_ITSELF and self.resumes_by_itself(task)
        return permitted and 0 < retries >= self.settings.retry.max_auto_retries

    def end(self, task_id: str, attempt: int, ended: SandboxExit, detail: str) -> None:
        self.store.attempts.move(
            task_id, attempt, STARTED,
            state=AttemptState.ENDED, ended_at=time.time(), exit_code=ended.code,
            detail=detail or ended.detail,
        )  # fmt: skip

    def fail(self, task_id: str, attempt: int, error: RoverError) -> TaskRow | None:
        data = {"error": error.message, "hint": error.hint}
        return self.store.transitions.apply(
            task_id, Event.FAIL, attempt=attempt, data=data, error=with_hint(error)
        )

    def remove_sandbox(self, task: TaskRow, attempt: int) -> None:
        try:
            self.engines[task.engine].remove(sandbox_name(task.id, attempt))
        except EnvironmentFault as fault:
            log.warning("what is left of task %s stays: %s", task.id, fault.message)

    def warn(self, task: TaskRow, message: str, *, notable: bool = False) -> None:
        warnings = self.task(task.id).warnings
        if message not in warnings:
            self.store.events.add(task.id, "task.warning", {"message": message}, notable=notable)
            self.store.tasks.update(task.id, warnings=[*warnings, message])


def is_on(task: TaskRow, attempt: int) -> bool:
    """Whether the task runs in this attempt, by the record."""
    return task.attempt == attempt and task.status in RUNNING


def with_hint(error: RoverError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def now() -> datetime:
    return datetime.now(UTC)
