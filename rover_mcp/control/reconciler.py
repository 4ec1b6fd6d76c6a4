"""Compares the store's records with the sandboxes that exist; reconcile_decisions.py decides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.disk_full_wait import DiskFullWait
from rover_mcp.control.followed_attempts import FollowerCounts
from rover_mcp.control.journal_watch import UNREADABLE, read_state
from rover_mcp.control.reconcile_decisions import (
    Adopt,
    AttemptAction,
    Discard,
    GiveUp,
    Remove,
    SandboxAction,
    Settle,
    StopStart,
    facts_of,
    judge_attempt,
    judge_sandbox,
)
from rover_mcp.domain.attempt_state import HELD_BACK, OPEN, STARTED, AttemptState
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import SandboxExit, SandboxInfo, SandboxState
from rover_mcp.store.damaged_records import NONSENSE, log_once
from rover_mcp.store.records import AttemptRow, TaskRow

log = logging.getLogger("rover.sweep")

LOST = "the attempt that was to run it is not recorded any more"
HARMLESS = (RoverError, SQLAlchemyError, OSError, *NONSENSE)
"""Errors with one task. They are logged, and the sweep continues with the next task."""

Listed = Mapping[str, SandboxInfo]


class Followers(Protocol):
    """The part of the control plane that the sweep needs."""

    following: FollowerCounts
    disk_full_wait: DiskFullWait

    def followed(self, attempt: AttemptRow) -> bool: ...

    def foreign(self, attempt: AttemptRow) -> bool: ...

    def adopt(self, attempt: AttemptRow) -> bool: ...

    def reconcile(self) -> None: ...


def in_a_thread(work: Callable[[], None]) -> None:
    """Do work that can take long without delaying the sweep."""
    threading.Thread(target=work, daemon=True).start()


@dataclass
class Reconciler:
    """Compares records and sandboxes whenever `sweep` is called."""

    attempts: Attempts
    plane: Followers
    now: Callable[[], float] = time.time
    spawn: Callable[[Callable[[], None]], None] = in_a_thread
    _reported: set[str] = field(default_factory=set[str])

    @property
    def _context(self) -> AttemptContext:
        return self.attempts.context

    def sweep(self) -> None:
        """Settle, adopt or remove what the store and the engines disagree about. An engine that
        does not answer changes no task."""
        self._context.warm_pool.expire()
        waiting = self._context.warm_pool.names()
        # The engines come first: a sandbox is created after its attempt's row, so for each one that
        # is listed now there is a row when the rows are read.
        listed = {name: self._list(name) for name in self._context.engines}
        store = self._context.store
        rows = store.attempts.in_states((*OPEN, *HELD_BACK, AttemptState.STACKED))
        for task_id, attempt in [*((a.task_id, a.attempt) for a in rows), *store.tasks.stranded()]:
            try:
                self._attempt(task_id, attempt, listed)
            except HARMLESS as error:
                wrong = f"attempt {attempt} of task {task_id} is left as it is: {error}"
                log_once(log, wrong)
        # A sandbox that is just being created has no labels yet that name its task.
        expected = {a.sandbox for a in rows if a.state in {*STARTED, AttemptState.QUEUED}} | waiting
        for engine, sandboxes in listed.items():
            for info in (sandboxes or {}).values():
                if info.name in expected:
                    continue
                try:
                    self._sandbox(engine, info)
                except HARMLESS as error:
                    log_once(log, f"the sandbox {info.name} is left as it is: {error}")

    def _list(self, engine: str) -> Listed | None:
        try:
            return {info.name: info for info in self._context.engines[engine].list()}
        except EnvironmentFault as fault:
            log.debug("%s cannot list its sandboxes: %s", engine, fault.message)
            return None

    # Attempts

    def _attempt(self, task_id: str, number: int, listed: Mapping[str, Listed | None]) -> None:
        store = self._context.store
        task, attempt = store.tasks.get(task_id), store.attempts.get(task_id, number)
        if task is None:
            return
        sandboxes = listed.get(task.engine)
        if sandboxes is None:
            log.warning("task %s is left as it is: %s does not answer", task_id, task.engine)
            return
        info = sandboxes.get(attempt.sandbox) if attempt else None
        followed = attempt is not None and self.plane.followed(attempt)
        if attempt is not None and not followed and self.plane.foreign(attempt):
            # Its sandbox is on another daemon's engines, so this daemon's list says nothing about
            # it.
            self.plane.adopt(attempt)
            return
        seen = facts_of(
            task, attempt, sandbox=info.state if info else SandboxState.GONE,
            followed=followed, begun=self._begun(task, attempt), now=self.now(),
        )  # fmt: skip
        action = judge_attempt(seen, self._context.settings.startup_timeout)
        if action is not None:
            log.warning("attempt %s of task %s: %s", number, task_id, type(action).__name__)
            self._carry_out(action, task, number, attempt)

    def _begun(self, task: TaskRow, attempt: AttemptRow | None) -> bool:
        """Whether the runner has written a record. True if that cannot be read: a runner is only
        stopped if it is certain that it has not begun."""
        if attempt is None or attempt.state not in STARTED:
            return True
        state = self._context.live.state(task.id)
        if state is not None and state.attempt >= attempt.attempt:
            return True
        folders = TaskFolders(self._context.settings.home, task.id, task.iteration)
        try:
            return read_state(folders.journal).attempt >= attempt.attempt
        except UNREADABLE:
            return True

    def _carry_out(
        self, action: AttemptAction, task: TaskRow, number: int, attempt: AttemptRow | None
    ) -> None:
        match action:
            case Adopt() if attempt is not None:
                self.plane.adopt(attempt)
            case Discard():
                self.attempts.launch.discard(task, number)
            case GiveUp():
                hint = "the work is kept: resume_task continues"
                self.attempts.finish.give_up(task.id, number, RoverError(LOST, hint=hint))
            case StopStart() if attempt is not None:
                self._stop_start(task, attempt)
            case Settle():
                self.spawn(lambda: self._settle(task, number, attempt))
            case _:
                raise AssertionError(f"{action} without an attempt")

    def _settle(self, task: TaskRow, number: int, attempt: AttemptRow | None) -> None:
        try:
            with self.plane.following.attempt(task.id, number):
                ended = SandboxExit(None)
                if attempt is not None and attempt.state in STARTED:
                    ended = self._context.engines[task.engine].follow(attempt.sandbox)
                # The workflow may have ended because the disk had no space for its record, and a
                # task that cannot be settled must be shown with the reason.
                settle = partial(self.attempts.finish.settle, task.id, number, ended)
                going_on = self.plane.disk_full_wait(task.id, settle)
            if going_on is not None:
                self.plane.reconcile()
        except HARMLESS as error:
            log.warning("task %s is settled at the next sweep: %s", task.id, error)

    def _stop_start(self, task: TaskRow, attempt: AttemptRow) -> None:
        limit = self._context.settings.startup_timeout
        why = f"its runner did not begin within {limit:g} s after the sandbox was started"
        store = self._context.store
        if store.attempts.move(task.id, attempt.attempt, (AttemptState.RUNNING,), detail=why):
            self.spawn(lambda: self.attempts.wait.stop(task, attempt.sandbox))

    # Sandboxes

    def _sandbox(self, engine: str, info: SandboxInfo) -> None:
        store = self._context.store
        task = store.tasks.get(info.task_id) if info.task_id else None
        attempt = store.attempts.get(info.task_id, info.attempt) if task else None
        action = judge_sandbox(info, task, attempt)
        if action is None or self.plane.following.has(info.task_id, info.attempt):
            return
        self._report(engine, info, action)
        if isinstance(action, Remove):
            self.spawn(lambda: self._remove(engine, info))

    def _report(self, engine: str, info: SandboxInfo, action: SandboxAction) -> None:
        if info.name not in self._reported:
            self._reported.add(info.name)
            what = "is removed" if isinstance(action, Remove) else "runs on, and is left alone"
            log.warning("%s: the sandbox %s belongs to no attempt; it %s", engine, info.name, what)

    def _remove(self, name: str, info: SandboxInfo) -> None:
        engine = self._context.engines[name]
        try:
            if info.state is SandboxState.RUNNING:
                engine.stop(info.name, self._context.settings.stop_grace)
            engine.remove(info.name)
        except EnvironmentFault as fault:
            log.warning("the sandbox %s stays for now: %s", info.name, fault.message)
