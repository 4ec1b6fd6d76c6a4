"""What running tasks do now: their journals, read on when the runner rings, told as events."""

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
    return fold(stream_journal(path))


@dataclass
class _Told:
    """Up to which record an attempt's steps were told, and in how many events."""

    attempt: int
    record: int
    count: int


@dataclass(frozen=True)
class _Change:
    """What a record says of its step, without what the step gave."""

    seq: int
    type: RecordType
    step: str
    loop: Any

    @classmethod
    def of(cls, record: Record) -> _Change:
        return cls(record.seq, record.type, str(record.data["step"]), record.data.get("loop"))


@dataclass
class _Watched:
    """One iteration's journal as far as it was read."""

    iteration: int
    tail: JournalTail
    fold: RunStateFold = field(default_factory=RunStateFold)


class JournalWatch:
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
                # A damaged journal is judged once, where the attempt is settled.
                del self._watched[task_id]
                return self._states.get(task_id)
            if news is not None or task_id not in self._states:
                self._states[task_id] = watched.fold.state
            self._tell_steps(task, watched.fold.live, news or ())
            return self._states[task_id]

    def _watch(self, task: TaskRow) -> _Watched:
        path = TaskFolders(self._home, task.id, task.iteration).journal
        return _Watched(task.iteration, JournalTail(path))

    def _read_on(self, watched: _Watched, task: TaskRow) -> Sequence[_Change] | None:
        """Each step's last change of the present attempt, in order; None: there are no records."""
        last: dict[str, _Change] = {}
        read = False
        for record in watched.tail.stream():
            read = True
            watched.fold.add(record)
            if record.type in STATUS_AFTER and watched.fold.live.attempt >= task.attempt:
                change = _Change.of(record)
                last[change.step] = change
        return sorted(last.values(), key=lambda change: change.seq) if read else None

    def _tell_steps(self, task: TaskRow, state: RunState, news: Sequence[_Change]) -> None:
        recorded = self._told_of(task)
        for change in news:
            if change.seq <= recorded.record:
                continue
            if recorded.count >= self._most:
                return
            recorded.record, recorded.count = change.seq, recorded.count + 1
            self._store.events.add(task.id, "task.step", _step_event(state, change, recorded))
            if recorded.count == self._most:
                self._tell_cap(task)

    def _told_of(self, task: TaskRow) -> _Told:
        """How far was told, in any daemon's life."""
        recorded = self._told.get(task.id)
        if recorded is None or recorded.attempt != task.attempt:
            event = self._store.events.last_of(task.id, "task.step")
            data = event.data if event and event.data.get("attempt") == task.attempt else {}
            recorded = _Told(task.attempt, int(data.get("record", 0)), int(data.get("count", 0)))
            self._told[task.id] = recorded
            if recorded.count >= self._most:
                self._tell_cap(task)
        return recorded

    def _tell_cap(self, task: TaskRow) -> None:
        event = self._store.events.last_of(task.id, UNTOLD)
        if event is None or event.data.get("attempt") != task.attempt:
            message = f"{self._most} steps were reported; later ones are in inspect and get_logs"
            self._store.events.add(task.id, UNTOLD, {"attempt": task.attempt, "message": message})


def _step_event(state: RunState, change: _Change, recorded: _Told) -> dict[str, Any]:
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
