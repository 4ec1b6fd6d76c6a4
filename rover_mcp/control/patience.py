"""Waiting out a disk that is full: nothing of ours can be recorded, and nothing is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from rover_mcp.errors import EnvironmentFault

log = logging.getLogger("rover.control")

WAITED_OUT: Final = frozenset({"disk_full", "data_folder"})
"""Codes of faults that a person mends while everything stands still."""

PAUSE_SECONDS: Final = 2.0

T = TypeVar("T")


def patiently(work: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """Do something that may be repeated until the disk takes what it writes."""
    while True:
        try:
            return work()
        except EnvironmentFault as fault:
            if fault.code not in WAITED_OUT:
                raise
            log.warning("waiting: %s", fault.message)
            sleep(PAUSE_SECONDS)
