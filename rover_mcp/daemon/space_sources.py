"""What of a data folder could go, one class for each kind, and how it is removed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.daemon.folder_sizes import FolderSizer
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.task_leftovers import TaskLeftovers
from rover_mcp.daemon.trash import Trash
from rover_mcp.daemon.work_trees import WorkTrees
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.packages.package_store import FOLDER as PACKAGES
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.free_space import FreeableItem, SpaceKind
from rover_mcp.tasks.images import RoverImages
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.task_trash import TaskTrash

ORPHAN_SECONDS = 3600.0
"""A younger folder without a record may be that of a task that is just being created."""
REVIEWS = "reviews"
REVIEW_SECONDS = 86_400.0
"""A younger text may still be open in an editor."""
MOST = 10_000
_DONE = (TaskStatus.COMPLETED, TaskStatus.MERGED, TaskStatus.PUSHED)
_LIVE = (TaskStatus.NEW, TaskStatus.PAUSED, *RUNNING)


def _name(task: TaskRow) -> str:
    return f"task {task.number} of {printable(task.project_path, 200)}"


def _tasks(store: Store, statuses: Sequence[TaskStatus]) -> list[TaskRow]:
    rows = store.tasks.page(statuses=statuses, limit=MOST)
    return [row for row in rows if isinstance(row, TaskRow)]


@dataclass(frozen=True)
class WaitingSandboxes:
    """Those of the warm pool."""

    warm_pool: WarmPool
    kind = SpaceKind.SANDBOXES

    def list(self) -> list[FreeableItem]:
        count = len(self.warm_pool.names())
        what = "1 waits" if count == 1 else f"{count} wait"
        return [FreeableItem(self.kind, "spares", f"{what} for a next task")] if count else []

    def find(self, item_id: str) -> FreeableItem | None:
        return next((one for one in self.list() if one.id == item_id), None)

    def free(self, item: FreeableItem) -> None:
        self.warm_pool.clear()


@dataclass(frozen=True)
class UnneededImages:
    """Those that `rover image prune` removes."""

    images: RoverImages
    kind = SpaceKind.IMAGES

    def list(self) -> list[FreeableItem]:
        views = self.images.prune(time.time(), dry_run=True)
        return [
            FreeableItem(
                self.kind, f"{v['engine']} {v['tag']}", f"{v['tag']} on {v['engine']}", v["bytes"]
            )
            for v in views
        ]

    def find(self, item_id: str) -> FreeableItem | None:
        # The engine gives up nothing that a container uses, but it does not know of paused tasks,
        # nor of an image that has been built again since.
        engine, _, tag = item_id.partition(" ")
        is_free = self.images.is_free(engine, tag, time.time())
        return FreeableItem(self.kind, item_id, f"{tag} on {engine}") if is_free else None

    def free(self, item: FreeableItem) -> None:
        engine, _, tag = item.id.partition(" ")
        if not self.images.engines[engine].remove_image(tag):
            raise EnvironmentFault(f"{engine} keeps the image {tag}: something needs it")


@dataclass(frozen=True)
class PackageCaches:
    """Packages that projects keep for their next tasks. A task has copies of its own, but one that
    is at work or paused may have its HOME made again from them."""

    home: Path
    store: Store
    trash: Trash
    kind = SpaceKind.CACHES

    def list(self) -> list[FreeableItem]:
        live = {task.project_id for task in _tasks(self.store, _LIVE)}
        paths = self.store.projects.paths_by_id()
        folders = sorted((self.home / "projects").glob(f"*/{PACKAGES}"))
        return [
            FreeableItem(
                self.kind,
                folder.parent.name,
                f"packages of {printable(paths.get(folder.parent.name, 'a project'), 200)}",
                FolderSizer().size(folder),
            )
            for folder in folders
            if folder.parent.name not in live
        ]

    def find(self, item_id: str) -> FreeableItem | None:
        return next((one for one in self.list() if one.id == item_id), None)

    def free(self, item: FreeableItem) -> None:
        # One rename, so that a task that begins finds all of the packages or none.
        self.trash.put(self.home / "projects" / item.id / PACKAGES, f"packages-{item.id}")


@dataclass(frozen=True)
class FinishedTrees:
    """Work trees of finished tasks, without waiting for keep_work_trees_hours."""

    home: Path
    store: Store
    trees: WorkTrees
    kind = SpaceKind.WORK_TREES

    def list(self) -> list[FreeableItem]:
        return [item for task in _tasks(self.store, _DONE) if (item := self._item(task))]

    def find(self, item_id: str) -> FreeableItem | None:
        task = self.store.tasks.get(item_id)
        return self._item(task) if task is not None and task.status in _DONE else None

    def _item(self, task: TaskRow) -> FreeableItem | None:
        if not self.trees.is_removable(task.id):
            return None
        size = FolderSizer().size(TaskFolders(self.home, task.id, 1).work)
        return FreeableItem(self.kind, task.id, f"work tree of {_name(task)}", size, task.id)

    def free(self, item: FreeableItem) -> None:
        self.trees.remove(item.id)


@dataclass(frozen=True)
class SecondCopies:
    """Bundles of finished tasks. The hub was made from them, and is read to the last byte before
    they go: then nothing but a damaged hub would need them."""

    home: Path
    store: Store
    repositories: GitRepositories
    trash: Trash
    kind = SpaceKind.BUNDLES

    def list(self) -> list[FreeableItem]:
        return [item for task in _tasks(self.store, _DONE) if (item := self._item(task))]

    def find(self, item_id: str) -> FreeableItem | None:
        task = self.store.tasks.get(item_id)
        return self._item(task) if task is not None and task.status in _DONE else None

    def _item(self, task: TaskRow) -> FreeableItem | None:
        folders = self._folders(task)
        if not folders or not self._is_in_hub(task):
            return None
        size = FolderSizer().size(*folders)
        return FreeableItem(self.kind, task.id, f"bundles of {_name(task)}", size, task.id)

    def _folders(self, task: TaskRow) -> list[Path]:
        root = TaskFolders(self.home, task.id, 1).root
        return [f for f in sorted(root.glob("iterations/*/run/bundles")) if any(f.iterdir())]

    def _is_in_hub(self, task: TaskRow) -> bool:
        snapshot = task.run_state.snapshot if task.run_state else None
        if snapshot is None:
            return False
        with suppress(RoverError):
            hub = self.repositories.hub(task.project_id)
            return hub.holds_result(task.id, task.base_commit, snapshot)
        return False

    def free(self, item: FreeableItem) -> None:
        task = self.store.tasks.get(item.id)
        for folder in self._folders(task) if task else ():
            self.trash.put(folder, item.id)


@dataclass(frozen=True)
class TrashedTasks:
    """The trash, before its days are over."""

    home: Path
    trash: TaskTrash
    kind = SpaceKind.TRASH

    def list(self) -> list[FreeableItem]:
        return [self._item(one.task) for one in self.trash.list()]

    def find(self, item_id: str) -> FreeableItem | None:
        tasks = (one.task for one in self.trash.list() if one.task.id == item_id)
        return next((self._item(task) for task in tasks), None)

    def _item(self, task: TaskRow) -> FreeableItem:
        only_here = "it is not known where else its work is"
        with suppress(RoverError):
            leftover = self.trash.delete.leftovers.find(task)
            is_elsewhere = leftover.delivered or not leftover.snapshots
            only_here = None if is_elsewhere else f"{leftover.snapshots} snapshots of its work"
        size = FolderSizer().size(TaskFolders(self.home, task.id, 1).root)
        name = f"{_name(task)}: {printable(task.title, 80)}"
        return FreeableItem(self.kind, task.id, name, size, task.id, only_here)

    def free(self, item: FreeableItem) -> None:
        one = next((one for one in self.trash.list() if one.task.id == item.id), None)
        if one is not None:
            self.trash.purge(one.task)


@dataclass(frozen=True)
class OrphanFolders:
    """Folders of tasks that the database knows nothing of."""

    home: Path
    store: Store
    warm_pool: WarmPool
    leftovers: TaskLeftovers
    kind = SpaceKind.ORPHANS

    def list(self) -> list[FreeableItem]:
        folders = {path.name: path for path in (self.home / "tasks").glob("*") if path.is_dir()}
        waiting = self.warm_pool.names()
        lost = sorted(self.store.tasks.without_record(folders.keys()))
        return [
            FreeableItem(
                self.kind, name, f"folder {name[:40]} of a task without a record",
                FolderSizer().size(folders[name]),
                only_here="its record is lost; `rover doctor --repair` would make it again",
            )
            for name in lost
            if sandbox_name(name, 1) not in waiting and _is_old(folders[name])
        ]  # fmt: skip

    def find(self, item_id: str) -> FreeableItem | None:
        return next((one for one in self.list() if one.id == item_id), None)

    def free(self, item: FreeableItem) -> None:
        self.leftovers.remove_by_id(item.id)


@dataclass(frozen=True)
class UnsentReviews:
    """Texts that `rover review` and `rover merge --edit` keep where they could not be sent."""

    home: Path
    kind = SpaceKind.REVIEWS

    def list(self) -> list[FreeableItem]:
        paths = sorted((self.home / REVIEWS).glob("*.txt"))
        return [item for path in paths if (item := self.find(path.name))]

    def find(self, item_id: str) -> FreeableItem | None:
        path = self.home / REVIEWS / item_id
        if not _is_old(path, REVIEW_SECONDS):
            return None
        return FreeableItem(
            self.kind, item_id, f"{REVIEWS}/{printable(item_id, 100)}", FolderSizer().size(path),
            only_here="a text of yours that was not sent",
        )  # fmt: skip

    def free(self, item: FreeableItem) -> None:
        (self.home / REVIEWS / item.id).unlink(missing_ok=True)


def _is_old(path: Path, seconds: float = ORPHAN_SECONDS) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > seconds
    return False
