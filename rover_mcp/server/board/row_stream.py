"""The rows of the board as server-sent events: all of them first, in two frames, then each that
changes.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, Final

import anyio
import anyio.to_thread
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated, ServerEvent

from rover_mcp.server.session import task_uri
from rover_mcp.tasks.inbox import InboxRow
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.show_inbox import DONE, OPEN, inbox, inbox_of

MOST_STREAMS: Final = 16
QUIET_SECONDS: Final = 15.0
"""After so long without a change a comment is sent, so that a connection that broke is noticed."""
_PREFIX: Final = task_uri("")


class RowStreams:
    """The streams of one board. Use it on the event loop's thread."""

    def __init__(self, tasks: TaskService, bus: InMemorySubscriptionBus) -> None:
        self._tasks = tasks
        self._bus = bus
        self._listeners: set[_ChangedTasks] = set()
        self._closing = False

    @property
    def open(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    def changed(self, task_id: str) -> None:
        """Send the row of a task to all streams, for a change without an event."""
        for listener in self._listeners:
            listener.add(task_id)

    def close(self) -> None:
        """End all streams."""
        self._closing = True
        for listener in self._listeners:
            listener.wake.set()

    async def stream(self) -> AsyncIterator[str]:
        """One stream, until its client leaves or `close` is called."""
        changes = _ChangedTasks()
        # Before the rows are read: what changes meanwhile is sent afterwards.
        unsubscribe = self._bus.subscribe(changes.on_event)
        self._listeners.add(changes)
        try:
            # In two parts, so that what may need somebody is there at once.
            rows = await anyio.to_thread.run_sync(inbox, self._tasks, OPEN)
            yield _frame("all", {"rows": [asdict(r) for r in rows], "more": True})
            rows = await anyio.to_thread.run_sync(inbox, self._tasks, DONE)
            yield _frame("some", {"rows": [asdict(r) for r in rows], "gone": []})
            while not self._closing:
                with anyio.move_on_after(QUIET_SECONDS):
                    await changes.wake.wait()
                ids = changes.take()
                yield await self._update(ids) if ids else ":\n\n"
        finally:
            self._listeners.discard(changes)
            unsubscribe()

    async def _update(self, ids: list[str]) -> str:
        def read() -> dict[str, InboxRow | None]:
            return {task_id: inbox_of(self._tasks, task_id) for task_id in ids}

        rows = await anyio.to_thread.run_sync(read)
        gone = [task_id for task_id, row in rows.items() if row is None]
        return _frame("some", {"rows": [asdict(r) for r in rows.values() if r], "gone": gone})


class _ChangedTasks:
    """The tasks that changed since the last frame, each once."""

    def __init__(self) -> None:
        self.wake = anyio.Event()
        self._ids: dict[str, None] = {}

    def on_event(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and event.uri.startswith(_PREFIX):
            self.add(event.uri.removeprefix(_PREFIX))

    def add(self, task_id: str) -> None:
        self._ids[task_id] = None
        self.wake.set()

    def take(self) -> list[str]:
        """The ids, which are new ones from now on."""
        ids, self._ids, self.wake = list(self._ids), {}, anyio.Event()
        return ids


def _frame(name: str, data: dict[str, Any]) -> str:
    # JSON has no line ends of its own, so the data is one line.
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
