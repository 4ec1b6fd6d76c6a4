"""Waiting until a full disk has space again: until then nothing can be recorded, and nothing is
lost."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from agent_runner.models import Pause
from agent_runner.no_space import says_no_space
from rover_mcp.control.decide import for_disk
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import EnvironmentFault

log = logging.getLogger("rover.control")

WAITED_OUT: Final = frozenset({DISK_FULL, "data_folder"})
"""Codes of errors that a person ends while the control plane waits."""

PAUSE_SECONDS: Final = 2.0

T = TypeVar("T")


def is_of_the_database(error: Exception | None) -> bool:
    """Whether a workflow ended because DBOS could not record what a step returned. On a full disk
    SQLite also reports "disk I/O error"."""
    return isinstance(error, SQLAlchemyError | sqlite3.Error | OSError) or says_no_space(str(error))


class DiskFullWait:
    """Repeats work until the disk takes what it writes. The database still has the earlier state of
    a task that waits for this; `pause` returns the present one. Safe to use from many threads."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._waits: dict[str, Pause] = {}

    def pause(self, task_id: str) -> Pause | None:
        """The pause that could not be recorded; None if the task does not wait for the disk."""
        return self._waits.get(task_id)

    def __call__(self, task_id: str, work: Callable[[], T]) -> T:
        """Do something that may be repeated, again and again until the disk has space."""
        since = datetime.now(UTC)
        try:
            while True:
                try:
                    return work()
                except EnvironmentFault as fault:
                    if fault.code not in WAITED_OUT:
                        raise
                    log.warning("waiting: %s", fault.message)
                    pause = for_disk(fault).pause
                    self._waits[task_id] = pause.model_copy(update={"since": since})
                self._sleep(PAUSE_SECONDS)
        finally:
            self._waits.pop(task_id, None)
