"""A page of tasks as a result, including the records that could not be shown."""

from __future__ import annotations

from collections.abc import Sequence

from rover_mcp.server import results as r
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.view_models import ListedTask, NextAction


def task_list(
    views: Sequence[ListedTask], cursor: str | None, damaged: Sequence[DamagedRecord]
) -> r.TaskListResult:
    """A page with the records that could not be shown."""
    return r.TaskListResult(
        tasks=views,
        next_cursor=cursor,
        damaged=[_damaged(record) for record in damaged] or None,
        warnings=[f"{d.message}. {d.hint}" for d in damaged] or None,
    )


def _damaged(record: DamagedRecord) -> r.DamagedTaskView:
    task, call = record.task, record.next_call
    again = NextAction(
        tool="delete_task", arguments=dict(task.named or {}) if task else {}, why="see what is lost"
    )
    return r.DamagedTaskView(
        id=task.id if task else None,
        number=task.number if task else None,
        title=printable(task.title, 120) if task and task.title else None,
        repo_path=task.project if task else None,
        damage=printable(record.message, 500),
        next_actions=[again] if call else [],
    )
