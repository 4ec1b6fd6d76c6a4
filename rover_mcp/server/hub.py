"""From the outbox to the clients: one tailer reads new events and tells every session.

Delivery is fire-and-forget and bounded; the truth stays in the store, and `attention` and
`wait_for_task` carry what a push lost. DESIGN.md section 10.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
import anyio.to_thread
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ResourcesListChanged,
    ResourceUpdated,
)

from rover_mcp.errors import RoverError
from rover_mcp.server.session import TASKS_URI, ClientSession, task_uri
from rover_mcp.store.rows import DamagedRecord, EventRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.models import TaskStatus
from rover_mcp.tasks.views import event_view

log = logging.getLogger("rover.hub")

PUSH_TIMEOUT_SECONDS = 2.0
LIST_CHANGES = frozenset({"task.created", "task.deleted"})
"""Events after which there are other tasks."""
_LEVEL_OF = {
    "task.paused": "warning",
    "task.failed": "error",
    "task.resume_failed": "error",
    "task.warning": "warning",
    "task.preparing": "debug",
    "task.sandbox": "debug",
}


class EventHub:
    """Sessions register here; `poke` (from any thread, through `wake`) tells it of new rows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bus = InMemorySubscriptionBus()
        self._buses: dict[str, InMemorySubscriptionBus] = {}
        self.sessions: set[ClientSession] = set()
        self._waiters: dict[str, set[anyio.Event]] = {}
        self._wake = anyio.Event()
        self._seq: int | None = None
        self.also: Callable[[], object] = lambda: None

    def bus_of(self, caller: Caller) -> InMemorySubscriptionBus:
        """Where this caller's streams hear of tasks: of all, or of the user's own alone."""
        if caller.user is None:
            return self._bus
        return self._buses.setdefault(caller.user, InMemorySubscriptionBus())

    def poke(self) -> None:
        """There may be new events. Call it on the loop's thread."""
        self._wake.set()
        self.also()

    async def run(self) -> None:
        """Tail the outbox for ever."""
        if self._seq is None:
            self._seq = await anyio.to_thread.run_sync(self._store.events.last_seq)
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self._drain()

    async def _drain(self) -> None:
        while True:
            before = self._seq or 0
            found = await anyio.to_thread.run_sync(self._store.events.tail, before)
            self._seq = found[1]
            for event in found[0]:
                try:
                    await self._deliver(event)
                except (RoverError, ValueError, KeyError, TypeError) as error:
                    # One damaged record must not keep the others from being told.
                    log.warning("event %s cannot be told: %s", event.seq, error)
            if self._seq == before:
                return

    async def _deliver(self, event: EventRow) -> None:
        for waiter in self._waiters.get(event.task_id, ()):
            waiter.set()
        uri = task_uri(event.task_id)
        await _publish(self._bus, event, uri)
        legacy = [s for s in self.sessions if s.legacy]
        if not legacy and not self._buses:
            return
        task = await anyio.to_thread.run_sync(self._store.task, event.task_id)
        if task is None:
            return
        if (own := self._buses.get(task.owner or "")) is not None:
            await _publish(own, event, uri)
        level = _LEVEL_OF.get(event.kind, "info")
        message = {
            "level": level,
            "logger": "rover",
            "data": event_view(event, task).model_dump(mode="json", exclude_none=True),
        }
        for session in legacy:
            if not session.caller.sees(task.owner):
                continue
            with anyio.move_on_after(PUSH_TIMEOUT_SECONDS):
                for followed in session.subscribed & {uri, TASKS_URI}:
                    await session.push("notifications/resources/updated", {"uri": followed})
                concerned = event.task_id in session.watched or uri in session.subscribed
                if concerned and session.wants_level(level):
                    await session.push("notifications/message", message)

    @contextmanager
    def watching(self, task_id: str) -> Generator[Callable[[], anyio.Event]]:
        """Yields a function that gives an event which is set at the task's next news."""
        held: set[anyio.Event] = set()
        waiters = self._waiters.setdefault(task_id, set())

        def arm() -> anyio.Event:
            for old in held:
                waiters.discard(old)
            held.clear()
            waiter = anyio.Event()
            held.add(waiter)
            waiters.add(waiter)
            return waiter

        try:
            yield arm
        finally:
            for old in held:
                waiters.discard(old)
            if not waiters:
                self._waiters.pop(task_id, None)

    async def attention(self, session: ClientSession, limit: int) -> tuple[list[EventRow], int]:
        """What this session has not been told, the newest `limit` of it, and how many more.

        Moves the session's cursor on and acknowledges what is returned.
        """
        return await anyio.to_thread.run_sync(self._attention, session, limit)

    def _attention(self, session: ClientSession, limit: int) -> tuple[list[EventRow], int]:
        log_ = self._store.events
        if session.cursor is None:
            last = log_.last_seq()
            events = log_.unseen()
        else:
            events = log_.notable_after(session.cursor)
            last = max((e.seq for e in events), default=session.cursor)
        newest = {e.task_id: e for e in events}
        caller = session.caller
        here = self._store.project_around(caller.cwd) if newest and caller.user is None else None
        own = here.id if here else None
        mine: list[EventRow] = []
        owned: set[str] = set()
        for event in newest.values():
            try:
                task = self._store.task(event.task_id)
            except DamagedRecord as damaged:
                log.warning("%s", damaged)
                continue
            if task is not None and session.concerned_by(task, own):
                mine.append(event)
                if task.owner == caller.user:
                    owned.add(task.id)
        mine.sort(key=lambda e: e.seq)
        shown, more = mine[-limit:], max(0, len(mine) - limit)
        session.cursor = last
        # What is told to one user is not yet told to another, who owns it.
        log_.acknowledge([e for e in shown if e.task_id in owned])
        return shown, more


async def _publish(bus: InMemorySubscriptionBus, event: EventRow, uri: str) -> None:
    await bus.publish(ResourceUpdated(uri=uri))
    await bus.publish(ResourceUpdated(uri=TASKS_URI))
    if event.kind in LIST_CHANGES:
        await bus.publish(ResourcesListChanged())


STOPPED = frozenset(
    {
        TaskStatus.PAUSED,
        TaskStatus.COMPLETED,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
        TaskStatus.MERGED,
        TaskStatus.PUSHED,
    }
)
"""Statuses at which wait_for_task returns."""
