"""Leaves out of a result what its reader already has: most of an id, and the events of the task
that the result shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pydantic import BaseModel

from rover_mcp.domain.ids import short_id
from rover_mcp.server.results import Result
from rover_mcp.store.records import EventRow
from rover_mcp.tasks.view_models import ListedTask, NextAction, TaskView

TASK = "task"
_NOT_SHOWN = frozenset({"task.resume_failed", "task.agent_changed"})
"""Events that say what a view of the task does not."""


def brief(model: BaseModel) -> None:
    """Shorten the ids by which a result names tasks, in calls, in lists and elsewhere. The id of
    the one task that it shows is part of its address and is kept in full."""
    if isinstance(model, ListedTask):
        model.id = short_id(model.id)
    if isinstance(model, NextAction):
        if isinstance(named := model.arguments.get(TASK), str):
            model.arguments = {**model.arguments, TASK: short_id(named)}
        return
    for name in type(model).model_fields:
        value: object = getattr(model, name)
        if name == TASK and isinstance(value, str):
            setattr(model, name, short_id(value))
        for part in cast("list[object]", value) if isinstance(value, list) else [value]:
            if isinstance(part, BaseModel):
                brief(part)


# An event that the result already tells costs a model tokens twice.
def besides_shown(result: Result, events: Sequence[EventRow]) -> list[EventRow]:
    """The new events, without those that the result shows anyway."""
    shown: object = getattr(result, TASK, None)
    if not isinstance(shown, TaskView):
        return list(events)
    return [
        event
        for event in events
        if event.task_id != shown.id or event.kind in _NOT_SHOWN or event.status != shown.status
    ]
