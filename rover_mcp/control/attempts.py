"""One attempt, from its claim to what follows from its end.

Every method is idempotent: the durable workflow that calls them repeats the one that was in
flight when a daemon died.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent_runner.agents import agent_provider
from agent_runner.models import ExitCode, Pause, PauseReason, RunState, RunStatus, Snapshot
from rover_mcp.control.decide import Decision, Fail, Finish, PauseFor, decide, retry_time
from rover_mcp.control.live import UNREADABLE, LiveStates, read_state
from rover_mcp.control.ports import GatewayDoor, HubOf
from rover_mcp.control.snapshots import export_restore, import_snapshots
from rover_mcp.control.specify import make_folders, sandbox_spec
from rover_mcp.errors import EnvironmentFault, RoverError
from rover_mcp.sandbox.protocol import Engine, SandboxExit, SandboxSpec
from rover_mcp.settings import Settings
from rover_mcp.store.rows import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.folders import TaskFolders
from rover_mcp.tasks.identifiers import sandbox_name
from rover_mcp.tasks.logs import plain
from rover_mcp.tasks.models import TaskStatus
from rover_mcp.tasks.transitions import RUNNING, Event

log = logging.getLogger("rover.attempts")

ENGINE_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)
"""How long an unreachable engine is left alone before it is asked again; the last repeats."""

OPEN_STATES = ("queued", "scheduled", "starting", "running")
"""States of an attempt that a workflow has to see through."""

UNSETTLED = frozenset({*RUNNING, TaskStatus.CANCELLED})
"""Statuses of a task whose present attempt has not been settled; a cancelled one keeps its own."""


@dataclass
class Attempts:
    """Carries out attempts. All real objects come from the daemon's wiring."""

    settings: Settings
    store: Store
    engines: Mapping[str, Engine]
    hub_of: HubOf
    gateway: GatewayDoor
    live: LiveStates
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[], float] = random.random

    # Start

    def claim(self, task_id: str, attempt: int, workflow_id: str) -> bool:
        """Take the attempt if its turn has come and nothing else happened to the task (K6)."""
        task = self.store.start_attempt(task_id, attempt, workflow_id)
        if task is None:
            return False
        if not _is_on(task, attempt):
            self._discard(task, attempt)
            return False
        missing = self.gateway.missing_credential(task_id, task.agent)
        if missing is None:
            return True
        pause = Pause(
            reason=PauseReason.AUTH,
            message=missing,
            since=_now(),
            provider=agent_provider(task.agent),
        )
        self._pause(task, attempt, PauseFor(pause, None), None)
        self._end(task_id, attempt, SandboxExit(None), "not started: no credential")
        return False

    def launch(self, task_id: str, attempt: int) -> bool:
        """Bring the sandbox up; False if that failed and the task has been given back (I4)."""
        task = self._task(task_id)
        if not _is_on(task, attempt):
            if task.status is TaskStatus.CANCELLED and task.attempt == attempt:
                return True  # nothing is started; `follow` ends what a crash left running
            self._discard(task, attempt)
            return False
        try:
            spec = self._specify(task, attempt)
            engine = self.engines[task.engine]
            self._open_gateway(task, attempt)
            engine.prepare(spec, self._progress(task_id))
            engine.ensure(spec)
        except RoverError as error:
            self._start_failed(task, attempt, error)
            return False
        except OSError as error:
            self._start_failed(task, attempt, EnvironmentFault(f"cannot start: {error}"))
            return False
        if self.store.move_attempt(
            task_id, attempt, ("starting",), state="running", started_at=time.time()
        ):
            self.store.add_event(task_id, "task.sandbox", {"attempt": attempt})
        return True

    def _specify(self, task: TaskRow, attempt: int) -> SandboxSpec:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        make_folders(folders, attempt)
        hub = self.hub_of(task.project_id)
        restore = export_restore(task, folders, attempt, hub)
        return sandbox_spec(self.settings, task, attempt, hub.base_objects, restore)

    def _start_failed(self, task: TaskRow, attempt: int, error: RoverError) -> None:
        # What may have begun ends before the task is given back: then the next may begin.
        self._remove(task, attempt)
        self.gateway.close(task.id)
        again = self._again_after(task, attempt)
        at = again.timestamp() if again else None
        if not self.store.undo_resume(task.id, attempt, error.message, error.hint, at):
            self._fail(task.id, attempt, error)
        self._end(task.id, attempt, SandboxExit(None), error.message)

    def _fail(self, task_id: str, attempt: int, error: RoverError) -> TaskRow | None:
        data = {"error": error.message, "hint": error.hint}
        return self.store.transition(
            task_id, Event.FAIL, attempt=attempt, data=data, error=_told(error)
        )

    def _discard(self, task: TaskRow, attempt: int) -> None:
        """An attempt whose task has moved on: nothing of it stays."""
        self._remove(task, attempt)
        self._end(task.id, attempt, SandboxExit(None), f"the task was {task.status} already")

    def give_up(self, task_id: str, attempt: int, error: RoverError) -> None:
        """The control plane cannot carry this attempt out: the task fails, or, where it only
        waited for this attempt, it waits for a person."""
        task = self._task(task_id)
        self._remove(task, attempt)
        if task.attempt == attempt:
            self.gateway.close(task_id)
        if self._fail(task_id, attempt, error) is None and task.status is TaskStatus.PAUSED:
            self.store.drop_schedule(task_id)
            self._warn(task, f"it does not go on by itself: {_told(error)}")
        self.store.move_attempt(
            task_id, attempt, OPEN_STATES, state="ended", ended_at=time.time(),
            detail=error.message,
        )  # fmt: skip

    def _again_after(self, task: TaskRow, attempt: int) -> datetime | None:
        """When a paused task tries again after a start that failed (K4: it counts)."""
        row = self.store.attempt(task.id, attempt)
        before = row.before if row else None
        if before is None or before["status"] != TaskStatus.PAUSED or before["pause"] is None:
            return None
        pause = Pause.model_validate(before["pause"])
        if not (task.auto_resume and self.settings.auto_resume):
            return None
        if before["retry_at"] is not None and before["retry_at"] > time.time():
            return datetime.fromtimestamp(before["retry_at"], UTC)
        pause = pause.model_copy(update={"retry_at": None})
        return retry_time(pause, task.auto_retries, self.settings.retry, _now(), self.uniform())

    def _open_gateway(self, task: TaskRow, attempt: int) -> None:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        self.gateway.open(task.id, attempt, folders.gateway_socket, task.gateway_token, task.agent)

    def _progress(self, task_id: str) -> Callable[[str], None]:
        """Tells of a long preparation, at most twice a second: a build prints a lot."""
        last = 0.0

        def tell(line: str) -> None:
            nonlocal last
            if time.monotonic() - last >= 0.5:
                last = time.monotonic()
                self.store.add_event(task_id, "task.preparing", {"message": line[:500]})

        return tell

    # Follow

    def follow(self, task_id: str, attempt: int) -> SandboxExit:
        """Wait until the sandbox has ended. An engine that cannot be reached changes nothing
        (L3): it is asked again until it answers."""
        task = self._task(task_id)
        engine = self.engines[task.engine]
        name = sandbox_name(task_id, attempt)
        self.live.refresh(task_id)
        tries = 0
        while True:
            try:
                self._open_gateway(task, attempt)
                self._stop_if_unwanted(task, name)
                return engine.follow(name)
            except EnvironmentFault as fault:
                if tries == 0:
                    self._tell_unreachable(task_id, fault)
                self.sleep(ENGINE_RETRY_SECONDS[min(tries, len(ENGINE_RETRY_SECONDS) - 1)])
                tries += 1

    def _stop_if_unwanted(self, task: TaskRow, name: str) -> None:
        """A pause or a cancellation that came while the sandbox was being started, or while its
        engine could not be reached."""
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        fresh = self.store.task(task.id)
        cancelled = fresh is not None and fresh.status is TaskStatus.CANCELLED
        if cancelled or folders.pause_request.exists():
            self.engines[task.engine].stop(name, self.settings.stop_grace)

    def stop(self, task: TaskRow, name: str) -> None:
        """Ask a sandbox to checkpoint and end. An engine that cannot be reached is told of."""
        try:
            self.engines[task.engine].stop(name, self.settings.stop_grace)
        except EnvironmentFault as fault:
            self._tell_unreachable(task.id, fault)

    def _tell_unreachable(self, task_id: str, fault: EnvironmentFault) -> None:
        data = {"message": fault.message, "hint": fault.hint}
        self.store.add_event(task_id, "task.engine_unreachable", data)

    # End

    def settle(self, task_id: str, attempt: int, ended: SandboxExit) -> int | None:
        """Bring the work home and decide what follows. The number of the attempt that is to go
        on by itself, at the task's `retry_at`; None where none is."""
        task = self._task(task_id)
        if task.attempt == attempt and task.status in UNSETTLED:
            self.live.refresh(task_id)
            # Before the status changes: the next attempt may open its own door at once.
            self.gateway.close(task_id)
            self._conclude(task, attempt, ended)
            self.live.forget(task_id)
        self._end(task_id, attempt, ended, "")
        self._remove(task, attempt)
        return self.scheduled(task_id)

    def _conclude(self, task: TaskRow, attempt: int, ended: SandboxExit) -> None:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        retries = self._retries(task, folders)
        decision, state = self._judge(task, attempt, ended, retries)
        decision = self._bring_home(task, folders, decision)
        if isinstance(decision, Finish):
            after = self.store.transition(
                task.id, Event.COMPLETE, attempt=attempt, run_state=state, auto_retries=0
            )
        elif isinstance(decision, Fail):
            data = {"error": decision.error}
            after = self.store.transition(
                task.id, Event.FAIL, attempt=attempt, data=data,
                run_state=state, error=decision.error,
            )  # fmt: skip
        else:
            after = self._pause(task, attempt, decision, state, retries)
        if after is None:
            # It was cancelled, perhaps just now: what it did until then is kept.
            self.store.update_task(task.id, run_state=state)

    def _remove(self, task: TaskRow, attempt: int) -> None:
        try:
            self.engines[task.engine].remove(sandbox_name(task.id, attempt))
        except EnvironmentFault as fault:
            log.warning("what is left of task %s stays: %s", task.id, fault.message)

    def scheduled(self, task_id: str) -> int | None:
        """The attempt that is to go on by itself, if there is one."""
        waiting = self.store.attempts_in(("scheduled",))
        return next((a.attempt for a in waiting if a.task_id == task_id), None)

    def _last_words(self, task: TaskRow, attempt: int) -> str:
        """What a runner printed that ended before its journal began."""
        try:
            printed = self.engines[task.engine].logs(sandbox_name(task.id, attempt), 5)
        except EnvironmentFault:
            return ""
        return f"the runner did not start: {plain(printed)[-1000:].strip()}" if printed else ""

    def _retries(self, task: TaskRow, folders: TaskFolders) -> int:
        """Automatic retries so far; progress or another provider starts the count anew (K4)."""
        try:
            after = read_state(folders.journal)
        except UNREADABLE:
            return task.auto_retries
        before = task.run_state
        if before is None or _went_on(before, after):
            return 0
        providers = {state.pause.provider for state in (before, after) if state.pause}
        return 0 if len(providers) > 1 else task.auto_retries

    def _judge(
        self, task: TaskRow, attempt: int, ended: SandboxExit, retries: int
    ) -> tuple[Decision, RunState]:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        try:
            state = read_state(folders.journal)
        except UNREADABLE as error:
            # Nothing is guessed and nothing deleted (C2): a person decides.
            return Fail(f"the journal cannot be used: {error}"), task.run_state or RunState()
        if state.status is RunStatus.NEW and ended.code == ExitCode.FAILED and not ended.detail:
            ended = replace(ended, detail=self._last_words(task, attempt))
        decision = decide(
            ended,
            state,
            attempt=attempt,
            auto_retries=retries,
            auto_resume=task.auto_resume and self.settings.auto_resume,
            pause_requested=folders.pause_request.exists(),
            retry=self.settings.retry,
            now=_now(),
            random=self.uniform(),
        )
        return decision, state

    def _bring_home(self, task: TaskRow, folders: TaskFolders, decision: Decision) -> Decision:
        """Import what the sandbox committed; publish the branch where the work is done.

        Work that cannot be imported or published is not done, whatever the journal says: the
        task is FAILED, and resume_task has nothing to do but this again.
        """
        try:
            import_snapshots(task, folders, self.hub_of(task.project_id))
        except RoverError as error:
            told = f"the work could not be taken out of the sandbox: {_told(error)}"
            self._warn(task, told)
            return Fail(told) if isinstance(decision, Finish) else decision
        if isinstance(decision, Finish) and self._task(task.id).status in RUNNING:
            try:
                hub = self.hub_of(task.project_id)
                hub.publish(task.id, Path(task.project_path), task.branch)
            except RoverError as error:
                return Fail(
                    "the work is done, but its branch is not in your repository: "
                    f"{_told(error)}; then resume_task puts it there"
                )
        return decision

    def import_snapshots(self, task: TaskRow) -> Snapshot | None:
        """Bring home what the sandbox committed so far; the last snapshot."""
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        return import_snapshots(task, folders, self.hub_of(task.project_id))

    def _pause(
        self,
        task: TaskRow,
        attempt: int,
        decision: PauseFor,
        state: RunState | None,
        retries: int = 0,
    ) -> TaskRow | None:
        pause, at = decision.pause, decision.retry_at
        columns: dict[str, Any] = {
            "pause": pause,
            "retry_at": at.timestamp() if at else None,
            "auto_retries": retries,
        }
        if state is not None:
            columns["run_state"] = state
        data = pause.model_dump(mode="json")
        return self.store.transition(
            task.id, Event.PAUSE, attempt=attempt, schedule=at is not None, data=data, **columns
        )

    def _end(self, task_id: str, attempt: int, ended: SandboxExit, detail: str) -> None:
        self.store.move_attempt(
            task_id, attempt, ("starting", "running"),
            state="ended", ended_at=time.time(), exit_code=ended.code,
            detail=detail or ended.detail,
        )  # fmt: skip

    def _warn(self, task: TaskRow, message: str) -> None:
        warnings = self._task(task.id).warnings
        if message not in warnings:
            self.store.add_event(task.id, "task.warning", {"message": message})
            self.store.update_task(task.id, warnings=[*warnings, message])

    def _task(self, task_id: str) -> TaskRow:
        task = self.store.task(task_id)
        if task is None:
            raise EnvironmentFault(f"task {task_id} is gone from the store")
        return task


def _is_on(task: TaskRow, attempt: int) -> bool:
    return task.attempt == attempt and task.status in RUNNING


def _told(error: RoverError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _went_on(before: RunState, after: RunState) -> bool:
    done = {s.id for s in before.steps if s.ended_at}
    return any(s.ended_at and s.id not in done for s in after.steps)


def _now() -> datetime:
    return datetime.now(UTC)
