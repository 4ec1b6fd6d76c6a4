"""Finds the task that a call means. A number or a branch belongs to a project and never names a
task of another one, unless the call only reads and comes from outside of any repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rover_mcp.domain.errors import NotFound, UserFixable
from rover_mcp.domain.ids import TaskName, parse_task
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.task_ports import Repositories

FoundTasks = Sequence[TaskRow | DamagedRecord]


@dataclass(frozen=True)
class CallOrigin:
    """Where a call comes from. `root` is None outside of a repository, `project` where no task was
    ever created there."""

    root: str | None
    project: str | None = None


@dataclass(frozen=True)
class TaskFinder:
    """Finds tasks by the names that people and assistants use for them."""

    store: Store
    repositories: Repositories

    def place(self, caller: Caller, repo_path: str | None = None) -> CallOrigin:
        """The project at the given or the caller's folder.

        Raises:
            UserFixable: `repo_path` is not in a repository, or the caller may not name it.
        """
        try:
            root = self.repositories.inspect(caller.folder(repo_path)).project
        except UserFixable as error:
            # A folder that was named on purpose and is no repository is an error; a working folder
            # that is none is usual.
            if repo_path:
                error.next_call = error.next_call or _LIST
                raise
            return CallOrigin(None)
        project, known = self.store.projects.at(str(root)), self.repositories.project_id(root)
        if project is None or (
            project.id != known and not self.store.projects.has_tasks(project.id)
        ):
            # Its record is damaged or lost; its tasks still say whose they are.
            project_id = known if self.store.projects.has_tasks(known) else project and project.id
            return CallOrigin(str(root), project_id)
        return CallOrigin(str(root), project.id)

    def find(
        self,
        caller: Caller,
        task: str,
        repo_path: str | None = None,
        *,
        changes: bool = False,
        deleted: bool = False,
    ) -> TaskRow:
        """The task that a call names. `changes`: the call is going to change it. `deleted`: it is
        one of the trash.

        Raises:
            UserFixable: the name is malformed, or means more than one task; or it is a number or
                a branch, and nothing says of which project ("no_repository").
            NotFound: there is no such task that the caller may see, or none in this repository.
            DamagedRecord: its record cannot be read.
        """
        name = parse_task(task)
        # An id is unguessable and means one task everywhere. A number is short and exists in every
        # project, so a call from outside of any project must never act on one: cancel_task with
        # task 1, from a repository without tasks, once ended another project's task.
        if name.kind in ("id", "prefix"):
            tasks = self.store.tasks.named(
                name.kind, name.value, owner=caller.user, deleted=deleted
            )
        else:
            place = self.place(caller, repo_path)
            tasks = self._in_project(caller, name, place, changes=changes, deleted=deleted)
        # A task of another user does not exist for this one: a different error would reveal that it
        # does.
        tasks = [row for row in tasks if _sees(caller, row)]
        if not tasks:
            raise self._missing(caller, name, task, deleted=deleted)
        if len(tasks) > 1:
            raise _ambiguous(task, tasks)
        if isinstance(tasks[0], DamagedRecord):
            raise tasks[0]
        return tasks[0]

    def _missing(self, caller: Caller, name: TaskName, task: str, *, deleted: bool) -> NotFound:
        if deleted:
            return NotFound(f"there is no task {task} in the trash", code="unknown_task")
        trashed = self.store.tasks.named(name.kind, name.value, owner=caller.user, deleted=True)
        rows = [row for row in trashed if isinstance(row, TaskRow) and _sees(caller, row)]
        if len(rows) != 1 or name.kind not in ("id", "prefix"):
            return NotFound(f"there is no task {task}", code="unknown_task", next_call=_LIST)
        return NotFound(
            f"task {task} is in the trash",
            code="unknown_task",
            hint="restore it first, if the user wants that",
            next_call={
                "tool": "delete_task", "arguments": {"task": rows[0].id, "restore": True},
            },
        )  # fmt: skip

    def _in_project(
        self, caller: Caller, name: TaskName, place: CallOrigin, *, changes: bool, deleted: bool
    ) -> FoundTasks:
        named = partial(
            self.store.tasks.named, name.kind, name.value, owner=caller.user, deleted=deleted
        )
        if place.project and (tasks := named(project_id=place.project)):
            return tasks
        # Looked up for the hint: it names ids that the caller may have meant.
        elsewhere = [row for row in named() if _sees(caller, row)]
        if place.root is not None:
            raise NotFound(
                f"there is no task {name.value} in {place.root}",
                code="unknown_task",
                hint=f"a task of another repository is named by its id{_ids(elsewhere)}",
                next_call=_LIST,
            )
        if changes and elsewhere:
            raise UserFixable(
                f"{name.value} could be a task of any project, because this call comes from none",
                code="no_repository",
                hint=f"name the task by its id, or give repo_path{_ids(elsewhere)}",
                next_call=_LIST,
            )
        return elsewhere


def _ambiguous(task: str, tasks: FoundTasks) -> UserFixable:
    return UserFixable(
        f"more than one project has a task {task}",
        code="ambiguous_task",
        hint=f"name it by its id, or give repo_path{_ids(tasks)}",
        next_call=_LIST,
    )


_LIST: dict[str, object] = {"tool": "list_tasks", "arguments": {}}
_MOST_NAMED = 3


def _sees(caller: Caller, row: TaskRow | DamagedRecord) -> bool:
    if isinstance(row, DamagedRecord):
        return row.task is None or caller.sees(row.task.owner)
    return caller.sees(row.owner)


def _ids(tasks: FoundTasks) -> str:
    """The ids of tasks in other projects, for a hint."""
    rows = [row for row in tasks if isinstance(row, TaskRow)][:_MOST_NAMED]
    named = ", ".join(f"task {row.number} of {row.project_path} is {row.id}" for row in rows)
    return f": {named}" if named else ""
