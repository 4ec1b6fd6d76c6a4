"""The tool wait_for_task: waits until one task, one of several, or any of the caller's pauses or
ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread

from rover_mcp.domain.errors import NotFound
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.server import arguments as a
from rover_mcp.server import results as r
from rover_mcp.server.event_broadcast import STOPPED
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.view_models import TaskView

if TYPE_CHECKING:
    from rover_mcp.server.tool_call import Call

MOST = 50
"""How many tasks one call waits for."""
LIVE = (TaskStatus.NEW, TaskStatus.IN_PROGRESS, TaskStatus.ITERATING)


async def wait_for_task(call: Call, args: a.WaitArguments) -> r.WaitResult:
    tasks = call.services.tasks
    rows = await anyio.to_thread.run_sync(lambda: list(_awaited(call, args)))
    for row in rows:
        call.session.watch(row.id)
    ids = [row.id for row in rows]
    returned: Literal["news", "timeout"] = "timeout"
    # A damaged record is an error at once.
    await anyio.to_thread.run_sync(_fresh, tasks, rows)
    with call.services.broadcaster.watching(ids) as arm, anyio.move_on_after(args.timeout_s):
        while True:
            # Armed before the tasks are read: an event in between would be missed otherwise.
            news = arm()
            # Level-triggered: a task that stopped before the call is reported at once.
            if await anyio.to_thread.run_sync(_any_stopped, tasks, rows):
                break
            if args.after_seq is not None and await _news_after(call, ids, args.after_seq):
                returned = "news"
                break
            # Each event wakes all who wait, and a view takes many reads.
            if call.wants_progress:
                views = await anyio.to_thread.run_sync(_fresh, tasks, rows)
                # Some clients extend a call's time limit whenever progress arrives.
                await call.progress(sum(v.progress for v in views) / len(views), _phase(views))
            await news.wait()
    views = await anyio.to_thread.run_sync(_fresh, tasks, rows)
    stopped = next((view for view in views if view.status in STOPPED), None)
    if stopped is None:
        return _result(views, returned)
    views.remove(stopped)
    how = "paused" if stopped.status is TaskStatus.PAUSED else "ended"
    return _result([stopped, *views], how)


def _awaited(call: Call, args: a.WaitArguments) -> Iterator[TaskRow]:
    """The tasks that the call names, each once; else all that are running where the call comes
    from, and where none is running the newest one, which has stopped.

    Raises:
        RoverError: one of them does not exist, or there is no task at all.
    """
    finder, caller = call.services.tasks.finder, call.session.caller
    if args.task:
        named = [finder.find(caller, task, args.repo_path) for task in args.task]
        yield from {row.id: row for row in named}.values()
        return
    place, store = finder.place(caller, args.repo_path), call.services.tasks.store
    rows: Sequence[TaskRow | DamagedRecord] = ()
    if place.project or place.root is None:
        for statuses, limit in ((LIVE, MOST), ((), 1)):
            rows = rows or store.tasks.page(
                statuses=statuses, project_id=place.project, limit=limit, owner=caller.user
            )
    if not rows:
        raise NotFound(
            f"there is no task in {place.root}" if place.root else "there is no task",
            code="unknown_task",
            hint="create_task makes one; a task of another repository is named by its id",
            next_call={"tool": "list_tasks", "arguments": {}},
        )
    for row in rows:
        if isinstance(row, DamagedRecord):
            if len(rows) == 1:
                raise row
            continue
        yield row


def _fresh(tasks: TaskService, rows: Sequence[TaskRow]) -> list[TaskView]:
    return [tasks.view(tasks.store.tasks.get(row.id) or row) for row in rows]


def _any_stopped(tasks: TaskService, rows: Sequence[TaskRow]) -> bool:
    fresh = (tasks.store.tasks.get(row.id) or row for row in rows)
    return any(tasks.shown_status(row) in STOPPED for row in fresh)


def _phase(views: Sequence[TaskView]) -> str:
    return views[0].phase if len(views) == 1 else f"{len(views)} tasks run"


async def _news_after(call: Call, ids: Sequence[str], seq: int) -> bool:
    events = call.services.tasks.store.events

    def found() -> bool:
        return any(events.after(seq, task_id=task_id, limit=1) for task_id in ids)

    try:
        return await anyio.to_thread.run_sync(found)
    except DamagedRecord:
        return True


def _result(
    views: Sequence[TaskView], returned: Literal["paused", "ended", "news", "timeout"]
) -> r.WaitResult:
    """The result. It has only a short view of a task that is still running, because the call is
    repeated again and again."""
    first, *others = views
    waiting = [r.WaitedView(number=view.number, status=view.status) for view in others]
    shown = first
    if returned == "timeout":
        shown = r.WaitedView(
            number=first.number, status=first.status, phase=first.phase, progress=first.progress
        )
    return r.WaitResult(task=shown, returned=returned, waiting=waiting or None)
