"""The present state of running tasks, from their journals, and the events that follow from it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_runner.journal.journal_reader import JournalError, JournalTail, stream_journal
from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold, fold
from agent_runner.models import RunState, StepStatus
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store

UNREADABLE = (JournalError, OSError, ValueError)
"""Errors of a journal that cannot be read or is damaged."""

STATUS_AFTER = {
    RecordType.STEP_START: StepStatus.RUNNING,
    RecordType.STEP_COMPLETE: StepStatus.COMPLETED,
    RecordType.STEP_SKIP: StepStatus.SKIPPED,
    RecordType.STEP_FAIL: StepStatus.FAILED,
}
"""The records that change a step, with its status after them."""

MAX_STEP_EVENTS = 2000
"""Greatest number of events about steps for one attempt: a loop may run ten thousand times."""

STEPS_OMITTED = "task.steps_untold"
"""The kind of the event that says that later steps have no events."""


def read_state(path: Path) -> RunState:
    """The state of a run by its journal; NEW if there is none.

    Raises:
        UNREADABLE: it cannot be read, or is damaged.
    """
    return fold(stream_journal(path))


@dataclass
class _Reported:
    """Up to which record an attempt's steps have events, and the number of these."""

    attempt: int
    record: int
    count: int


@dataclass(frozen=True)
class _Change:
    """A record about a step, without the step's outputs, which can be large."""

    seq: int
    type: RecordType
    step: str
    loop: Any

    @classmethod
    def of(cls, record: Record) -> _Change:
        return cls(record.seq, record.type, str(record.data["step"]), record.data.get("loop"))


@dataclass
class _Watched:
    """One iteration's journal, and how far it was read."""

    iteration: int
    tail: JournalTail
    fold: RunStateFold = field(default_factory=RunStateFold)


class JournalWatch:
    """Keeps the present state of running tasks and records events about their steps. The runner
    rings after each record; the cost of a ring depends on the new records only."""

    def __init__(self, home: Path, store: Store, *, max_step_events: int = MAX_STEP_EVENTS) -> None:
        self._home = home
        self._store = store
        self._most = max_step_events
        self._lock = threading.Lock()
        self._states: dict[str, RunState] = {}
        self._watched: dict[str, _Watched] = {}
        self._reported: dict[str, _Reported] = {}

    def state(self, task_id: str) -> RunState | None:
        """The last state read, or None if the task's runner has not rung since this daemon
        started."""
        return self._states.get(task_id)

    def forget(self, task_id: str) -> None:
        """Drop the state of a task whose attempt has ended."""
        with self._lock:
            for remembered in (self._states, self._watched, self._reported):
                remembered.pop(task_id, None)

    def refresh(self, task_id: str) -> RunState | None:
        """Read the new records of the task's journal and record events about them. Blocks."""
        task = self._store.tasks.get(task_id)
        if task is None:
            return None
        with self._lock:
            watched = self._watched.setdefault(task_id, self._watch(task))
            if watched.iteration != task.iteration:
                watched = self._watched[task_id] = self._watch(task)
            try:
                news = self._read_on(watched, task)
            except UNREADABLE:
                # AttemptFinish decides about a damaged journal, so that it is decided once.
                del self._watched[task_id]
                return self._states.get(task_id)
            if news is not None or task_id not in self._states:
                self._states[task_id] = watched.fold.state
            self._report_steps(task, watched.fold.live, news or ())
            return self._states[task_id]

    def _watch(self, task: TaskRow) -> _Watched:
        path = TaskFolders(self._home, task.id, task.iteration).journal
        return _Watched(task.iteration, JournalTail(path))

    def _read_on(self, watched: _Watched, task: TaskRow) -> Sequence[_Change] | None:
        """Each step's last change in the present attempt, in order; None without new records."""
        last: dict[str, _Change] = {}
        read = False
        for record in watched.tail.stream():
            read = True
            watched.fold.add(record)
            if record.type in STATUS_AFTER and watched.fold.live.attempt >= task.attempt:
                change = _Change.of(record)
                last[change.step] = change
        return sorted(last.values(), key=lambda change: change.seq) if read else None

    def _report_steps(self, task: TaskRow, state: RunState, news: Sequence[_Change]) -> None:
        recorded = self._reported_of(task)
        for change in news:
            if change.seq <= recorded.record:
                continue
            if recorded.count >= self._most:
                return
            recorded.record, recorded.count = change.seq, recorded.count + 1
            self._store.events.add(task.id, "task.step", _step_event(state, change, recorded))
            if recorded.count == self._most:
                self._report_omission(task)

    def _reported_of(self, task: TaskRow) -> _Reported:
        """How far events were recorded, also by an earlier daemon."""
        recorded = self._reported.get(task.id)
        if recorded is None or recorded.attempt != task.attempt:
            event = self._store.events.last_of(task.id, "task.step")
            data = event.data if event and event.data.get("attempt") == task.attempt else {}
            recorded = _Reported(
                task.attempt, int(data.get("record", 0)), int(data.get("count", 0))
            )
            self._reported[task.id] = recorded
            if recorded.count >= self._most:
                self._report_omission(task)
        return recorded

    def _report_omission(self, task: TaskRow) -> None:
        event = self._store.events.last_of(task.id, STEPS_OMITTED)
        if event is None or event.data.get("attempt") != task.attempt:
            message = f"{self._most} steps were reported; later ones are in inspect and get_logs"
            data = {"attempt": task.attempt, "message": message}
            self._store.events.add(task.id, STEPS_OMITTED, data)


def _step_event(state: RunState, change: _Change, recorded: _Reported) -> dict[str, Any]:
    position = next(i for i, s in enumerate(state.steps, start=1) if s.id == change.step)
    step = state.steps[position - 1]
    event: dict[str, Any] = {
        "attempt": recorded.attempt,
        "step": step.id,
        "name": step.name,
        "step_status": str(STATUS_AFTER[change.type]),
        "position": position,
        "of": len(state.steps),
        "progress": state.progress,
        "record": change.seq,
        "count": recorded.count,
    }
    if change.loop:
        event["loop"] = change.loop
    return event
