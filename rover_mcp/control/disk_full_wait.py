"""Waiting out a disk that is full: nothing of ours can be recorded, and nothing is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from agent_runner.models import Pause
from rover_mcp.control.decide import for_disk
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import EnvironmentFault

log = logging.getLogger("rover.control")

WAITED_OUT: Final = frozenset({DISK_FULL, "data_folder"})
"""Codes of faults that a person mends while everything stands still."""

PAUSE_SECONDS: Final = 2.0

T = TypeVar("T")


class DiskFullWait:
    """What is repeated until the disk takes what it writes. Of a task that waits for that, the
    database says what was true before: `pause` says what is. Safe to use from many threads."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._waits: dict[str, Pause] = {}

    def pause(self, task_id: str) -> Pause | None:
        """The pause that could not be recorded; None: the task does not wait for its disk."""
        return self._waits.get(task_id)

    def __call__(self, task_id: str, work: Callable[[], T]) -> T:
        """Do something that may be repeated."""
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
