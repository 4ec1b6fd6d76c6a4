"""Finds and removes everything that is kept of a task, for deleting it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rover_mcp.daemon.folder_sizes import FolderSizer
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_branches import drop_aside
from rover_mcp.daemon.trash import Trash
from rover_mcp.domain.errors import EnvironmentFault, RoverError, UserFixable
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.git.hub import Hub
from rover_mcp.git.repository_view import opened
from rover_mcp.git.unfinished_commit import unfinished_in
from rover_mcp.sandbox.protocol import Engine, SandboxState
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.delete import Leftover

STOP_GRACE_SECONDS = 5.0
COUNT_SECONDS = 2.0
"""The time for measuring the files of a task."""
MOST_NAMES = 10
"""The number of branches with a task's work that are named."""
REMOVAL_SECONDS = 5.0
"""How long a client waits for the removal; that of a small task is over by then."""
ROOM_SECONDS = 20.0
"""The time for the removal of a work tree that leaves the disk no room for records."""

log = logging.getLogger("rover.daemon")


class TaskLeftovers:
    """Everything that is kept of a task: in the hub, in the data folder, by its engine."""

    def __init__(
        self,
        home: Path,
        repositories: GitRepositories,
        engines: Mapping[str, Engine],
        trash: Trash,
        collect: Callable[[Hub, str], object] = lambda _hub, _task_id: None,
        *,
        hub_goes: bool = False,
    ) -> None:
        """`hub_goes`: the hub is removed afterwards, so that a damaged one does not matter."""
        self._hub_goes = hub_goes
        self._home = home
        self._collect = collect
        self._repositories = repositories
        self._engines = engines
        self._trash = trash

    def find(self, task: TaskRow) -> Leftover:
        hub = self._repositories.hub(task.project_id)
        tip, root = self._tip(task), self._root(task)
        size, is_complete = _size(root)
        delivered = tip is not None and self._has_all(task, hub, tip)
        return Leftover(
            branch=tip is not None,
            delivered=delivered,
            also_in=self._branches_with(task, tip) if delivered and tip else (),
            snapshots=self._snapshots(hub, task.id, root),
            size=size,
            whole=is_complete,
        )

    def _has_all(self, task: TaskRow, hub: Hub, tip: str) -> bool:
        last = task.run_state.snapshot if task.run_state else None
        if tip == hub.head(task.id) or last is None:
            return tip == hub.head(task.id)
        return unfinished_in(Path(task.project_path), tip, task.id) == last.sequence

    def _branches_with(self, task: TaskRow, tip: str) -> list[str]:
        """Other branches that have the commit: it is merged there, or pushed."""
        argv = ["for-each-ref", f"--contains={tip}", "--format=%(refname)", f"--count={MOST_NAMES}"]
        try:
            with opened(Path(task.project_path)) as view:
                listed = view.run([*argv, "refs/heads", "refs/remotes"], timeout=COUNT_SECONDS)
        except RoverError as error:
            log.info("the branches of %s cannot be listed: %s", task.project_path, error)
            return []
        names = (line.split("/", 2)[2] for line in listed.text.splitlines() if line.count("/") > 1)
        return [name for name in names if name != task.branch]

    def _snapshots(self, hub: Hub, task_id: str, root: Path) -> int:
        try:
            return len(hub.snapshots(task_id))
        except EnvironmentFault:
            if not self._hub_goes:
                raise
            return sum(1 for _ in root.glob("iterations/*/run/bundles/*.bundle"))

    def _drop(self, hub: Hub, task_id: str) -> bool:
        try:
            return hub.drop_task(task_id)
        except EnvironmentFault as fault:
            if not self._hub_goes:
                raise
            log.info("the snapshots of task %s go with its hub: %s", task_id, fault)
            return False

    def _tip(self, task: TaskRow) -> str | None:
        """The commit of the task's branch in the user's repository; None: there is no branch."""
        try:
            repository = self._repositories.inspect(Path(task.project_path))
            if task.branch in repository.branches:
                return self._repositories.resolve(repository, task.branch)
        except UserFixable as error:
            log.info("the branch of task %s cannot be inspected: %s", task.number, error)
        return None

    def _root(self, task: TaskRow) -> Path:
        return TaskFolders(self._home, task.id, task.iteration).root

    def remove(self, task: TaskRow) -> None:
        if task.engine not in self._engines:
            self.remove_by_id(task.id)
            return
        engine = self._engines[task.engine]
        for info in engine.list():
            if info.task_id == task.id:
                engine.remove(info.name)
        drop_aside(task)
        hub = self._repositories.hub(task.project_id)
        self._drop(hub, task.id)
        self._remove_files(task.id, task.engine)
        self._collect(hub, task.id)

    def make_room(self, task: TaskRow) -> None:
        folder = TaskFolders(self._home, task.id, task.iteration).work
        if not os.path.lexists(folder):
            return
        try:
            if not folder.is_symlink():
                # A folder that its owner cannot write cannot be moved into another.
                folder.chmod(0o700)
            self._trash.wait(self._trash.put(folder, task.id), ROOM_SECONDS)
        except OSError as error:
            log.warning("%s cannot be removed: %s", folder, error)

    def find_by_id(self, task_id: str) -> Leftover:
        root = TaskFolders(self._home, task_id, 1).root
        hubs = self._repositories.hubs()
        snapshots = max((self._snapshots(hub, task_id, root) for hub in hubs), default=0)
        size, is_complete = _size(root)
        return Leftover(False, False, snapshots, size, is_complete)

    def remove_by_id(self, task_id: str) -> None:
        for name, engine in self._engines.items():
            try:
                for info in engine.list():
                    if info.task_id == task_id and info.state is SandboxState.RUNNING:
                        engine.stop(info.name, STOP_GRACE_SECONDS)
                engine.remove_task(task_id)
            except EnvironmentFault as fault:
                # An engine that does not answer may never have had it.
                log.warning("%s is not asked for task %s: %s", name, task_id, fault.message)
        # Which project's it is may not be known.
        hubs = [hub for hub in self._repositories.hubs() if self._drop(hub, task_id)]
        self._remove_files(task_id)
        for hub in hubs:
            self._collect(hub, task_id)

    def _remove_files(self, task_id: str, engine: str = "") -> None:
        """Move the files out of sight at once. What takes long is done in the background."""
        if self._hub_goes and engine:
            # A project's images go next, and none can while a container of the task has it.
            self._engines[engine].remove_task(task_id)
        try:
            entry = self._trash.put(TaskFolders(self._home, task_id, 1).root, task_id, engine)
        except OSError as error:
            raise EnvironmentFault(
                f"not all files of task {task_id} can be removed: {error}",
                hint="correct that, then call delete_task again",
                code="not_removed",
            ) from error
        if not self._hub_goes:
            self._trash.wait(entry, REMOVAL_SECONDS)


def _size(folder: Path) -> tuple[int, bool]:
    """Bytes that a folder takes on the disk, and whether all of it was counted in time."""
    end = time.monotonic() + COUNT_SECONDS
    return FolderSizer(lambda: time.monotonic() < end).size_so_far(folder)
