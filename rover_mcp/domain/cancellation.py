"""Stops what blocks in another thread, such as the build of an image, or git."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rover_mcp.domain.errors import EnvironmentFault, RoverError


class Stopped(RoverError):
    """The work was stopped on request."""

    code = "stopped"


# Threads cannot be interrupted in Python. What blocks in one has to look, or be ended from outside.
class CancelToken:
    """One request to stop, which may come at any time and from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._ends: list[Callable[[], None]] = []

    def ask(self) -> None:
        """End what is running, and let nothing more begin."""
        with self._lock:
            self._asked.set()
            ends = list(self._ends)
        for end in ends:
            end()

    def check(self) -> None:
        """Raise Stopped if that was requested."""
        if self._asked.is_set():
            raise Stopped("stopped")

    def wait(self, seconds: float) -> None:
        """Wait; raise Stopped as soon as that is requested."""
        self._asked.wait(seconds)
        self.check()

    @contextmanager
    def during(self, end: Callable[[], None]) -> Generator[None]:
        """Run what blocks in a block that `end`, called in the other thread, ends.

        Raises:
            Stopped: that was requested; it replaces the error that `end` caused.
        """
        with self._lock:
            self.check()
            self._ends.append(end)
        try:
            yield
        except EnvironmentFault:
            self.check()
            raise
        finally:
            with self._lock:
                self._ends.remove(end)
        self.check()
