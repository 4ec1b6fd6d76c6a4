"""The durable control plane: attempts as DBOS workflows on one queue. facts: engines.md, 9.

Only the daemon runs it, under a lock, so one executor id is one process. DBOS brings back the
workflow that was in flight when a daemon died; what its steps do is idempotent.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, EnqueueOptions

from rover_mcp.control.attempts import OPEN_STATES, Attempts
from rover_mcp.errors import RoverError
from rover_mcp.sandbox.protocol import SandboxExit
from rover_mcp.settings import Settings
from rover_mcp.store.rows import AttemptRow
from rover_mcp.store.store import Store

QUEUE = "attempts"
WORKFLOW = "attempt"
APPLICATION_VERSION = "attempts-1"
"""The schema of the workflow, not of the program: an upgraded daemon takes old work up."""

AGAIN = "-again"
FAILED_TWICE = "the control plane failed twice on this attempt (see daemon.log)"
WORK_IS_KEPT = "the work is kept: resume_task goes on from the checkpoint"

log = logging.getLogger("rover.control")


class ControlPlane:
    """Starts and stops DBOS, enqueues attempts, and reconciles what the store says with it."""

    def __init__(self, settings: Settings, store: Store, database_url: str) -> None:
        self._settings = settings
        self._store = store
        self._url = database_url
        self._ready = threading.Event()
        self._attempts: Attempts
        self._interval = settings.queue_poll

    def start(self, attempts: Attempts) -> None:
        """Launch DBOS. Blocks for some tenths of a second."""
        _quiet_logs()
        self._attempts = attempts
        config: DBOSConfig = {
            "name": "rover",
            "system_database_url": self._url,
            "executor_id": "roverd",
            "application_version": APPLICATION_VERSION,
            "enable_otlp": False,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        self._register(attempts)
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self._settings.concurrency,
            polling_interval_sec=self._interval,
            on_conflict="always_update",
        )
        self._ready.set()

    def wait_ready(self, timeout: float = 30) -> bool:
        return self._ready.wait(timeout)

    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None:
        """Put an attempt on the queue, at most once ever by its workflow id."""
        self.wait_ready()
        options: EnqueueOptions = {
            "queue_name": QUEUE,
            "workflow_name": WORKFLOW,
            "workflow_id": attempt.workflow_id,
            "app_version": APPLICATION_VERSION,
        }
        if delay > 0:
            options["delay_seconds"] = delay
        DBOS.enqueue_workflow_with_options(options, attempt.task_id, attempt.attempt)

    def set_eager(self, eager: bool) -> None:
        """Poll often while somebody waits for a start: DBOS cannot be woken."""
        interval = self._settings.queue_poll if eager else self._settings.queue_poll_idle
        if interval == self._interval or not self._ready.is_set():
            return
        self._interval = interval
        queue = DBOS.retrieve_queue(QUEUE)
        if queue is not None:
            queue.set_polling_interval_sec(interval)

    def reconcile(self) -> None:
        """Every attempt that is not over has a workflow that will see it through (L8).

        A crash between our record and DBOS's leaves one without: it is enqueued again under
        the same id. One whose workflow ended without settling it gets another.
        """
        for attempt in self._store.attempts_in(OPEN_STATES):
            try:
                self._reconcile(attempt)
            except RoverError as error:
                # One task's damaged record touches no other (L6).
                log.warning("attempt %s is left as it is: %s", attempt.workflow_id, error)

    def _reconcile(self, attempt: AttemptRow) -> None:
        status = DBOS.get_workflow_status(attempt.workflow_id)
        if status is None:
            self.enqueue(attempt, self._delay_of(attempt))
        elif status.status in ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
            self._revive(attempt, status.error)

    def _register(self, attempts: Attempts) -> None:
        """Register the attempt's workflow and its steps with DBOS."""

        @DBOS.step(name="claim")
        def claim(task_id: str, attempt: int, workflow_id: str) -> bool:
            return attempts.claim(task_id, attempt, workflow_id)

        @DBOS.step(name="launch")
        def launch(task_id: str, attempt: int) -> bool:
            return attempts.launch(task_id, attempt)

        @DBOS.step(name="scheduled")
        def scheduled(task_id: str) -> int | None:
            return attempts.scheduled(task_id)

        @DBOS.step(name="follow")
        def follow(task_id: str, attempt: int) -> dict[str, Any]:
            return vars(attempts.follow(task_id, attempt))

        @DBOS.step(name="settle")
        def settle(task_id: str, attempt: int, ended: dict[str, Any]) -> int | None:
            return attempts.settle(task_id, attempt, SandboxExit(**ended))

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=1000)
        def run_attempt(task_id: str, attempt: int) -> None:  # pyright: ignore[reportUnusedFunction]  # found by its name
            if not claim(task_id, attempt, str(DBOS.workflow_id)):
                return
            if launch(task_id, attempt):
                waiting = settle(task_id, attempt, follow(task_id, attempt))
            else:
                waiting = scheduled(task_id)
            row = self._store.attempt(task_id, waiting) if waiting else None
            if row is not None:
                self.enqueue(row, self._delay_of(row))

    def _delay_of(self, attempt: AttemptRow) -> float:
        task = self._store.task(attempt.task_id)
        if attempt.state != "scheduled" or task is None or task.retry_at is None:
            return 0
        return max(0.0, task.retry_at - time.time())

    def _revive(self, attempt: AttemptRow, error: Exception | None) -> None:
        """A bug or a broken database ended the workflow: once more, then it is a failure."""
        log.error("workflow %s ended without settling: %s", attempt.workflow_id, error)
        key = (attempt.task_id, attempt.attempt)
        if attempt.workflow_id.endswith(AGAIN):
            self._attempts.give_up(*key, RoverError(FAILED_TWICE, hint=WORK_IS_KEPT))
            return
        # A running one is claimed and started anew, which finds its sandbox where it is.
        state = "starting" if attempt.state == "running" else attempt.state
        again = attempt.workflow_id + AGAIN
        if self._store.move_attempt(*key, (attempt.state,), workflow_id=again, state=state):
            fresh = self._store.attempt(*key)
            if fresh is not None:
                self.enqueue(fresh, self._delay_of(fresh))


def _quiet_logs() -> None:
    logging.getLogger("dbos").setLevel(logging.WARNING)


def database_url(home: Path) -> str:
    """The embedded database of a data folder."""
    return f"sqlite:///{home / 'rover.db'}"
