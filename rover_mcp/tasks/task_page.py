"""Splits tasks into pages: the form of one task, how many fit, and where the next page begins.
Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.view_models import ListedTask, TaskView

TASKS = 20
"""Tasks on a page, at most, where the call sets no limit."""
CHARACTERS = 6000
"""Characters of a page's JSON. Together with the same content as text a page then has less than
2,000 tokens of 4 characters."""
SHOWN = 120
"""Characters of a message or an error in a list."""


def listed(view: TaskView) -> ListedTask:
    """A task as an entry of a page, without what `inspect` is for."""
    pause, done = view.pause, view.status in (TaskStatus.COMPLETED, TaskStatus.CANCELLED)
    if pause is not None:
        pause = pause.model_copy(update={"message": quoted(pause.message, SHOWN)})
    other: dict[str, Any] = {
        "pause": pause,
        "error": quoted(view.error, SHOWN) if view.error else None,
        "cost_usd": view.usage.cost_usd if view.usage else None,
        "next_actions": None if done else view.next_actions[:1] or None,
    }
    same = {name: getattr(view, name) for name in ListedTask.model_fields if name not in other}
    return ListedTask(**same, **other)


# By size and not by number: a page is read by a model, and one paused task takes many times the
# characters of one that runs.
def fitting(views: Sequence[ListedTask]) -> Sequence[ListedTask]:
    """The first of these, as many as fit the characters of a page; at least one."""
    sizes = accumulate(len(view.model_dump_json(exclude_none=True)) for view in views)
    return views[: max(1, sum(size <= CHARACTERS for size in sizes))]


def place(row: TaskRow | DamagedRecord) -> tuple[float, str]:
    """The place of a record in the order of all: newest first."""
    return row.place if isinstance(row, DamagedRecord) else (row.created_at, row.id)


def cursor(row: TaskRow | DamagedRecord) -> str:
    """A text that names the place after a record."""
    created_at, task_id = place(row)
    return base64.urlsafe_b64encode(f"{created_at!r} {task_id}".encode()).decode()


def parse_cursor(text: str) -> tuple[float, str]:
    """The place that a cursor names.

    Raises:
        UserFixable: Rover did not produce this cursor.
    """
    try:
        created, task_id = base64.urlsafe_b64decode(text.encode()).decode().split(" ", 1)
        return float(created), task_id
    except ValueError as error:
        raise UserFixable(
            "the cursor is not one that list_tasks returned",
            code="invalid_cursor",
            hint="leave it out to begin with the newest tasks",
            instead={"cursor": None},
        ) from error
