"""What a new task starts from, and which other tasks it waits for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rover_mcp.domain.errors import Conflict, UserFixable
from rover_mcp.domain.stacking import SATISFIES, find_cycle, is_satisfied
from rover_mcp.domain.task_links import AwaitedTask, TaskLinks
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.task_finder import TaskFinder
from rover_mcp.tasks.task_ports import Repositories, Repository

_TASK: Final = re.compile(r"task:\s*(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class StackedBase:
    """The commit and the branch. For a task that has to wait for another one's result they are what
    is known until then."""

    commit: str
    branch: str | None
    links: TaskLinks | None = None


def stacked_base(
    store: Store,
    repositories: Repositories,
    caller: Caller,
    request: CreateRequest,
    repository: Repository,
) -> StackedBase:
    """Look up what the request names.

    Raises:
        NotFound: there is no such task in this repository, or no such branch.
        UserFixable, Conflict: a task is of another repository, or waits for itself.
    """
    finder = TaskFinder(store, repositories)

    def find(name: str) -> TaskRow:
        task = finder.find(caller, name, request.repo_path)
        if task.project_path != str(repository.project):
            raise UserFixable(
                f"task {name} is of another repository, {task.project_path}",
                code="other_repository",
                hint="a task can only wait for tasks of its own repository",
            )
        return task

    name = request.base_branch
    match = _TASK.fullmatch(name) if name else None
    below = find(match[1]) if match else None
    tasks = {task.id: task for task in (*map(find, request.after), *([below] if below else []))}
    links = _links(store, list(tasks.values()), below)
    if below is None:
        commit = repositories.resolve(repository, name) if name else repository.base_commit
        return StackedBase(commit, name or repository.branch, links)
    if below.status in SATISFIES and links is not None and not links.after:
        return StackedBase(repositories.resolve(repository, below.branch), below.branch, links)
    return StackedBase(below.base_commit, below.branch, links)


def _links(store: Store, tasks: Sequence[TaskRow], below: TaskRow | None) -> TaskLinks | None:
    """The tasks to wait for; those that are done all together need no waiting."""
    if not tasks:
        return None
    after = tuple(AwaitedTask(task=task.id, number=task.number) for task in tasks)
    base = next((awaited for awaited in after if below and awaited.task == below.id), None)
    links = TaskLinks(after=after, base=base)
    if cycle := find_cycle(after, lambda task_id: _after(store, task_id)):
        path = " -> ".join(map(str, cycle))
        raise Conflict(
            f"these tasks wait for each other, so none would ever start: {path}",
            code="task_cycle",
            hint="cancel one of them",
        )
    done = is_satisfied(links, {task.id: task.status for task in tasks})
    return links.model_copy(update={"after": ()}) if done else links


def _after(store: Store, task_id: str) -> Sequence[AwaitedTask]:
    task = store.tasks.get(task_id)
    return task.links.after if task and task.links else ()
