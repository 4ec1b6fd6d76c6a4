"""The statuses of a task as one table of data: (status, event) -> status.

`docs/states.md` is generated from it (`python -m rover_mcp.domain.task_status`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from rover_mcp.domain import attempt_state
from rover_mcp.domain.errors import RoverError


class TaskStatus(StrEnum):
    """The statuses of a task. Any other value in a record is an error that names the record."""

    NEW = "NEW"
    IN_PROGRESS = "IN_PROGRESS"
    ITERATING = "ITERATING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    MERGED = "MERGED"
    PUSHED = "PUSHED"


S = TaskStatus


class Event(StrEnum):
    """What can happen to a task's status. The value is the kind of the event row."""

    START = "task.started"
    ITERATE = "task.iterating"
    NEXT_ROUND = "task.next_round"
    PAUSE = "task.paused"
    RESUME = "task.resumed"
    RESUME_ITERATION = "task.resumed_iteration"
    RESTART = "task.restarted"
    COMPLETE = "task.completed"
    FAIL = "task.failed"
    CANCEL = "task.cancelled"
    MERGE = "task.merged"
    PUSH = "task.pushed"


TRANSITIONS: Final[Mapping[tuple[S, Event], S]] = {
    (S.NEW, Event.START): S.IN_PROGRESS,
    (S.NEW, Event.PAUSE): S.PAUSED,
    (S.NEW, Event.FAIL): S.FAILED,
    (S.NEW, Event.CANCEL): S.CANCELLED,
    (S.IN_PROGRESS, Event.PAUSE): S.PAUSED,
    (S.IN_PROGRESS, Event.COMPLETE): S.COMPLETED,
    (S.IN_PROGRESS, Event.FAIL): S.FAILED,
    (S.IN_PROGRESS, Event.CANCEL): S.CANCELLED,
    (S.IN_PROGRESS, Event.NEXT_ROUND): S.ITERATING,
    (S.ITERATING, Event.NEXT_ROUND): S.ITERATING,
    (S.ITERATING, Event.PAUSE): S.PAUSED,
    (S.ITERATING, Event.COMPLETE): S.COMPLETED,
    (S.ITERATING, Event.FAIL): S.FAILED,
    (S.ITERATING, Event.CANCEL): S.CANCELLED,
    (S.PAUSED, Event.RESUME): S.IN_PROGRESS,
    (S.PAUSED, Event.RESUME_ITERATION): S.ITERATING,
    (S.PAUSED, Event.CANCEL): S.CANCELLED,
    (S.FAILED, Event.RESUME): S.IN_PROGRESS,
    (S.FAILED, Event.RESUME_ITERATION): S.ITERATING,
    (S.FAILED, Event.RESTART): S.IN_PROGRESS,
    (S.FAILED, Event.ITERATE): S.ITERATING,
    (S.FAILED, Event.CANCEL): S.CANCELLED,
    (S.CANCELLED, Event.RESUME): S.IN_PROGRESS,
    (S.CANCELLED, Event.RESUME_ITERATION): S.ITERATING,
    (S.CANCELLED, Event.ITERATE): S.ITERATING,
    (S.COMPLETED, Event.ITERATE): S.ITERATING,
    (S.COMPLETED, Event.MERGE): S.MERGED,
    (S.COMPLETED, Event.PUSH): S.PUSHED,
    (S.PUSHED, Event.ITERATE): S.ITERATING,
    (S.PUSHED, Event.MERGE): S.MERGED,
    (S.PUSHED, Event.PUSH): S.PUSHED,
    (S.MERGED, Event.PUSH): S.PUSHED,
}

RUNNING: Final = frozenset({S.IN_PROGRESS, S.ITERATING})
ENDED: Final = frozenset({S.COMPLETED, S.FAILED, S.CANCELLED, S.MERGED, S.PUSHED})
DELETING: Final = "task.deleting"
"""The event that a deletion has begun, after which the task can never continue."""
RESUMABLE: Final = frozenset({S.PAUSED, S.FAILED, S.CANCELLED})


class IllegalTransition(RoverError):
    """The table has no such transition."""

    code = "illegal_transition"


# The store checks the table again in the same transaction, so of two events at the same time one is
# refused and none is lost.
def advance(status: S, event: Event) -> S:
    """The status after `event`.

    Raises:
        IllegalTransition: the table has no such transition.
    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        hint = "resume_task continues it, cancel_task ends it" if status is S.PAUSED else None
        raise IllegalTransition(f"a task that is {status} cannot take {event}", hint=hint) from None


def sources(event: Event) -> frozenset[S]:
    """The statuses in which `event` is possible."""
    return frozenset(status for status, possible in TRANSITIONS if possible is event)


def as_markdown() -> str:
    """The table, and the one of attempts, as a page of documentation."""
    rows = [f"| {status} | {event} | {target} |" for (status, event), target in TRANSITIONS.items()]
    head = [
        "# States of tasks and attempts",
        "",
        "## Task states",
        "",
        "Generated from `rover_mcp/domain/task_status.py`; a test fails when it differs.",
        "",
        "| status | event | new status |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", attempt_state.as_markdown()])


if __name__ == "__main__":
    print(as_markdown(), end="")
