"""Removes the work trees of finished tasks once all their content is proven to be elsewhere."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from agent_runner.run.checkpoints import NOT_ELSEWHERE
from agent_runner.worktree.disk_watch import free_space
from rover_mcp.config.settings import Settings
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.damaged_records import NONSENSE
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store

SHORT = 2
"""Below so many times what a run needs, a disk has no space for trees that are not needed."""
SOON_SECONDS = 60.0
"""The time after a task's end at which its tree is removed from such a disk."""
AGAIN_SECONDS = 3600.0
"""The time after which a tree that was kept is checked again."""

HARMLESS = (RoverError, SQLAlchemyError, OSError, *NONSENSE)

log = logging.getLogger("rover.daemon")


class WorkTrees:
    """The work trees of all tasks of a data folder."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        repositories: GitRepositories,
        engines: Mapping[str, Engine],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._repositories = repositories
        self._engines = engines
        self._now = now
        self._looked_at: dict[str, float] = {}
        self._work: threading.Thread | None = None

    def sweep(self) -> None:
        """Begin to remove those that are due, in a thread of its own."""
        if self._work is None or not self._work.is_alive():
            self._work = threading.Thread(target=self.remove_due, daemon=True)
            self._work.start()

    def remove_due(self) -> list[str]:
        """Remove every tree that is due, and return the ids of the tasks."""
        removed: list[str] = []
        try:
            due = self._store.tasks.finished_before(self._now() - self._kept_seconds())
        except HARMLESS as error:
            log.warning("finished tasks cannot be listed: %s", error)
            return removed
        for task_id in due:
            if self._now() - self._looked_at.get(task_id, -AGAIN_SECONDS) < AGAIN_SECONDS:
                continue
            self._looked_at[task_id] = self._now()
            try:
                removed += [task_id] if self._remove(task_id) else []
            except HARMLESS as error:
                log.warning("the work tree of task %s is kept: %s", task_id, error)
        return removed

    def _kept_seconds(self) -> float:
        kept = self._settings.keep_work_trees_hours * 3600
        try:
            free = free_space([self._settings.home]).lowest
        except OSError:
            return kept
        return min(kept, SOON_SECONDS) if free < SHORT * self._settings.min_free_bytes else kept

    def is_removable(self, task_id: str) -> bool:
        """Whether a finished task still has a tree, and all in it is proven to be elsewhere."""
        try:
            task = self._store.tasks.get(task_id)
            engine = self._engines.get(task.engine) if task else None
            has_tree = task is not None and engine is not None and engine.holds_work(task.id)
            return task is not None and has_tree and self._needed(task) is None
        except HARMLESS as error:
            log.info("the work tree of task %s is kept: %s", task_id, error)
            return False

    def remove(self, task_id: str) -> None:
        """Remove a tree if it is still removable."""
        self._remove(task_id)

    def _remove(self, task_id: str) -> bool:
        task = self._store.tasks.get(task_id)
        engine = self._engines.get(task.engine) if task else None
        if task is None or engine is None or not engine.holds_work(task.id):
            return False
        why = self._needed(task)
        if why is not None:
            log.info("the work tree of task %s is kept: %s", task.id, why)
            return False
        engine.drop_work(task.id)
        log.info("the work tree of task %s was removed: its work is in the hub", task.id)
        return True

    def _needed(self, task: TaskRow) -> str | None:
        """Why the tree may still be needed; None: everything that the task leaves is elsewhere."""
        state = task.run_state
        if state is None or state.snapshot is None:
            return "it has no snapshot"
        if any(sign in warning for warning in state.warnings for sign in NOT_ELSEWHERE):
            return "not all that is in it could be recorded"
        hub = self._repositories.hub(task.project_id)
        if not hub.holds_result(task.id, task.base_commit, state.snapshot):
            return "the hub does not hold all of it"
        folder = TaskFolders(self._settings.home, task.id, task.iteration).work
        if changed := _changed_since(folder, task.ended_at or 0):
            return f"{changed} was changed after the task's end"
        return "a process works in it" if _in_use(folder) else None


def _changed_since(folder: Path, when: float) -> Path | None:
    """Return something in a folder that was made or changed more than a second later."""
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with suppress(FileNotFoundError):
                facts = Path(root, name).lstat()
                # ctime, the time of the change itself, which no program can set; utime(2) sets
                # mtime.
                if facts.st_ctime > when + 1:
                    return Path(root, name)
    return None


def _in_use(folder: Path) -> bool:
    """Whether a process of this user has the folder, or one below it, as its working folder."""
    return any(cwd == folder or folder in cwd.parents for cwd in _working_folders())


def _working_folders() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (process / "cwd").readlink()
