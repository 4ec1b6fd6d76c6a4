"""The use case of switching automatic resumes: for a task, a project, or all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks import task_page
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.live_reader import LiveTaskReader

Scope = Literal["task", "project", "all"]


@dataclass(frozen=True)
class SwitchResult:
    """`changed` paused tasks resume automatically from now on, or no longer do. `still_off` names
    the other switches that are off, because of which switching this one on has no effect yet."""

    enabled: bool
    scope: Scope
    changed: int
    still_off: str | None


def switch_auto_resume(
    tasks: LiveTaskReader,
    caller: Caller,
    enabled: bool,
    scope: Scope,
    task: str | None,
    repo_path: str | None,
) -> SwitchResult:
    """Switch automatic resumes on or off. Off also cancels at once what is scheduled.

    Raises:
        UserFixable: no task is named, one is named for a wider scope, or there is no such task or
            repository; or a user over HTTP names more than a task of theirs.
    """
    if caller.user is not None and scope != "task":
        raise UserFixable(
            f"scope {scope} covers other users' tasks; only this machine's user can switch it",
            code="not_allowed",
            hint="name a task with scope task",
        )
    if (task is None) is (scope == "task"):
        raise _unclear(enabled, scope, task)
    row = tasks.finder.find(caller, task, repo_path, changes=True) if task is not None else None
    project = _project(tasks, caller, repo_path) if scope == "project" else None
    changed = set_auto_resume(tasks, enabled, task=row, project_id=project)
    still = tasks.policy().off_for(row.project_id if row else project) if enabled else []
    return SwitchResult(enabled, scope, changed, " and ".join(still) or None)


def _unclear(enabled: bool, scope: Scope, task: str | None) -> UserFixable:
    hint = "name a task with scope task, or none with scope project or all"
    message = "scope task needs a task"
    call: dict[str, object] = {"tool": "list_tasks", "arguments": {}}
    if task is not None:
        message = f"scope {scope} takes no task: it is about more than one"
        call = {"tool": "set_auto_resume", "arguments": {"enabled": enabled, "task": task}}
    return UserFixable(message, code="invalid_arguments", hint=hint, next_call=call)


def _project(tasks: LiveTaskReader, caller: Caller, repo_path: str | None) -> str:
    root = tasks.repositories.inspect(caller.folder(repo_path)).project
    known = tasks.store.projects.at(str(root))
    return known.id if known else tasks.repositories.project_id(root)


def set_auto_resume(
    tasks: LiveTaskReader,
    enabled: bool,
    *,
    task: TaskRow | None = None,
    project_id: str | None = None,
) -> int:
    """Switch automatic resumes for a task, for a project, or, with neither, for all tasks. Returns
    how many paused tasks no longer resume automatically; or, when switching on, how many do so now,
    of those whose reason permits it."""
    if task is not None:
        dropped = tasks.store.switches.set_for_task(task.id, enabled=enabled)
    else:
        dropped = tasks.store.switches.set_for_project(project_id, enabled=enabled)
    if not enabled:
        return dropped
    paused = (
        [tasks.store.tasks.get(task.id)] if task is not None else _paused(tasks.store, project_id)
    )
    return sum(tasks.control.schedule(row) for row in paused if row is not None)


def _paused(store: Store, project_id: str | None) -> Iterator[TaskRow]:
    before: tuple[float, str] | None = None
    while page := store.tasks.page(
        statuses=[TaskStatus.PAUSED], project_id=project_id, before=before, limit=200
    ):
        yield from (row for row in page if isinstance(row, TaskRow))
        before = task_page.place(page[-1])
