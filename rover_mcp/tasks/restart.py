"""The use case of starting a task over from its base."""

from __future__ import annotations

from dataclasses import dataclass

from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import RESUMABLE, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.live_reader import LiveTaskReader
from rover_mcp.tasks.view_models import TaskView


@dataclass(frozen=True)
class RestartTask:
    """Starts a FAILED task over. What it has cost still counts, and its snapshots are kept."""

    reader: LiveTaskReader

    def __call__(self, caller: Caller, task: TaskRow) -> TaskView:
        """Start a task over.

        Raises:
            Conflict: it is not FAILED; a PAUSED one is for resume_task.
        """
        if task.iteration == 1 and task.status is TaskStatus.FAILED:
            folders = TaskFolders(self.reader.settings.home, task.id, task.iteration)
            folders.pause_request.unlink(missing_ok=True)
            if won := self.reader.store.transitions.resume(task.id, caller.client_id, restart=True):
                row, attempt = won
                self.reader.control.enqueue(attempt)
                return self.reader.with_cautions(row)
            task = self.reader.store.tasks.get(task.id) or task
        resumable = task.status in RESUMABLE
        raise Conflict(
            f"task {task.number} is {task.status}; only one that FAILED can be restarted",
            code="not_restartable",
            hint="resume_task continues it from its checkpoint" if resumable else None,
            next_call={"tool": "resume_task", "arguments": {"task": task.id}}
            if resumable
            else None,
        )
