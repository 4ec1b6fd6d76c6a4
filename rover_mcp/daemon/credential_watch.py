"""Checks repeatedly whether a credential that tasks wait for is there now."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable
from pathlib import Path
from typing import Final

import anyio

from rover_mcp.control.plane import ControlPlane
from rover_mcp.daemon.credential_sources import Stamp, stamp_of
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.store.store import Store

GLANCE_SECONDS: Final = 5.0
"""Seconds between two checks of the files that credentials come from."""
MOST_SECONDS: Final = 60.0
"""Seconds between two checks of what does not report a change: a command's output, a keyring."""


class CredentialWatch:
    """Decides when a check is due: a client brought something new, a file has changed, another task
    waits, or the last check was a minute ago."""

    def __init__(
        self,
        files: Callable[[], Iterable[Path]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._now = now
        self._poked = False
        self._stamps: dict[Path, Stamp] = {}
        self._waiting: frozenset[Hashable] = frozenset()
        self._looked = float("-inf")

    def wake(self) -> None:
        """A client brought something new."""
        self._poked = True

    def is_due(self, waiting: Collection[Hashable]) -> bool:
        """Whether to check now, for these tasks that wait. The reason for it is used up by that."""
        if not waiting:
            self._waiting = frozenset()
            return False
        stamps = {path: stamp_of(path) for path in self._files()}
        now, now_waiting = self._now(), frozenset(waiting)
        due = (
            self._poked
            or stamps != self._stamps
            or not now_waiting <= self._waiting
            or now - self._looked >= MOST_SECONDS
        )
        self._waiting = now_waiting
        if due:
            self._poked, self._stamps, self._looked = False, stamps, now
        return due


class CredentialWatchLoop:
    """Checks as long as the daemon lives, at almost no cost while no task waits."""

    def __init__(
        self,
        store: Store,
        plane: ControlPlane,
        files: Callable[[], Iterable[Path]],
        renew: Callable[[], None],
    ) -> None:
        self._renew = renew
        self._store = store
        self._plane = plane
        self._watch = CredentialWatch(files)
        self._now = time.monotonic
        self._warned = float("-inf")
        self._came = anyio.Event()

    def wake(self) -> None:
        """Note that a client brought something new. Must be called on the event loop."""
        self._watch.wake()
        self._came.set()

    async def run(self, harmlessly: Callable[[Callable[[], None]], Awaitable[bool]]) -> None:
        """Check for ever. `harmlessly` runs work in a thread, and logs its errors."""
        while True:
            with anyio.move_on_after(GLANCE_SECONDS):
                await self._came.wait()
            self._came = anyio.Event()
            await harmlessly(self._check)

    def _check(self) -> None:
        if not self._plane.wait_ready(0):
            return
        self._renew()
        waiting = [
            (row.task_id, row.attempt)
            for row in self._store.attempts.in_states((AttemptState.AWAITING,))
        ]
        if self._watch.is_due(waiting):
            self._plane.enqueue_signed_in()
        if self._now() - self._warned >= MOST_SECONDS:
            self._warned = self._now()
            self._plane.warn_of_log_ins()
