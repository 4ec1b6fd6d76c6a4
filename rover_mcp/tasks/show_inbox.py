"""Reads the rows of the board from the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.inbox import InboxRow, inbox_row
from rover_mcp.tasks.pause_view import Policy
from rover_mcp.tasks.service import TaskService

MOST_TASKS = 1000
"""How many tasks of either part the board shows, the newest ones. `rover list` has the others."""
OPEN: Final = (TaskStatus.NEW, *RUNNING, TaskStatus.PAUSED, TaskStatus.FAILED)
DONE: Final = tuple(status for status in TaskStatus if status not in OPEN)
"""The two parts: of tasks that may need somebody, and of the others, which are usually many."""


def inbox(tasks: TaskService, statuses: Collection[TaskStatus]) -> list[InboxRow]:
    """A row for each task with one of these statuses. A record that cannot be read is left out:
    `rover list` names it. Blocks."""
    policy, seen = tasks.policy(), tasks.store.seen.all()
    rows = tasks.store.tasks.page(statuses=statuses, limit=MOST_TASKS)
    shown = (_row(tasks, row, policy, seen) for row in rows if isinstance(row, TaskRow))
    return [row for row in shown if row is not None]


def inbox_of(tasks: TaskService, task_id: str) -> InboxRow | None:
    """The row of one task; None: there is none any more, or it cannot be read. Blocks."""
    try:
        task = tasks.store.tasks.get(task_id)
    except DamagedRecord:
        return None
    if task is None:
        return None
    ended_at = tasks.store.seen.end_seen(task_id)
    seen = {} if ended_at is None else {task_id: ended_at}
    return _row(tasks, task, tasks.policy_of(task), seen)


def _row(
    tasks: TaskService, task: TaskRow, policy: Policy, seen: Mapping[str, float]
) -> InboxRow | None:
    try:
        view = tasks.view(task, policy=policy, check_usage=False)
    except DamagedRecord:
        return None
    was_seen = task.ended_at is not None and seen.get(task.id, -1.0) >= task.ended_at
    return inbox_row(view, task.ended_at, seen=was_seen)
