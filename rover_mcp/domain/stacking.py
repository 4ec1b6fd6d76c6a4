"""When a task may start that comes after others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rover_mcp.domain.task_links import AwaitedTask, TaskLinks
from rover_mcp.domain.task_status import TaskStatus

SATISFIES: Final = frozenset({TaskStatus.COMPLETED, TaskStatus.MERGED, TaskStatus.PUSHED})
"""The statuses of a task that those after it need not wait for any longer."""

NEVER: Final = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})
"""Statuses that end no wait: only somebody who continues the task, or cancels the one that waits,
does."""

Statuses = Mapping[str, TaskStatus]
"""By task; one that is deleted is not there."""


def is_satisfied(links: TaskLinks, statuses: Statuses) -> bool:
    """Whether all tasks that it comes after are done."""
    return all(statuses.get(awaited.task) in SATISFIES for awaited in links.after)


def waits_for(links: TaskLinks, statuses: Statuses) -> str:
    """What it waits for, as a phase."""
    left = [awaited for awaited in links.after if statuses.get(awaited.task) not in SATISFIES]
    return f"waits for {', '.join(_named(awaited, statuses) for awaited in left) or 'its start'}"


def stuck(links: TaskLinks, statuses: Statuses) -> list[str]:
    """A warning for each task that will not be completed unless somebody does something."""
    warnings: list[str] = []
    for awaited in links.after:
        status = statuses.get(awaited.task)
        if status is None:
            warnings.append(
                f"task {awaited.number}, which this one waits for, is deleted: this one never "
                "starts; cancel_task ends it"
            )
        elif status in NEVER:
            warnings.append(
                f"task {awaited.number}, which this one waits for, is {status}: this one starts "
                "once that is COMPLETED after all (resume_task or iterate_task); or cancel_task "
                "ends this one"
            )
    return warnings


def find_cycle(
    first: Sequence[AwaitedTask], after: Callable[[str], Sequence[AwaitedTask]]
) -> list[int]:
    """The numbers of tasks that wait for each other in a cycle, as the path through it; empty
    where there is none. `after` gives what a task comes after."""
    path: list[AwaitedTask] = []
    done: set[str] = set()

    def visit(task: AwaitedTask) -> list[int]:
        ids = [t.task for t in path]
        if task.task in ids:
            return [t.number for t in path[ids.index(task.task) :]] + [task.number]
        if task.task in done:
            return []
        path.append(task)
        for awaited in after(task.task):
            if cycle := visit(awaited):
                return cycle
        path.pop()
        done.add(task.task)
        return []

    return next((cycle for task in first if (cycle := visit(task))), list[int]())


def _named(awaited: AwaitedTask, statuses: Statuses) -> str:
    status = statuses.get(awaited.task)
    what = "deleted" if status is None else str(status)
    return f"task {awaited.number} ({what})"
