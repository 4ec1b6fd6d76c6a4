"""Measures in the background what the data folder takes on the disk. A caller gets the last result
and does not wait for a new one."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.daemon.folder_sizes import FolderSizer
from rover_mcp.daemon.trash import FOLDER as TRASH
from rover_mcp.packages.package_store import FOLDER as PACKAGES
from rover_mcp.store.store import Store
from rover_mcp.tasks.disk_use import DiskUse, ProjectUse

FRESH_SECONDS = 60.0
"""The time for which a measurement is used again."""
SHARE = 20
"""The next measurement comes after this many times the duration of the last one, at the
earliest."""
FIRST_WAIT_SECONDS = 0.3
"""How long a caller waits for the first measurement: a small folder's takes less."""
WITHOUT_RECORD = "tasks without a record"

log = logging.getLogger("rover.daemon")


class DiskMeter:
    """Measures one data folder."""

    def __init__(self, home: Path, store: Store, now: Callable[[], float] = time.time) -> None:
        self._home = home
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._work: threading.Thread | None = None
        self._last: DiskUse | None = None
        self._due = 0.0

    def use(self) -> DiskUse | None:
        """The last measurement; if it is old, a new one begins in the background. None: the first
        one takes longer than a caller should wait."""
        with self._lock:
            working = self._work is not None and self._work.is_alive()
            if not working and self._now() >= self._due:
                self._work = threading.Thread(target=self._measure, daemon=True)
                self._work.start()
            work = self._work
        if self._last is None and work is not None:
            # Outside the lock: other callers must not wait for this one.
            work.join(FIRST_WAIT_SECONDS)
        return self._last

    def _measure(self) -> None:
        begun = self._now()
        try:
            paths, tasks = self._store.projects.paths_by_id(), self._store.tasks.project_ids()
            deleted = {row.task_id for row in self._store.deletions.list()}
            self._last = measure(self._home, paths, tasks, begun, deleted)
        except (SQLAlchemyError, OSError) as error:
            log.warning("the size of the data folder cannot be measured: %s", error)
        took = self._now() - begun
        self._due = begun + max(FRESH_SECONDS, SHARE * took)


def measure(
    home: Path,
    paths: Mapping[str, str],
    tasks: Mapping[str, str],
    at: float,
    deleted: Collection[str] = (),
) -> DiskUse:
    """Measure a data folder. `paths`: the repository of each project, `tasks`: the project of each
    task, by id; `deleted`: the tasks of the trash.

    Raises:
        OSError: the data folder cannot be read.
    """
    counter = FolderSizer()
    sizes: defaultdict[str, dict[str, int]] = defaultdict(dict[str, int])

    def add(project: str, kind: str, *places: Path) -> None:
        if taken := counter.size(*places):
            sizes[project][kind] = sizes[project].get(kind, 0) + taken

    # First, so that what tasks are lent of a base counts as the base.
    for folder in _inside(home / "projects"):
        project = paths.get(folder.name, f"project {folder.name}")
        add(project, "hub", *(part for part in _inside(folder) if part.name != PACKAGES))
        add(project, "caches", folder / PACKAGES)
    for folder in _inside(home / "tasks"):
        name = tasks.get(folder.name)
        project = WITHOUT_RECORD if name is None else paths.get(name, f"project {name}")
        if folder.name in deleted:
            add(project, "trash", folder)
            continue
        add(project, "snapshots", *folder.glob("iterations/*/run/bundles"))
        add(project, "work", folder / "work", folder / "home")
        add(project, "hub", folder / "base")
        add(project, "records", *(p for p in _inside(folder) if p.name not in _APART))
    projects = [ProjectUse(path, kinds) for path, kinds in sizes.items()]
    return DiskUse(at, projects, _shared(home, counter))


def _shared(home: Path, counter: FolderSizer) -> dict[str, int]:
    """What belongs to no project. Counted last: what a project shares counts as the project's."""
    shared = {"caches": counter.size(home / "cache")}
    # What deleted tasks left, which is being removed.
    if removed := counter.size(*_inside(home / TRASH)):
        shared["removed"] = removed
    apart = ("projects", "tasks", "cache", TRASH)
    shared["other"] = counter.size(*(p for p in _inside(home) if p.name not in apart))
    return shared


_APART = frozenset({"work", "home", "base"})


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
