"""Removes for good what has been in the trash for its days, beside everything else."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.tasks.task_trash import TaskTrash

log = logging.getLogger("rover.daemon")


class TrashExpiry:
    """Looks after the trash of one data folder. `shared`: other machines use the database, and
    have the files of their tasks."""

    def __init__(self, home: Path, trash: TaskTrash, *, shared: bool) -> None:
        self._home = home
        self._trash = trash
        self._shared = shared
        self._work: threading.Thread | None = None

    def sweep(self) -> None:
        """Begin with what is due, in a thread of its own."""
        if self._work is None or not self._work.is_alive():
            self._work = threading.Thread(target=self.purge_due, name="trash expiry", daemon=True)
            self._work.start()

    def purge_due(self) -> list[str]:
        """Remove what is due; the ids of the tasks."""
        try:
            purged = self._trash.purge_due(self._is_here)
        except (RoverError, SQLAlchemyError, OSError) as error:
            log.warning("the trash cannot be inspected: %s", error)
            return []
        for task_id in purged:
            log.info("task %s was deleted for good, as its time in the trash is over", task_id)
        return purged

    def _is_here(self, task_id: str) -> bool:
        return not self._shared or TaskFolders(self._home, task_id, 1).root.exists()
