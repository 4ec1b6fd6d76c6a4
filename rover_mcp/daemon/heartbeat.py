"""Ends the daemon's process when its event loop has ended or hangs.

Such a process would still hold the lock of the data folder: no other daemon could start, and no
client would be served. Python's own shutdown waits for every thread, so it is not used: os._exit
ends the process whatever its threads do. Nothing is lost by that, as with any other crash."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import anyio

from rover_mcp.daemon.daemon_log import end_log, write_threads

log = logging.getLogger("rover.daemon")

EXIT_BROKEN = 70
"""EX_SOFTWARE of sysexits.h; the launcher starts another."""
UNWIND_SECONDS = 5.0
BEAT_SECONDS = 5.0
STUCK_SECONDS = 180.0
"""The time after which an event loop that does nothing counts as stuck for good."""


def end_process(code: int = EXIT_BROKEN) -> NoReturn:
    """End the process now."""
    end_log()
    os._exit(code)


def end_soon(seconds: float = UNWIND_SECONDS) -> None:
    """End the process after a while, unless it has ended before."""
    timer = threading.Timer(seconds, end_process)
    timer.daemon = True
    timer.start()


class Heartbeat:
    """The time at which the loop was last seen alive. CLOCK_MONOTONIC stands still while the
    machine sleeps, so that a laptop that wakes does not count as stuck."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.at = now()

    def beat(self) -> None:
        self.at = self._now()

    def is_stuck(self) -> bool:
        return self._now() - self.at > STUCK_SECONDS


async def beat(alive: Heartbeat) -> None:
    """Show that the loop runs, and have a thread watch that it does."""
    alive.beat()
    threading.Thread(target=_watch, args=(alive,), name="heartbeat", daemon=True).start()
    while True:
        alive.beat()
        await anyio.sleep(BEAT_SECONDS)


def _watch(alive: Heartbeat) -> None:
    while not alive.is_stuck():
        time.sleep(BEAT_SECONDS)
    log.error("the event loop has done nothing for %.0f s; the daemon ends", STUCK_SECONDS)
    # The only evidence of why it hung: after os._exit there is none.
    write_threads()
    end_process()
