"""What running tasks do now: their journals, read when the runner rings, told as events."""

from __future__ import annotations

import threading
from pathlib import Path

from agent_runner.fold import fold
from agent_runner.journal import JournalError, read_journal
from agent_runner.models import RunState, StepStatus
from rover_mcp.store.rows import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.folders import TaskFolders

UNREADABLE = (JournalError, OSError, ValueError)
"""What reading a journal that cannot be believed raises."""

DONE = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})


def read_state(path: Path) -> RunState:
    """The state that a journal tells; NEW where there is none.

    Raises:
        UNREADABLE: it cannot be read, or not be believed.
    """
    return fold(read_journal(path).records)


class LiveStates:
    """The present state of tasks that run, and the step events that follow from it."""

    def __init__(self, home: Path, store: Store) -> None:
        self._home = home
        self._store = store
        self._lock = threading.Lock()
        self._states: dict[str, RunState] = {}
        self._told: dict[str, tuple[int, dict[str, str]]] = {}

    def state(self, task_id: str) -> RunState | None:
        """The last state read, or None if the task has not rung in this daemon's life."""
        return self._states.get(task_id)

    def forget(self, task_id: str) -> None:
        """Drop what is remembered of a task whose attempt ended."""
        with self._lock:
            self._states.pop(task_id, None)
            self._told.pop(task_id, None)

    def refresh(self, task_id: str) -> RunState | None:
        """Read the task's journal and tell what is new in it. Called in a thread."""
        task = self._store.task(task_id)
        if task is None:
            return None
        path = TaskFolders(self._home, task_id, task.iteration).journal
        with self._lock:
            try:
                state = read_state(path)
            except UNREADABLE:
                # A torn or damaged journal is judged once, where the attempt is settled.
                return self._states.get(task_id)
            self._states[task_id] = state
            if state.attempt >= task.attempt:
                self._tell_steps(task_id, task.attempt, state, self._told_of(task))
        return state

    def _told_of(self, task: TaskRow) -> dict[str, str]:
        """Each step's status as it was told last, in any daemon's life."""
        attempt, told = self._told.get(task.id, (0, dict[str, str]()))
        if attempt != task.attempt:
            told = self._already_told(task)
            self._told[task.id] = task.attempt, told
        return told

    def _already_told(self, task: TaskRow) -> dict[str, str]:
        earlier = task.run_state.steps if task.run_state else []
        told = {step.id: str(step.status) for step in earlier if step.status in DONE}
        for event in self._store.events.after(0, task_id=task.id, limit=100_000):
            if event.kind == "task.step" and event.data.get("attempt") == task.attempt:
                told[event.data["step"]] = event.data["step_status"]
        return told

    def _tell_steps(
        self, task_id: str, attempt: int, state: RunState, told: dict[str, str]
    ) -> None:
        for position, step in enumerate(state.steps, start=1):
            if step.status is StepStatus.PENDING or told.get(step.id) == step.status:
                continue
            told[step.id] = step.status
            data = {
                "attempt": attempt,
                "step": step.id,
                "name": step.name,
                "step_status": str(step.status),
                "position": position,
                "of": len(state.steps),
                "progress": state.progress,
            }
            self._store.add_event(task_id, "task.step", data)
