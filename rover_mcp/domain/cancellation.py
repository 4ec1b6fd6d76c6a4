"""Stopping what blocks in another thread: the build of an image, or git."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rover_mcp.domain.errors import EnvironmentFault, RoverError


class Stopped(RoverError):
    """It was stopped by whoever asked for it."""

    code = "stopped"


class CancelToken:
    """One request to stop, which may come at any time and from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._ends: list[Callable[[], None]] = []

    def ask(self) -> None:
        """End what is going on, and let nothing more begin."""
        with self._lock:
            self._asked.set()
            ends = list(self._ends)
        for end in ends:
            end()

    def check(self) -> None:
        """Raise Stopped where it has been asked for."""
        if self._asked.is_set():
            raise Stopped("stopped")

    def wait(self, seconds: float) -> None:
        """Let time pass; raise Stopped as soon as it is asked for."""
        self._asked.wait(seconds)
        self.check()

    @contextmanager
    def during(self, end: Callable[[], None]) -> Generator[None]:
        """What blocks inside, and is ended by `end`, called in the other thread.

        Raises:
            Stopped: it has been asked for; in place of what `end` made it fail with.
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
