"""The use case of pausing a task until a person resumes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from agent_runner.atomic_write import replace_file
from agent_runner.models import Pause, PauseReason
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.disk_full_error import write_fault
from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import ENDED, Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.handle_spans import LEFT
from rover_mcp.tasks.live_reader import LiveTaskReader
from rover_mcp.tasks.pause_view import NEVER_BY_ITSELF
from rover_mcp.tasks.view_models import TaskView


@dataclass(frozen=True)
class PauseTask:
    """Stops a task at a checkpoint. A running step is interrupted."""

    reader: LiveTaskReader

    def __call__(self, task: TaskRow) -> TaskView:
        """Pause a task.

        Raises:
            Conflict: it has ended.
        """
        store = self.reader.store
        if task.status is TaskStatus.PAUSED:
            return self.reader.view(self._never_by_itself(task))
        if task.status in ENDED:
            raise Conflict(
                f"task {task.number} is {task.status}; only a running task can be paused",
                code="not_pausable",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        attempt = store.attempts.get(task.id, task.attempt)
        if attempt is not None and attempt.state == AttemptState.QUEUED:
            paused = self._pause_queued(task)
            if paused is not None:
                return self.reader.view(paused)
        if attempt is not None and attempt.state == AttemptState.STACKED:
            raise Conflict(
                f"task {task.number} has not started: it waits for other tasks",
                code="not_pausable",
                hint="cancel_task ends it",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        folders = TaskFolders(self.reader.settings.home, task.id, task.iteration)
        try:
            folders.run.mkdir(parents=True, exist_ok=True)
            # Atomic, because the runner may look at any moment.
            replace_file(folders.pause_request, '{"reason": "requested"}')
        except OSError as error:
            what = "the pause cannot be recorded, and the task keeps running"
            raise write_fault(what, folders.run, error) from error
        self.reader.control.stop(task)
        return self.reader.view(store.tasks.get(task.id) or task)

    def leave(self, task: TaskRow, span: int) -> None:
        """Pause a task for a client that no longer follows it. Its handle, that of the span with
        this number, therefore ends."""
        if task.status not in ENDED:
            self(task)
            self.reader.store.events.add(task.id, LEFT, {"span": span})

    def _never_by_itself(self, task: TaskRow) -> TaskRow:
        """Turn a pause into one that a person asked for. It does not end automatically, not even
        when automatic resumes are switched on again; the earlier reason stays in its message."""
        ends = task.pause is not None and task.pause.reason not in NEVER_BY_ITSELF
        if task.pause is None or not (ends or task.pause.reason is PauseReason.AUTH):
            return task
        pause = task.pause.model_copy(
            update={
                "reason": PauseReason.REQUESTED,
                "message": f"paused on request; before that: {task.pause.message}",
                "retry_at": None,
            }
        )
        self.reader.store.attempts.drop_schedule(task.id, pause=pause)
        return self.reader.store.tasks.get(task.id) or task

    def _pause_queued(self, task: TaskRow) -> TaskRow | None:
        pause = Pause(
            reason=PauseReason.REQUESTED,
            message="paused on request before it started",
            since=datetime.fromtimestamp(self.reader.now(), UTC),
        )
        data = pause.model_dump(mode="json")
        return self.reader.store.transitions.apply(
            task.id, Event.PAUSE, attempt=task.attempt, unstarted=True, data=data, pause=pause
        )
