"""Forgets a project: first shows what would be removed and what exists nowhere else, then removes
it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rover_mcp.domain.errors import Conflict, NotFound, RoverError, UserFixable
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.delete import DeleteTask, Item
from rover_mcp.tasks.images import RoverImages
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.trust import ConsentStore

NAMED = 10
"""How many projects or tasks an error names at most."""
_WORKS = frozenset({TaskStatus.NEW, *RUNNING})


@dataclass(frozen=True)
class Sizes:
    """Bytes on the disk. What several tasks share is counted once, as the project's."""

    hub: int
    base: int
    other: int
    tasks: Mapping[str, int]


class KeptProjects(Protocol):
    """Access to what the data folder keeps of projects, apart from their tasks."""

    def root(self, folder: Path) -> Path | None:
        """The root of the repository around a folder, where there is one."""
        ...

    def project_id(self, root: Path) -> str: ...

    def exists(self, project_id: str) -> bool:
        """Whether any of it is left."""
        ...

    def sizes(self, project_id: str, task_ids: Collection[str]) -> Sizes: ...

    def note(self, project_id: str, images: Collection[str]) -> None:
        """Store the tags of the project's images until they are removed: no task leads to them by
        then."""
        ...

    def noted(self, project_id: str) -> set[str]:
        """The tags that `note` stored."""
        ...

    def remove(self, project_id: str) -> None:
        """Remove all of it. It is safe to repeat.

        Raises:
            EnvironmentFault: something cannot be removed.
        """
        ...


@dataclass(frozen=True)
class ForgottenTask:
    """A task that is removed. `only_here`: the part of its work that exists nowhere else."""

    id: str | None
    number: int | None
    title: str | None
    status: str
    bytes: int
    only_here: str | None


@dataclass(frozen=True)
class ForgottenPart:
    what: str
    detail: str
    bytes: int | None = None


@dataclass(frozen=True)
class ForgetPlan:
    """What is removed, and what stays."""

    path: str
    tasks: Sequence[ForgottenTask]
    parts: Sequence[ForgottenPart]
    bytes: int
    kept: Sequence[str]


@dataclass(frozen=True)
class _Project:
    id: str
    path: str
    tasks: Sequence[TaskRow | DamagedRecord]


