"""The use case of cancelling a task."""

from __future__ import annotations

from dataclasses import dataclass

from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.live_reader import LiveTaskReader
from rover_mcp.tasks.view_models import TaskView


@dataclass(frozen=True)
class CancelTask:
    """Ends a task. Its work is kept, and resume_task can continue it."""

    reader: LiveTaskReader

    def __call__(self, task: TaskRow) -> TaskView:
        """Cancel a task.

        Raises:
            Conflict: it has ended in another way.
        """
        if task.status is TaskStatus.CANCELLED:
            return self.reader.view(task)
        cancelled = self.reader.store.transitions.apply(task.id, Event.CANCEL)
        if cancelled is None:
            fresh = self.reader.store.tasks.get(task.id) or task
            raise Conflict(
                f"task {task.number} is {fresh.status}; there is nothing to cancel",
                code="not_cancellable",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        self.reader.control.stop(cancelled)
        return self.reader.view(cancelled)
