"""The durable control plane: attempts as DBOS workflows on one queue.

Only the daemon runs it, under a lock: a second process with the same executor id would start again
what the first one is running. DBOS recovers the workflow that was in flight when a daemon died and
repeats the step that had not ended, so every step is idempotent. A long wait is a delayed enqueue
and not a sleeping workflow, because one that sleeps or receives holds a slot of the queue.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

from dbos import DBOS, DBOSConfig, EnqueueOptions
from sqlalchemy.exc import SQLAlchemyError

from agent_runner.crashpoints import crash_point
from rover_mcp.config.settings import Settings
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.control_points import ControlPoint
from rover_mcp.control.daemon_lease import Leases
from rover_mcp.control.disk_full_wait import DiskFullWait, is_of_the_database
from rover_mcp.control.followed_attempts import FollowerCounts
from rover_mcp.control.queue_rows import discard_unreadable
from rover_mcp.control.queue_tables import examine, prepare
from rover_mcp.domain.attempt_state import OPEN, AttemptState
from rover_mcp.domain.errors import RoverError
from rover_mcp.sandbox.protocol import SandboxExit
from rover_mcp.store.damaged_records import NONSENSE, log_once
from rover_mcp.store.records import AttemptRow
from rover_mcp.store.row_changes import next_workflow
from rover_mcp.store.store import Store
from rover_mcp.tasks.task_ports import StartObstacle

QUEUE = "attempts"
WORKFLOW = "attempt"
HOLD = "hold"
APPLICATION_VERSION = "attempts-1"
"""The version of the workflow, not of the program. DBOS only recovers workflows of the same
version, so with the program's an upgraded daemon would leave the old work alone."""

HOLD_MARGIN_SECONDS = 0.05
"""How much later than the end of a hold its timer fires, since an early one would change
nothing."""

AGAIN = "-again"
"""The end of the id of a workflow that replaces one which failed."""
RECOVERY_SECONDS = 20.0
"""The time after a launch in which DBOS recovers workflows that were in flight."""

TRIED_SECONDS = 5.0
"""How long the question whether tasks can be started waits for the first launch."""

FAILED_TWICE = "the control plane failed twice on this attempt (see daemon.log)"
WORK_IS_KEPT = "the work is kept: resume_task continues from the checkpoint"