# One transaction cannot span files, images and rows, so every step can be repeated.
@dataclass(frozen=True)
class ForgetProject:
    """The use case of forgetting a project. `plan` says what would be removed; calling it removes
    that. The user's repository is never touched. If a call is interrupted, another one completes
    it: tasks are removed one by one, then what they share, and the project's record last."""

    store: Store
    delete: DeleteTask
    projects: KeptProjects
    consents: ConsentStore
    images: RoverImages
    trusted: Collection[Path] = ()
    """what the user's config.yaml trusts, which Rover does not change"""

    def plan(self, folder: Path) -> ForgetPlan:
        """What would be removed.

        Raises:
            NotFound: nothing is kept of such a project.
            Conflict: one of its tasks is running, or waits to resume automatically.
        """
        return self._plan(self._ready(folder))

    def __call__(self, folder: Path, seen: Collection[str] | None = None) -> ForgetPlan:
        """Forget the project; what was removed. With `seen`, only if it has no tasks other than
        these.

        Raises:
            NotFound, Conflict: as `plan`.
            UserFixable: there is a task that was not shown.
            EnvironmentFault: something cannot be removed; the next call continues from there.
        """
        project = self._ready(folder)
        ids = [task_id for task in project.tasks if (task_id := _id(task))]
        if seen is not None and not set(ids) <= set(seen):
            raise UserFixable(
                "the project has a new task since this was shown",
                hint="run rover forget again",
                code="changed",
            )
        plan = self._plan(project)
        tags = self.projects.noted(project.id) | self.images.used_by(ids)
        if tags:
            self.projects.note(project.id, tags)
        for task in project.tasks:
            if task_id := _id(task):
                self.store.events.forget(task_id)
            self.delete(task)
        self.images.remove_own(tags)
        self.projects.remove(project.id)
        self.consents.forget(Path(project.path))
        if not self.store.projects.forget(project.id, project.path):
            raise Conflict(
                f"a task of {project.path} was created meanwhile; it is kept",
                hint="run rover forget again when it has ended",
                code="not_forgettable",
            )
        return plan

    # -- which ---------------------------------------------------------------------------------

    def _ready(self, folder: Path) -> _Project:
        project = self._find(folder)
        rows = [task for task in project.tasks if isinstance(task, TaskRow)]
        waiting = self.store.attempts.resuming_automatically([row.id for row in rows])
        busy = [row for row in rows if row.status in _WORKS or row.id in waiting]
        if busy:
            raise _busy(project.path, busy)
        return project

    def _find(self, folder: Path) -> _Project:
        for place in self._places(folder):
            row = self.store.projects.at(str(place))
            project_id = row.id if row else self.projects.project_id(place)
            tasks = self.store.tasks.of_project(project_id, str(place))
            if row or tasks or self.projects.exists(project_id) or self.consents.knows(place):
                return _Project(project_id, str(place), tasks)
        known = sorted(self.store.projects.paths_by_id().values())[:NAMED]
        raise NotFound(
            f"nothing is kept of a project at {folder}",
            hint=f"give one of these: {', '.join(known)}" if known else "no project is known",
            code="unknown_project",
        )

    def _places(self, folder: Path) -> Iterator[Path]:
        """Where the project may be: the folder itself, which may be gone, comes before a repository
        around it."""
        place = Path(os.path.abspath(folder))  # noqa: PTH100  # a link may be what is known
        yield place
        with suppress(OSError, RuntimeError):
            yield place.resolve()
        if (root := self.projects.root(place)) is not None:
            yield root

    # -- what ----------------------------------------------------------------------------------

    def _plan(self, project: _Project) -> ForgetPlan:
        ids = [task_id for task in project.tasks if (task_id := _id(task))]
        sizes = self.projects.sizes(project.id, ids)
        tasks = [self._task(task, sizes.tasks.get(_id(task) or "", 0)) for task in project.tasks]
        parts = list(self._parts(project, sizes, ids))
        total = sum(part.bytes or 0 for part in parts) + sum(task.bytes for task in tasks)
        return ForgetPlan(project.path, tasks, parts, total, self._kept(project))

    def _task(self, task: TaskRow | DamagedRecord, size: int) -> ForgottenTask:
        try:
            items = self.delete.preview(task)
        except RoverError as error:
            items = [Item("work", kept=False, detail=f"it cannot be inspected: {error.message}")]
        lost = next((i.detail for i in items if i.what == "work" and not i.kept), None)
        if isinstance(task, TaskRow):
            title = printable(task.title, 80)
            return ForgottenTask(task.id, task.number, title, str(task.status), size, lost)
        known = task.task
        number, title = (known.number, known.title) if known else (None, None)
        title = printable(title, 80) if title else None
        return ForgottenTask(_id(task), number, title, "damaged", size, lost)

    def _parts(
        self, project: _Project, sizes: Sizes, ids: Collection[str]
    ) -> Iterator[ForgottenPart]:
        if self.projects.exists(project.id):
            yield ForgottenPart("hub", "what came out of its sandboxes", sizes.hub)
            yield ForgottenPart("base", "the commits that its tasks were made from", sizes.base)
            if sizes.other:
                yield ForgottenPart("other", "packages kept for its tasks, and notes", sizes.other)
        for image in self.images.own(self.projects.noted(project.id) | self.images.used_by(ids)):
            what = f"{image['tag']} on {image['engine']}, unless another task needs it"
            yield ForgottenPart("image", what, image["bytes"])
        if self.consents.knows(Path(project.path)):
            yield ForgottenPart("trust", "your consent to what the repository asks for")

    def _kept(self, project: _Project) -> list[str]:
        kept = ["your repository, with the branches that were delivered to it"]
        if project.tasks:
            kept.append("what the tasks' calls cost stays in the usage records")
        if Path(project.path) in self.trusted:
            kept.append("its line below trusted_projects in your config.yaml, which is yours")
        return kept


def _id(task: TaskRow | DamagedRecord) -> str | None:
    if isinstance(task, TaskRow):
        return task.id
    return task.task.id if task.task else None


def _busy(path: str, busy: Sequence[TaskRow]) -> Conflict:
    names = [f"{row.number} ({_state(row)})" for row in busy[:NAMED]]
    more = f" and {len(busy) - NAMED} more" if len(busy) > NAMED else ""
    tasks = "task" if len(busy) == 1 else "tasks"
    return Conflict(
        f"{path} cannot be forgotten yet: {tasks} {', '.join(names)}{more}",
        hint=f"end each first: rover cancel {busy[0].id}",
        code="not_forgettable",
    )


def _state(row: TaskRow) -> str:
    return "waits to resume automatically" if row.status is TaskStatus.PAUSED else str(row.status)
