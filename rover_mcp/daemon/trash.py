"""Removes what deleted tasks leave: it is moved aside at once, and removed in the background.

Removing a work tree of 60,000 files takes longer than a client waits. A task's folder is renamed
into the trash, and its name there says what else has to go. What is in the trash when a daemon
ends, or is killed, is removed by the next one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox.attempt_folder import remove_tree
from rover_mcp.sandbox.protocol import Engine

FOLDER: Final = "trash"
"""In the data folder, and so on the same file system as the tasks."""

log = logging.getLogger("rover.daemon")


class Trash:
    """The trash of one data folder. Entries are folders named TASK.ENGINE.N."""

    def __init__(
        self,
        home: Path,
        engines: Mapping[str, Engine],
        remove: Callable[[Path], None] = remove_tree,
    ) -> None:
        self._folder = home / FOLDER
        self._engines = engines
        self._remove = remove
        self._changed = threading.Condition()
        self._tried: set[str] = set()
        self._work: threading.Thread | None = None
        self._more = False

    @property
    def busy(self) -> bool:
        """Whether something is being removed now."""
        with self._changed:
            return self._work is not None

    def put(self, root: Path, task_id: str, engine: str = "") -> str:
        """Move a folder of a task aside and begin to remove it, with all that `engine` keeps of
        the task. Returns the name of its entry. The folder need not exist.

        Raises:
            OSError: it can be neither moved nor removed.
            EnvironmentFault: likewise, of what the engine keeps.
        """
        name = f"{task_id}.{engine}.0"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            name = self._move(root, name)
        except OSError as error:
            # The data folder may span file systems, and a full disk may have no room for a folder.
            log.info("%s is removed where it is: %s", root, error)
            self._empty(root, name)
        self.sweep()
        return name

    def wait(self, name: str, seconds: float) -> bool:
        """Wait until the removal of an entry was tried. False: it still lasts."""

        def is_tried() -> bool:
            return name in self._tried or not (self._folder / name).exists()

        with self._changed:
            return self._changed.wait_for(is_tried, seconds)

    def sweep(self) -> None:
        """Begin to remove everything in the trash, in a thread of its own."""
        with self._changed:
            self._more = True
            if self._work is None:
                self._work = threading.Thread(target=self._run, name="trash", daemon=True)
                self._work.start()

    def _move(self, root: Path, name: str) -> str:
        """Move a folder into the trash, and return the name of its entry."""
        stem, number = name.rpartition(".")[0], 0
        while (entry := self._folder / name).exists() and root.exists():
            number += 1
            name = f"{stem}.{number}"
        try:
            root.rename(entry)
        except FileNotFoundError:
            entry.mkdir(exist_ok=True)
        self._tried.discard(name)
        return name

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._more:
                    self._work = None
                    return
                self._more = False
            for entry in self._entries():
                self._try(entry)

    def _entries(self) -> list[Path]:
        with suppress(OSError):
            # New entries first: one that cannot be removed must not hold up the others.
            return sorted(self._folder.iterdir(), key=lambda entry: entry.name in self._tried)
        return []

    def _try(self, entry: Path) -> None:
        try:
            self._empty(entry, entry.name)
        except (EnvironmentFault, OSError) as error:
            if entry.name not in self._tried:
                log.warning("%s cannot be removed; trying again: %s", entry, error)
        with self._changed:
            self._tried.add(entry.name)
            if not entry.exists():
                self._tried.discard(entry.name)
            self._changed.notify_all()

    def _empty(self, place: Path, name: str) -> None:
        """Remove a folder, after what its task's engine keeps: the folder is the only record of
        that, and a daemon that is killed in between must find it."""
        task_id, engine = [*name.rsplit(".", 2), ""][:2]
        if engine in self._engines:
            self._engines[engine].remove_task(task_id)
        if os.path.lexists(place):
            self._remove(place)
