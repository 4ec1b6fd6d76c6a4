"""Writes the usage that answers report into the store: in one thread, many entries at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rover_mcp.gateway.grant import UsageEntry

log = logging.getLogger("rover.gateway")

INTERVAL = 0.2
"""Seconds between two writes while answers stream. The first and the last are written at once."""

RETRY = 2.0
WRITE_TIMEOUT = 2.0
"""Seconds for which the end of an answer waits for its usage to be written: a disk that hangs must
not hold up an agent."""

T = TypeVar("T")
Write = Callable[[Sequence[UsageEntry]], None]


class UsageWriter:
    """Collects entries on one event loop. An entry replaces an earlier one with its id, because
    providers report totals so far: adding them up would count tokens twice."""

    def __init__(self, write: Write) -> None:
        self._write = write
        # One thread: an entry that was written earlier never overtakes a later one.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rover-usage")
        self._pending: dict[tuple[str, str], UsageEntry] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._wrote_at = float("-inf")

    def record(self, entry: UsageEntry) -> None:
        """Note what is known of an answer now. It is written soon."""
        self._pending[entry.task_id, entry.id] = entry
        if self._timer is None:
            loop = asyncio.get_running_loop()
            due = max(loop.time(), self._wrote_at + INTERVAL)
            self._timer = loop.call_at(due, self._flush)

    async def written(self) -> None:
        """Wait until all entries so far are on the disk, for WRITE_TIMEOUT at most."""
        self._flush()
        if self._writing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await asyncio.wait((self._writing,))

    async def after(self, read: Callable[[], T]) -> T:
        """Call `read` in the writing thread, once all entries so far are written."""
        self._flush()
        return await asyncio.get_running_loop().run_in_executor(self._thread, read)

    async def aclose(self) -> None:
        """Write what is left, and end the thread."""
        await self.written()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._thread.shutdown(wait=False)

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._pending:
            return
        entries, self._pending = self._pending, {}
        loop = asyncio.get_running_loop()
        self._wrote_at = loop.time()
        # The thread writes in the order of these calls, so the last one's end is everyone's.
        writing = loop.run_in_executor(self._thread, self._write, list(entries.values()))
        writing.add_done_callback(lambda done: self._after_write(done, entries))
        self._writing = writing

    def _after_write(
        self, done: asyncio.Future[None], entries: dict[tuple[str, str], UsageEntry]
    ) -> None:
        if done.cancelled() or done.exception() is None:
            return
        log.error("the usage of model calls cannot be written: %s", done.exception())
        # Entries that came meanwhile are newer than those that could not be written.
        self._pending = entries | self._pending
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(RETRY, self._flush)
