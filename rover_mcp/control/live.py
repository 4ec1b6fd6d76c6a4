"""What running tasks do now: their journals, read on when the runner rings, told as events."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_runner.fold import Fold, fold
from agent_runner.journal import JournalError, JournalTail, read_journal
from agent_runner.models import RunState, StepStatus
from agent_runner.records import Record, RecordType
from rover_mcp.store.rows import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.folders import TaskFolders

UNREADABLE = (JournalError, OSError, ValueError)
"""What reading a journal that cannot be believed raises."""

STATUS_AFTER = {
    RecordType.STEP_START: StepStatus.RUNNING,
    RecordType.STEP_COMPLETE: StepStatus.COMPLETED,
    RecordType.STEP_SKIP: StepStatus.SKIPPED,
    RecordType.STEP_FAIL: StepStatus.FAILED,
}
"""Records that are news, and what they say of their step."""

MAX_STEP_EVENTS = 2000
"""Of one attempt: a loop may go round ten thousand times."""

UNTOLD = "task.steps_untold"


def read_state(path: Path) -> RunState:
    """The state that a journal tells; NEW where there is none.

    Raises:
        UNREADABLE: it cannot be read, or not be believed.
    """
    return fold(read_journal(path).records)


@dataclass
class _Told:
    """Up to which record an attempt's steps were told, and in how many events."""

    attempt: int
    record: int
    count: int


@dataclass
class _Watched:
    """One iteration's journal as far as it was read."""

    iteration: int
    tail: JournalTail
    fold: Fold = field(default_factory=Fold)


class LiveStates:
    """The present state of tasks that run, and the step events that follow from it. What a ring
    costs depends on what is new."""

    def __init__(self, home: Path, store: Store, *, max_step_events: int = MAX_STEP_EVENTS) -> None:
        self._home = home
        self._store = store
        self._most = max_step_events
        self._lock = threading.Lock()
        self._states: dict[str, RunState] = {}
        self._watched: dict[str, _Watched] = {}
        self._told: dict[str, _Told] = {}

    def state(self, task_id: str) -> RunState | None:
        """The last state read, or None if the task has not rung in this daemon's life."""
        return self._states.get(task_id)

    def forget(self, task_id: str) -> None:
        """Drop what is remembered of a task whose attempt ended."""
        with self._lock:
            for remembered in (self._states, self._watched, self._told):
                remembered.pop(task_id, None)

    def refresh(self, task_id: str) -> RunState | None:
        """Read the task's journal on and tell what is new in it. Called in a thread."""
        task = self._store.task(task_id)
        if task is None:
            return None
        with self._lock:
            watched = self._watched.setdefault(task_id, self._watch(task))
            if watched.iteration != task.iteration:
                watched = self._watched[task_id] = self._watch(task)
            try:
                news = self._read_on(watched, task)
            except UNREADABLE:
                # A damaged journal is judged once, where the attempt is settled.
                del self._watched[task_id]
                return self._states.get(task_id)
            if news is not None or task_id not in self._states:
                self._states[task_id] = watched.fold.state
            self._tell_steps(task, watched.fold.live, news or [])
            return self._states[task_id]

    def _watch(self, task: TaskRow) -> _Watched:
        path = TaskFolders(self._home, task.id, task.iteration).journal
        return _Watched(task.iteration, JournalTail(path))

    def _read_on(self, watched: _Watched, task: TaskRow) -> list[Record] | None:
        """The new records that are news of the present attempt; None: there are no records."""
        records = watched.tail.read().records
        news: list[Record] = []
        for record in records:
            watched.fold.add(record)
            if record.type in STATUS_AFTER and watched.fold.live.attempt >= task.attempt:
                news.append(record)
        return news if records else None

    def _tell_steps(self, task: TaskRow, state: RunState, news: Sequence[Record]) -> None:
        """Each step's last change, in order."""
        told = self._told_of(task)
        last = {str(r.data["step"]): r for r in news if r.seq > told.record}
        for record in sorted(last.values(), key=lambda r: r.seq):
            if told.count >= self._most:
                return
            told.record, told.count = record.seq, told.count + 1
            self._store.add_event(task.id, "task.step", _step_event(state, record, told))
            if told.count == self._most:
                self._tell_cap(task)

    def _told_of(self, task: TaskRow) -> _Told:
        """How far was told, in any daemon's life."""
        told = self._told.get(task.id)
        if told is None or told.attempt != task.attempt:
            event = self._store.events.last_of(task.id, "task.step")
            data = event.data if event and event.data.get("attempt") == task.attempt else {}
            told = _Told(task.attempt, int(data.get("record", 0)), int(data.get("count", 0)))
            self._told[task.id] = told
            if told.count >= self._most:
                self._tell_cap(task)
        return told

    def _tell_cap(self, task: TaskRow) -> None:
        event = self._store.events.last_of(task.id, UNTOLD)
        if event is None or event.data.get("attempt") != task.attempt:
            message = f"{self._most} steps were told; what comes after is in inspect and get_logs"
            self._store.add_event(task.id, UNTOLD, {"attempt": task.attempt, "message": message})


def _step_event(state: RunState, record: Record, told: _Told) -> dict[str, Any]:
    position = next(i for i, s in enumerate(state.steps, start=1) if s.id == record.data["step"])
    step = state.steps[position - 1]
    event: dict[str, Any] = {
        "attempt": told.attempt,
        "step": step.id,
        "name": step.name,
        "step_status": str(STATUS_AFTER[record.type]),
        "position": position,
        "of": len(state.steps),
        "progress": state.progress,
        "record": record.seq,
        "count": told.count,
    }
    if loop := record.data.get("loop"):
        event["loop"] = loop
    return event
