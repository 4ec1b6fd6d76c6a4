"""Compares what the store says with what runs; reconcile_decisions.py decides (L7, L8)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.followed_attempts import Following
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
    judge_attempt,
    judge_sandbox,
    seen_of,
)
from rover_mcp.domain.attempt_state import HELD_BACK, OPEN, STARTED, AttemptState
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import SandboxExit, SandboxInfo, SandboxState
from rover_mcp.store.damaged_records import NONSENSE, tell_once
from rover_mcp.store.records import AttemptRow, TaskRow

log = logging.getLogger("rover.sweep")

LOST = "the attempt that was to run it is not recorded any more"
HARMLESS = (RoverError, SQLAlchemyError, OSError, *NONSENSE)
"""What one task's trouble looks like: it is logged and touches no other (L6)."""

Listed = Mapping[str, SandboxInfo]


class Followers(Protocol):
    """The control plane, as far as the sweep needs it."""

    following: Following

    def followed(self, attempt: AttemptRow) -> bool: ...

    def foreign(self, attempt: AttemptRow) -> bool: ...

    def adopt(self, attempt: AttemptRow) -> bool: ...

    def reconcile(self) -> None: ...


def in_a_thread(work: Callable[[], None]) -> None:
    """What may take long must not hold up the sweep."""
    threading.Thread(target=work, daemon=True).start()


@dataclass
class Reconciler:
    """Looks once over everything, whenever it is asked to."""

    attempts: Attempts
    plane: Followers
    now: Callable[[], float] = time.time
    spawn: Callable[[Callable[[], None]], None] = in_a_thread
    _told: set[str] = field(default_factory=set[str])

    @property
    def _context(self) -> AttemptContext:
        return self.attempts.context

    def sweep(self) -> None:
        """Bring the store and the engines together again. One that does not answer changes no
        task (L3)."""
        self._context.spares.expire()
        waiting = self._context.spares.names()
        # Engines first: a sandbox that is listed had its attempt before the rows are read.
        listed = {name: self._list(name) for name in self._context.engines}
        store = self._context.store
        rows = store.attempts.in_states((*OPEN, *HELD_BACK))
        for task_id, attempt in [*((a.task_id, a.attempt) for a in rows), *store.tasks.stranded()]:
            try:
                self._attempt(task_id, attempt, listed)
            except HARMLESS as error:
                wrong = f"attempt {attempt} of task {task_id} is left as it is: {error}"
                tell_once(log, wrong)
        # One that is just being made does not tell its task yet.
        expected = {a.sandbox for a in rows if a.state in {*STARTED, AttemptState.QUEUED}} | waiting
        for engine, sandboxes in listed.items():
            for info in (sandboxes or {}).values():
                if info.name in expected:
                    continue
                try:
                    self._sandbox(engine, info)
                except HARMLESS as error:
                    tell_once(log, f"the sandbox {info.name} is left as it is: {error}")

    def _list(self, engine: str) -> Listed | None:
        try:
            return {info.name: info for info in self._context.engines[engine].list()}
        except EnvironmentFault as fault:
            log.debug("%s lists no sandboxes: %s", engine, fault.message)
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
            # Its sandbox was on another daemon's engines: what they list says nothing of it.
            self.plane.adopt(attempt)
            return
        seen = seen_of(
            task, attempt, sandbox=info.state if info else SandboxState.GONE,
            followed=followed, begun=self._begun(task, attempt), now=self.now(),
        )  # fmt: skip
        action = judge_attempt(seen, self._context.settings.startup_timeout)
        if action is not None:
            log.warning("attempt %s of task %s: %s", number, task_id, type(action).__name__)
            self._carry_out(action, task, number, attempt)

    def _begun(self, task: TaskRow, attempt: AttemptRow | None) -> bool:
        """Whether the runner has written something. What cannot be read is no reason to stop."""
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
                going_on = self.attempts.finish.settle(task.id, number, ended)
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
        self._tell(engine, info, action)
        if isinstance(action, Remove):
            self.spawn(lambda: self._remove(engine, info))

    def _tell(self, engine: str, info: SandboxInfo, action: SandboxAction) -> None:
        if info.name not in self._told:
            self._told.add(info.name)
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
