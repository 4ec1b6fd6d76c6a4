"""Removes the files of tasks whose creation was cut off before they were recorded."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.domain.errors import RoverError
from rover_mcp.store.store import Store
from rover_mcp.tasks.creation_marks import drop_mark, marked
from rover_mcp.tasks.delete import Leftovers

log = logging.getLogger("rover.daemon")


class UnfinishedTasks:
    """What the daemon before this one left of tasks that it was creating."""

    def __init__(self, home: Path, store: Store, leftovers: Leftovers) -> None:
        self._home = home
        self._store = store
        self._leftovers = leftovers
        # Listed before this daemon creates any: `sweep` runs when clients are served already.
        self._left = marked(home)

    def sweep(self) -> None:
        """Remove what belongs to no task. What cannot be removed now is tried again the next
        time."""
        self._left = [task_id for task_id in self._left if not self._remove(task_id)]

    def _remove(self, task_id: str) -> bool:
        try:
            self._settle(task_id)
        except (RoverError, SQLAlchemyError, OSError) as error:
            log.warning("what is left of task %s stays for now: %s", task_id, error)
            return False
        return True

    def _settle(self, task_id: str) -> None:
        # By the records and not by the age of the folder: one without a record may be all that is
        # left of a task whose record was lost, and no such task has a mark.
        if self._store.tasks.without_record([task_id]):
            self._leftovers.remove_by_id(task_id)
            log.info("task %s was never recorded: its files are removed", task_id)
        drop_mark(self._home, task_id)