HARMLESS = (RoverError, SQLAlchemyError, *NONSENSE)
"""Errors that one task's damaged record can cause, in Rover's tables or in those of DBOS."""

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
        self._interval = self._registered = settings.queue_poll_idle
        self._leases = leases or Leases(settings.home, None, lease=settings.lease)
        self._launched = 0.0
        self._trouble: StartObstacle | None = None
        self._tried = threading.Event()
        self.following = FollowerCounts()
        self.disk_full_wait = DiskFullWait()

    def start(self, attempts: Attempts) -> None:
        """Launch DBOS. Blocks for some tenths of a second. If it raises an error, `trouble` returns
        that until a launch succeeds."""
        try:
            prepare(self._url)
            self._discard_unreadable()
            self._launch(attempts)
        except (*HARMLESS, OSError) as error:
            # After a launch that failed half-way DBOS takes itself for launched, and refuses
            # another.
            DBOS.destroy(destroy_registry=True)
            self._trouble = _trouble(error)
            raise
        finally:
            self._tried.set()
        self._ready.set()
        # A client may have come while DBOS was launched.
        self._set_interval()

    def trouble(self) -> StartObstacle | None:
        """Why no task can be started; None if they can. Waits for a launch that is under way, and
        checks that the tables are still there."""
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
        # Recovered workflows run at once, so other daemons have to see this one as alive before.
        self._leases.begin()
        DBOS(config=config)
        self._register(attempts)
        DBOS.launch()
        self._register_queue()
        self._launched = time.monotonic()
        attempts.waiting.await_credentials()

    def _register_queue(self) -> None:
        self._registered = self._interval
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self._settings.concurrency,
            polling_interval_sec=self._registered,
            on_conflict="always_update",
        )

    def _discard_unreadable(self) -> None:
        """Delete rows that make DBOS unable to read the queue. Their attempts are enqueued
        again."""
        try:
            discarded = discard_unreadable(self._url)
        except sqlite3.Error as error:
            log.warning("the queue's rows cannot be checked now: %s", error)
            return
        if discarded:
            log.warning("rows of the queue that cannot be read are deleted: %s", discarded)
        if discarded and self._ready.is_set():
            self._register_queue()

    def wait_ready(self, timeout: float = 1) -> bool:
        """Whether DBOS is launched, after at most `timeout` seconds."""
        return self._ready.wait(timeout)

    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None:
        """Put an attempt on the queue. DBOS runs a workflow id only once, so repeating it is
        harmless."""
        self._enqueue(WORKFLOW, attempt.workflow_id, delay, attempt.task_id, attempt.attempt)

    def _enqueue(self, workflow: str, workflow_id: str, delay: float, *args: object) -> None:
        if not self.wait_ready():
            # `reconcile` enqueues recorded attempts when DBOS is launched.
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
        """Record that a model answered an attempt. If that was a probe, the attempts that wait for
        the account are enqueued."""
        if self.wait_ready() and self._attempts.waiting.answered(task_id, attempt, model):
            crash_point(ControlPoint.ACCOUNT_OPENED)
            self.enqueue_released()

    def enqueue_released(self) -> None:
        """Enqueue the attempts that no longer wait for an account, and set a timer for each
        hold."""
        for row in self._attempts.waiting.release_due():
            crash_point(ControlPoint.PROBE_CHOSEN)
            self.enqueue(row)
        for hold in self._store.holds.all():
            left = hold.until - time.time()
            if left > 0:
                crash_point(ControlPoint.HOLD_UNTIMED)
                # The id holds the end: DBOS runs an id only once, so a hold that is extended gets a
                # further timer, and a repetition of this gets none.
                name = f"hold-{hold.account}-{hold.until * 1000:.0f}"
                self._enqueue(HOLD, name, left + HOLD_MARGIN_SECONDS)

    def enqueue_signed_in(self) -> None:
        """Enqueue the attempts whose credential exists now."""
        if self.wait_ready():
            for row in self._attempts.waiting.release_signed_in():
                self.enqueue(row)

    def enqueue_unblocked(self) -> None:
        """Enqueue the attempts whose obstacle is gone now."""
        if self.wait_ready():
            for row in self._attempts.waiting.release_unblocked():
                self.enqueue(row)

    def warn_of_log_ins(self) -> None:
        """Warn of logins that expire before tasks continue."""
        if self.wait_ready():
            self._attempts.waiting.warn_of_log_ins()

    def schedule(self, attempt: AttemptRow) -> None:
        """Enqueue an attempt that waits for its time. For one that waits for an account the hold
        has a timer, and `enqueue_signed_in` finds one that waits for a credential."""
        if attempt.state == AttemptState.SCHEDULED:
            self.enqueue(attempt, self._delay_of(attempt))
        elif attempt.state != AttemptState.AWAITING:
            self.enqueue_released()

    def _see_to_what_follows(self, task_id: str | None) -> None:
        """Enqueue what may start after an attempt or a hold has ended. Idempotent."""
        crash_point(ControlPoint.SETTLED)
        self.enqueue_released()
        waiting = self._attempts.finish.scheduled(task_id) if task_id is not None else None
        row = self._store.attempts.get(task_id, waiting) if task_id and waiting else None
        if row is not None:
            self.enqueue(row, self._delay_of(row))

    def set_eager(self, eager: bool) -> None:
        """Poll the queue often while a client waits for a start. DBOS has no way to be woken."""
        self._interval = self._settings.queue_poll if eager else self._settings.queue_poll_idle
        if self._ready.is_set():
            self._set_interval()

    def _set_interval(self) -> None:
        if self._interval == self._registered:
            return
        self._registered = self._interval
        queue = DBOS.retrieve_queue(QUEUE)
        if queue is not None:
            queue.set_polling_interval_sec(self._registered)

    def reconcile(self) -> None:
        """Make sure that every attempt that is not over has a workflow.

        Rover records an attempt and then enqueues it in DBOS. After a crash between the two it is
        enqueued again under the same id. An attempt whose workflow ended without settling it gets a
        new one.
        """
        self._discard_unreadable()
        self.enqueue_released()
        for attempt in self._store.attempts.in_states(OPEN):
            try:
                # Nothing can be decided for an attempt whose task is gone or cannot be read.
                if self._store.tasks.get(attempt.task_id) is not None:
                    self._reconcile(attempt)
            except HARMLESS as error:
                # One task's damaged record must not stop the other tasks.
                wrong = f"attempt {attempt.workflow_id} is left as it is: {error}"
                log_once(log, wrong)

    def _reconcile(self, attempt: AttemptRow) -> None:
        status = DBOS.get_workflow_status(attempt.workflow_id)
        if status is None:
            self.enqueue(attempt, self._delay_of(attempt))
        elif status.status in ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
            self._revive(attempt, status.error)

    def _register(self, attempts: Attempts) -> None:
        """Register the attempt's workflow and its steps with DBOS."""
        what_follows = self._register_hold()

        @DBOS.step(name="claim")
        def claim(task_id: str, attempt: int, workflow_id: str) -> bool:
            self._leases.mark(task_id, attempt, workflow_id)
            work = partial(attempts.launch.claim, task_id, attempt, workflow_id)
            return self.disk_full_wait(task_id, work)

        @DBOS.step(name="launch")
        def launch(task_id: str, attempt: int) -> bool:
            return self.disk_full_wait(task_id, partial(attempts.launch.bring_up, task_id, attempt))

        @DBOS.step(name="follow")
        def follow(task_id: str, attempt: int) -> dict[str, Any]:
            return vars(
                self.disk_full_wait(task_id, partial(attempts.wait.follow, task_id, attempt))
            )

        @DBOS.step(name="settle")
        def settle(task_id: str, attempt: int, ended: dict[str, Any]) -> int | None:
            work = partial(attempts.finish.settle, task_id, attempt, SandboxExit(**ended))
            return self.disk_full_wait(task_id, work)

        # DBOS counts how often it recovered a workflow, and gives it up at this number. An attempt
        # lasts for hours, and may see many restarts of the daemon.
        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=1000)
        def run_attempt(task_id: str, attempt: int) -> None:  # pyright: ignore[reportUnusedFunction]  # found by its name
            with self.following.attempt(task_id, attempt):
                if claim(task_id, attempt, str(DBOS.workflow_id)) and launch(task_id, attempt):
                    settle(task_id, attempt, follow(task_id, attempt))
            what_follows(task_id)

    def _register_hold(self) -> Callable[[str | None], None]:
        """Register the workflow for the end of a hold, and its only step, which is the last one of
        an attempt's workflow, too."""

        @DBOS.step(name="what_follows")
        def what_follows(task_id: str | None) -> None:
            # In the workflow's context DBOS would take what is enqueued for children of this
            # workflow. Outside of it only the ids count, so a repetition of the step finds
            # everything done.
            Context().run(self._see_to_what_follows, task_id)

        @DBOS.workflow(name=HOLD, max_recovery_attempts=1000)
        def end_hold() -> None:  # pyright: ignore[reportUnusedFunction]  # found by its name
            what_follows(None)

        return what_follows

    def followed(self, attempt: AttemptRow) -> bool:
        """Whether a workflow follows the attempt, here or in another daemon, or will do so."""
        if self.following.has(attempt.task_id, attempt.attempt):
            return True
        if self._leases.another_has(attempt.executor):
            return True
        status = DBOS.get_workflow_status(attempt.workflow_id)
        if status is None:
            return False
        if status.status == "PENDING":
            # DBOS recovers what was in flight in a thread of its own, some time after the launch.
            # It never recovers those of another executor id: they stay PENDING until `adopt`.
            mine = status.executor_id == self._leases.executor
            return mine and time.monotonic() - self._launched < RECOVERY_SECONDS
        return status.status in ("ENQUEUED", "DELAYED")

    def foreign(self, attempt: AttemptRow) -> bool:
        """Whether another daemon has claimed the attempt."""
        return attempt.executor not in (None, self._leases.executor)

    def adopt(self, attempt: AttemptRow) -> bool:
        """Give an attempt that no workflow follows to a new workflow; False if another daemon was
        quicker."""
        # The new workflow claims and starts the attempt, which attaches to a sandbox that runs
        # already.
        state = AttemptState.STARTING if attempt.state == AttemptState.RUNNING else attempt.state
        again = next_workflow(attempt.workflow_id)
        taken = self._store.executors.take(attempt, state, again, None)
        if taken is None:
            return False
        # Should the old one be recovered after all, it must not run beside the new one.
        DBOS.cancel_workflow(attempt.workflow_id)
        self.enqueue(taken, self._delay_of(taken))
        return True

    def _delay_of(self, attempt: AttemptRow) -> float:
        task = self._store.tasks.get(attempt.task_id)
        if attempt.state != AttemptState.SCHEDULED or task is None or task.retry_at is None:
            return 0
        return max(0.0, task.retry_at - time.time())

    def _revive(self, attempt: AttemptRow, error: Exception | None) -> None:
        """Replace a workflow that ended with an error, once: after a second error the task
        fails."""
        log.error("workflow %s ended without settling: %s", attempt.workflow_id, error)
        key = (attempt.task_id, attempt.attempt)
        outside = is_of_the_database(error)
        if attempt.workflow_id.endswith(AGAIN) and not outside:
            self._attempts.finish.give_up(*key, RoverError(FAILED_TWICE, hint=WORK_IS_KEPT))
            return
        # The new workflow claims and starts the attempt, which attaches to a sandbox that runs
        # already.
        state = AttemptState.STARTING if attempt.state == AttemptState.RUNNING else attempt.state
        # A disk that is full or does not answer is not a bug that a repetition would show again, so
        # these do not count.
        again = next_workflow(attempt.workflow_id) if outside else attempt.workflow_id + AGAIN
        if self._store.attempts.move(*key, (attempt.state,), workflow_id=again, state=state):
            fresh = self._store.attempts.get(*key)
            if fresh is not None:
                self.enqueue(fresh, self._delay_of(fresh))


def _trouble(error: Exception) -> StartObstacle:
    if isinstance(error, RoverError):
        return StartObstacle(error.message, error.hint or "see daemon.log in the data folder")
    why = str(getattr(error, "orig", error)).partition("\n")[0]
    hint = "it is tried again every second; daemon.log in the data folder says more"
    return StartObstacle(f"no task can be started: {why}", hint)
