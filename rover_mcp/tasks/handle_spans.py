"""The spans of a task that handles name, and what it asks while it is paused. Pure.

A task that has ended can continue: resumed after a failure, restarted, iterated. But a client of
the Tasks extension was promised that the end of its handle is final, and stops asking. So a span
lasts from one such beginning to the next end, and each has a handle of its own, numbered from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rover_mcp.domain.task_status import ENDED, Event, TaskStatus
from rover_mcp.store.records import EventRow, TaskRow

ANSWERED = "task.answered"
"""The event that a pause's question was answered; its data has the question's `key`."""
LEFT = "task.left"
"""The event that whoever had the handle of a span ended it, and the task was paused; its data
has the number of the `span`."""
_RESUME_FAILED = "task.resume_failed"
_ENDS = frozenset({Event.COMPLETE, Event.FAIL, Event.CANCEL, _RESUME_FAILED})
_BEGINS = frozenset({Event.RESUME, Event.RESUME_ITERATION, Event.RESTART, Event.ITERATE})
_PAUSES = frozenset({Event.PAUSE, _RESUME_FAILED})
MARKS = frozenset({*_ENDS, *_BEGINS, *_PAUSES, ANSWERED, LEFT})
"""The kinds of events from which spans and questions are read."""
_HANDLE = re.compile(r"([0-9a-f]{32})(?:\.([1-9][0-9]{0,5}))?", re.ASCII)


@dataclass(frozen=True)
class HandleSpan:
    """`end`: the event that ended it, where the task has continued since. None: it is the present
    one."""

    number: int
    began_at: float
    end: EventRow | None


def handle(task_id: str, span: int) -> str:
    """The handle of one span: the task's id, and for later spans a dot and the number."""
    return f"{task_id}.{span}" if span else task_id


def parse_handle(text: str) -> tuple[str, int] | None:
    """The task's id and the number of the span; None where the text is not a handle."""
    match = _HANDLE.fullmatch(text)
    return (match[1], int(match[2] or 0)) if match else None


def handle_spans(task: TaskRow, marks: Sequence[EventRow]) -> list[HandleSpan]:
    """The spans of a task. `marks` are all its events whose kind is in MARKS, oldest first."""
    ends: list[EventRow] = []
    for mark in marks:
        # A client may send a cancellation twice, and both are carried out before either is
        # recorded. Only one of them ends the span.
        left = mark.kind == LEFT and mark.data.get("span", len(ends)) == len(ends)
        if left or (mark.kind in _ENDS and mark.status in ENDED):
            ends.append(mark)
    # The last end is that of the present span, which its handle still reports.
    if task.status in ENDED and ends and ends[-1].kind != LEFT:
        ends.pop()
    begins = [task.created_at]
    for end in ends:
        later = (m.at for m in marks if m.seq > end.seq and m.kind in _BEGINS)
        begins.append(next(later, end.at))
    return [
        HandleSpan(number, began, end)
        for number, (began, end) in enumerate(zip(begins, [*ends, None], strict=True))
    ]


def question(marks: Sequence[EventRow]) -> str | None:
    """The key of the question that a PAUSED task asks. A new pause has a new key, and a question
    that was answered is not asked again."""
    pauses = [m for m in marks if m.kind in _PAUSES and m.status == TaskStatus.PAUSED]
    if not pauses:
        return None
    # The extension forbids a key to be used twice in a task, so each pause has one of its own.
    key = f"pause-{pauses[-1].seq}"
    answered = any(m.kind == ANSWERED and m.data.get("key") == key for m in marks)
    return None if answered else key


def last_shown(task: TaskRow, span: HandleSpan, marks: Sequence[EventRow]) -> EventRow | None:
    """The last notable event that a reader of this span has seen."""
    notable = [m for m in marks if m.notable]
    if span.end is not None:
        shown = [m for m in notable if m.seq <= span.end.seq]
    else:
        # What came after the task was read is not shown by it.
        shown = [m for m in notable if m.status == task.status]
    return shown[-1] if shown else None
