"""The packages that a task finds in its HOME, and leaves to the next one of its project."""

from __future__ import annotations

import logging
from typing import Protocol

from rover_mcp.errors import RoverError
from rover_mcp.packages import cargo
from rover_mcp.packages.store import FOLDER, PackageStore
from rover_mcp.settings import Settings
from rover_mcp.store.rows import TaskRow
from rover_mcp.tasks.folders import TaskFolders, project_folder

log = logging.getLogger("rover.control")

ENGINE = "bubblewrap"
"""The one whose sandboxes are isolated and have their HOME in the data folder."""


class Files(Protocol):
    """Those of the commit that a task is based on."""

    def read(self, path: str, limit: int) -> bytes | None: ...


def lend_packages(settings: Settings, task: TaskRow, attempt: int, base: Files) -> None:
    """Put what is kept of the project's packages into the HOME of a task that begins. A task can
    do without."""
    if task.engine != ENGINE or attempt != 1:
        return
    folders = TaskFolders(settings.home, task.id, task.iteration)
    try:
        _store(settings, task).lend(folders.agent_home, _crates(base))
    except (OSError, RoverError) as error:
        log.warning("task %s begins without the project's packages: %s", task.id, error)


def keep_packages(settings: Settings, task: TaskRow, base: Files) -> None:
    """Take over what a task has fetched, once nothing of it runs any more."""
    if task.engine != ENGINE:
        return
    folders = TaskFolders(settings.home, task.id, task.iteration)
    try:
        _store(settings, task).keep(folders.agent_home, _crates(base))
    except (OSError, RoverError) as error:
        log.warning("the packages of task %s are not kept: %s", task.id, error)


def _crates(base: Files) -> dict[str, str]:
    return cargo.demanded(base.read(cargo.LOCK, cargo.LOCK_BYTES) or b"")


def _store(settings: Settings, task: TaskRow) -> PackageStore:
    folder = project_folder(settings.home, task.project_id) / FOLDER
    return PackageStore(folder, settings.package_cache_bytes)
