"""The durable control plane: attempts as DBOS workflows on one queue. facts: engines.md, 9.

Only the daemon runs it, under a lock, so one executor id is one process. DBOS brings back the
workflow that was in flight when a daemon died; what its steps do is idempotent.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextvars import Context
from functools import partial
from typing import Any

from dbos import DBOS, DBOSConfig, EnqueueOptions
from sqlalchemy.exc import SQLAlchemyError

from agent_runner.crashpoints import crash_point
from agent_runner.no_space import says_no_space
from rover_mcp.config.settings import Settings
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.control_points import ControlPoint
from rover_mcp.control.daemon_lease import Leases
from rover_mcp.control.disk_full_wait import DiskFullWait
from rover_mcp.control.followed_attempts import Following
from rover_mcp.control.queue_rows import discard_unreadable
from rover_mcp.control.queue_tables import examine, prepare
from rover_mcp.domain.attempt_state import OPEN, AttemptState
from rover_mcp.domain.errors import RoverError
from rover_mcp.sandbox.protocol import SandboxExit
from rover_mcp.store.damaged_records import NONSENSE, tell_once
from rover_mcp.store.records import AttemptRow
from rover_mcp.store.row_changes import next_workflow
from rover_mcp.store.store import Store
from rover_mcp.tasks.task_ports import Trouble

QUEUE = "attempts"
WORKFLOW = "attempt"
HOLD = "hold"
APPLICATION_VERSION = "attempts-1"
"""The schema of the workflow, not of the program: an upgraded daemon takes old work up."""

HOLD_MARGIN_SECONDS = 0.05
"""How much later than a hold its timer fires: never before its time has come."""

AGAIN = "-again"
RECOVERY_SECONDS = 20.0
"""After the launch, for what was in flight to be brought back."""

TRIED_SECONDS = 5.0
"""For the first launch, before somebody is answered who asks whether tasks can be started."""

FAILED_TWICE = "the control plane failed twice on this attempt (see daemon.log)"
WORK_IS_KEPT = "the work is kept: resume_task continues from the checkpoint"

HARMLESS = (RoverError, SQLAlchemyError, *NONSENSE)
"""What one task's damaged record raises, in a table of ours or of the library's."""

log = logging.getLogger("rover.control")


class ControlPlane:
    """Starts and stops DBOS, enqueues attempts, and reconciles what the store says with it."""

    def __init__(
        self, settings: Settings, store: Store, database_url: str, leases: Leases | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._url = database_url
        self._ready = threading.Event()
        self._attempts: Attempts
        self._interval = settings.queue_poll
        self._leases = leases or Leases(settings.home, None, lease=settings.lease)
        self._launched = 0.0
        self._trouble: Trouble | None = None
        self._tried = threading.Event()
        self.following = Following()
        self.disk_full_wait = DiskFullWait()

    def start(self, attempts: Attempts) -> None:
        """Launch DBOS. Blocks for some tenths of a second. What it raises is `trouble` until it
        succeeds."""
        try:
            prepare(self._url)
            self._discard_unreadable()
            self._launch(attempts)
        except (*HARMLESS, OSError) as error:
            # One that failed half-way would take itself for launched.
            DBOS.destroy(destroy_registry=True)
            self._trouble = _trouble(error)
            raise
        finally:
            self._tried.set()
        self._ready.set()

    def trouble(self) -> Trouble | None:
        """Why no task can be started; None if they can. Waits for a launch that is under way, and
        looks whether what it found is still there."""
        self._tried.wait(TRIED_SECONDS)
        if not self._ready.is_set():
            return self._trouble
        try:
            examine(self._url)
        except (RoverError, SQLAlchemyError) as error:
            return _trouble(error)
        return None

    def _launch(self, attempts: Attempts) -> None:
        self._attempts = attempts
        config: DBOSConfig = {
            "name": "rover",
            "system_database_url": self._url,
            "executor_id": self._leases.executor,
            "application_version": APPLICATION_VERSION,
            "enable_otlp": False,
            "log_level": "WARNING",
        }
        self._leases.begin()
        DBOS(config=config)
        self._register(attempts)
        DBOS.launch()
        self._register_queue()
        self._launched = time.monotonic()
        attempts.waiting.await_credentials()

    def _register_queue(self) -> None:
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self._settings.concurrency,
            polling_interval_sec=self._interval,
            on_conflict="always_update",
        )

    def _discard_unreadable(self) -> None:
        """Take out what would keep the queue from being read. Its attempts are enqueued again."""
        try:
            discarded = discard_unreadable(self._url)
        except sqlite3.Error as error:
            log.warning("the queue's rows cannot be looked at now: %s", error)
            return
        if discarded:
            log.warning("rows of the queue that cannot be read are taken out: %s", discarded)
        if discarded and self._ready.is_set():
            self._register_queue()

    def wait_ready(self, timeout: float = 1) -> bool:
        return self._ready.wait(timeout)

    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None:
        """Put an attempt on the queue, at most once ever by its workflow id."""
        self._enqueue(WORKFLOW, attempt.workflow_id, delay, attempt.task_id, attempt.attempt)

    def _enqueue(self, workflow: str, workflow_id: str, delay: float, *args: object) -> None:
        if not self.wait_ready():
            # What is recorded is enqueued by `reconcile`, as soon as it is ready.
            return
        crash_point(ControlPoint.ENQUEUING)
        options: EnqueueOptions = {
            "queue_name": QUEUE,
            "workflow_name": workflow,
            "workflow_id": workflow_id,
            "app_version": APPLICATION_VERSION,
        }
        if delay > 0:
            options["delay_seconds"] = delay
        DBOS.enqueue_workflow_with_options(options, *args)

    # Holds

    def answered(self, task_id: str, attempt: int, model: str | None) -> None:
        """A model answered an attempt: if it was a probe, those who wait behind it go on."""
        if self.wait_ready() and self._attempts.waiting.answered(task_id, attempt, model):
            crash_point(ControlPoint.ACCOUNT_OPENED)
            self.tend()

    def tend(self) -> None:
        """Enqueue what no longer waits for an account, and see that each hold has its timer."""
        for row in self._attempts.waiting.tend():
            crash_point(ControlPoint.PROBE_CHOSEN)
            self.enqueue(row)
        for hold in self._store.holds.all():
            left = hold.until - time.time()
            if left > 0:
                crash_point(ControlPoint.HOLD_UNTIMED)
                name = f"hold-{hold.account}-{hold.until * 1000:.0f}"
                self._enqueue(HOLD, name, left + HOLD_MARGIN_SECONDS)

    def look(self) -> None:
        """Enqueue what waited for a credential that is there now."""
        if self.wait_ready():
            for row in self._attempts.waiting.look():
                self.enqueue(row)

    def look_for_room(self) -> None:
        """Enqueue what waited until something was out of its task's way, which it is now."""
        if self.wait_ready():
            for row in self._attempts.waiting.look_for_room():
                self.enqueue(row)

    def warn_of_log_ins(self) -> None:
        """Tell of logins that expire before tasks are to continue."""
        if self.wait_ready():
            self._attempts.waiting.warn_of_log_ins()

    def schedule(self, attempt: AttemptRow) -> None:
        """Enqueue an attempt that waits for its time; one that waits for its account has the
        hold's timer, and one that waits for a credential is looked after by `look`."""
        if attempt.state == AttemptState.SCHEDULED:
            self.enqueue(attempt, self._delay_of(attempt))
        elif attempt.state != AttemptState.AWAITING:
            self.tend()

    def _see_to_what_follows(self, task_id: str | None) -> None:
        """After an attempt or a hold has ended. Idempotent."""
        crash_point(ControlPoint.SETTLED)
        self.tend()
        waiting = self._attempts.finish.scheduled(task_id) if task_id is not None else None
        row = self._store.attempts.get(task_id, waiting) if task_id and waiting else None
        if row is not None:
            self.enqueue(row, self._delay_of(row))

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
        self._discard_unreadable()
        self.tend()
        for attempt in self._store.attempts.in_states(OPEN):
            try:
                # One of a task that cannot be read, or is gone, is nobody's to see through.
                if self._store.tasks.get(attempt.task_id) is not None:
                    self._reconcile(attempt)
            except HARMLESS as error:
                # One task's damaged record touches no other (L6).
                wrong = f"attempt {attempt.workflow_id} is left as it is: {error}"
                tell_once(log, wrong)

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
            self._leases.mark(task_id, attempt, workflow_id)
            work = partial(attempts.launch.claim, task_id, attempt, workflow_id)
            return self.disk_full_wait(task_id, work)

        @DBOS.step(name="launch")
        def launch(task_id: str, attempt: int) -> bool:
            return self.disk_full_wait(task_id, partial(attempts.launch.bring_up, task_id, attempt))

        @DBOS.step(name="what_follows")
        def what_follows(task_id: str | None) -> None:
            # Out of the workflow's context: what is enqueued is no child of it, and a
            # repetition finds it done.
            Context().run(self._see_to_what_follows, task_id)

        @DBOS.step(name="follow")
        def follow(task_id: str, attempt: int) -> dict[str, Any]:
            return vars(
                self.disk_full_wait(task_id, partial(attempts.wait.follow, task_id, attempt))
            )

        @DBOS.step(name="settle")
        def settle(task_id: str, attempt: int, ended: dict[str, Any]) -> int | None:
            work = partial(attempts.finish.settle, task_id, attempt, SandboxExit(**ended))
            return self.disk_full_wait(task_id, work)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=1000)
        def run_attempt(task_id: str, attempt: int) -> None:  # pyright: ignore[reportUnusedFunction]  # found by its name
            with self.following.attempt(task_id, attempt):
                if claim(task_id, attempt, str(DBOS.workflow_id)) and launch(task_id, attempt):
                    settle(task_id, attempt, follow(task_id, attempt))
            what_follows(task_id)

        @DBOS.workflow(name=HOLD, max_recovery_attempts=1000)
        def end_hold() -> None:  # pyright: ignore[reportUnusedFunction]  # found by its name
            what_follows(None)

    def followed(self, attempt: AttemptRow) -> bool:
        """Whether somebody sees the attempt through, here or in another daemon, or will."""
        if self.following.has(attempt.task_id, attempt.attempt):
            return True
        if self._leases.another_has(attempt.executor):
            return True
        status = DBOS.get_workflow_status(attempt.workflow_id)
        if status is None:
            return False
        if status.status == "PENDING":
            # DBOS brings back what was in flight, in a thread of its own after the launch.
            mine = status.executor_id == self._leases.executor
            return mine and time.monotonic() - self._launched < RECOVERY_SECONDS
        return status.status in ("ENQUEUED", "DELAYED")

    def foreign(self, attempt: AttemptRow) -> bool:
        """Whether another daemon claimed it."""
        return attempt.executor not in (None, self._leases.executor)

    def adopt(self, attempt: AttemptRow) -> bool:
        """Have an attempt that nobody follows seen through; False where another was quicker."""
        # A running one is claimed and started anew, which finds its sandbox where it is.
        state = AttemptState.STARTING if attempt.state == AttemptState.RUNNING else attempt.state
        again = next_workflow(attempt.workflow_id)
        taken = self._store.executors.take(attempt, state, again, None)
        if taken is None:
            return False
        DBOS.cancel_workflow(attempt.workflow_id)
        self.enqueue(taken, self._delay_of(taken))
        return True

    def _delay_of(self, attempt: AttemptRow) -> float:
        task = self._store.tasks.get(attempt.task_id)
        if attempt.state != AttemptState.SCHEDULED or task is None or task.retry_at is None:
            return 0
        return max(0.0, task.retry_at - time.time())

    def _revive(self, attempt: AttemptRow, error: Exception | None) -> None:
        """A bug or a broken database ended the workflow: once more, then it is a failure."""
        log.error("workflow %s ended without settling: %s", attempt.workflow_id, error)
        key = (attempt.task_id, attempt.attempt)
        full = says_no_space(str(error))
        if attempt.workflow_id.endswith(AGAIN) and not full:
            self._attempts.finish.give_up(*key, RoverError(FAILED_TWICE, hint=WORK_IS_KEPT))
            return
        # A running one is claimed and started anew, which finds its sandbox where it is.
        state = AttemptState.STARTING if attempt.state == AttemptState.RUNNING else attempt.state
        # A full disk is nobody's bug, and lasts as long as it lasts.
        again = next_workflow(attempt.workflow_id) if full else attempt.workflow_id + AGAIN
        if self._store.attempts.move(*key, (attempt.state,), workflow_id=again, state=state):
            fresh = self._store.attempts.get(*key)
            if fresh is not None:
                self.enqueue(fresh, self._delay_of(fresh))


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, RoverError):
        return Trouble(error.message, error.hint or "see daemon.log in the data folder")
    why = str(getattr(error, "orig", error)).partition("\n")[0]
    hint = "it is tried again every second; daemon.log in the data folder says more"
    return Trouble(f"no task can be started: {why}", hint)
