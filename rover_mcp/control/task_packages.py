"""The packages that a task finds in its HOME, and keeps for the next task of its project."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from typing import Final

from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.network_policy import NetworkPolicy, parse_authority
from rover_mcp.domain.paths import TaskFolders, project_folder
from rover_mcp.gateway.policy import Destination, judge
from rover_mcp.packages import uv
from rover_mcp.packages.home_archive import unpack
from rover_mcp.packages.home_files import ReadBudget
from rover_mcp.packages.lock_files import Files, demanded_by
from rover_mcp.packages.package_store import FOLDER, NOTHING, NeededPackages, PackageStore
from rover_mcp.sandbox.protocol import Engine, KeepsHomes
from rover_mcp.store.records import TaskRow

log = logging.getLogger("rover.control")
_WHEELS: Final = Destination(*parse_authority(f"{uv.HOST}:443"))
_one_at_a_time = threading.Lock()

BUBBLEWRAP = "bubblewrap"
"""The engine whose sandboxes are isolated and have their HOME in the data folder."""


def lend_packages(
    settings: Settings, task: TaskRow, attempt: int, base: Files, engine: Engine
) -> Path | None:
    """Put the packages that are kept for the project into the HOME of a new task. If the engine has
    to do that, return the folder with them. A failure is logged, since a task can do without."""
    if attempt != 1 or not _is_served(engine):
        return None
    folders, store = TaskFolders(settings.home, task.id, task.iteration), _store(settings, task)
    try:
        # Listing the files of a large base takes a while, which a task would wait for.
        demanded = demanded_by(base) if store.has_named else NOTHING
        if not isinstance(engine, KeepsHomes):
            store.lend(folders.agent_home, demanded)
        else:
            shutil.rmtree(folders.packages, ignore_errors=True)
            if store.lend(folders.packages, demanded, linked=True):
                return folders.packages
    except (OSError, RoverError) as error:
        log.warning("task %s begins without the project's packages: %s", task.id, error)
    return None


def keep_packages(
    settings: Settings, task: TaskRow, attempt: int, base: Files, engine: Engine
) -> None:
    """Keep what a task has fetched, after it has ended."""
    if not _is_served(engine):
        return
    folders, store = TaskFolders(settings.home, task.id, task.iteration), _store(settings, task)
    try:
        demanded = demanded_by(base)
        if not isinstance(engine, KeepsHomes):
            store.keep(folders.agent_home, demanded)
            _complete(task, store, demanded)
            return
        shutil.rmtree(folders.packages, ignore_errors=True)
        try:
            _fetch(engine, sandbox_name(task.id, attempt), folders.packages, store, demanded)
            store.keep(folders.packages, demanded)
            _complete(task, store, demanded)
        finally:
            shutil.rmtree(folders.packages, ignore_errors=True)
    except (OSError, RoverError) as error:
        log.warning("the packages of task %s are not kept: %s", task.id, error)


def _fetch(
    engine: KeepsHomes, name: str, into: Path, store: PackageStore, demanded: NeededPackages
) -> None:
    """Copy packages that may be kept out of a HOME that the engine keeps."""

    def wanted(path: Path) -> bool:
        return not store.has(path.relative_to(into), demanded)

    for place in store.places(demanded) if store.most > 0 else ():
        with engine.home_archive(name, place) as stream:
            if stream is not None:
                unpack(stream, (into / place).parent, ReadBudget(2 * store.most), wanted)


def may_fetch_wheels(task: TaskRow) -> bool:
    """Whether the task itself was allowed to fetch wheels."""
    return judge(NetworkPolicy.stored(task.network), "CONNECT", _WHEELS).allowed


def _complete(task: TaskRow, store: PackageStore, demanded: NeededPackages) -> None:
    """Fetch the wheels that the task used, in a thread."""
    if not store.lacking(demanded) or not may_fetch_wheels(task):
        return

    def work() -> None:
        with _one_at_a_time:
            try:
                store.fetch(demanded)
            except OSError as error:
                log.warning("wheels of task %s are not kept: %s", task.id, error)

    threading.Thread(target=work, daemon=True).start()


def _is_served(engine: Engine) -> bool:
    """Whether its sandboxes are isolated, and their HOME can be reached from outside."""
    return engine.name == BUBBLEWRAP or isinstance(engine, KeepsHomes)


def _store(settings: Settings, task: TaskRow) -> PackageStore:
    folder = project_folder(settings.home, task.project_id) / FOLDER
    return PackageStore(folder, settings.package_cache_bytes)
