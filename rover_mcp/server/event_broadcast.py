"""Carries events from the store to the clients: one task reads new events and notifies every
session.

Delivery is fire-and-forget and bounded. The truth stays in the store: `attention` and
`wait_for_task` report whatever a notification lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ResourcesListChanged,
    ResourceUpdated,
)

from agent_runner.models import Budget
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.event_kinds import level_of
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.server.pending_events import unseen_events
from rover_mcp.server.session import TASKS_URI, ClientSession, PendingEvents, task_uri
from rover_mcp.store.damaged_records import NONSENSE
from rover_mcp.store.events import MOST_EVENTS
from rover_mcp.store.records import EventRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.task_view import event_view
from rover_mcp.tasks.view_models import EventView

log = logging.getLogger("rover.events")

LIST_CHANGES = frozenset({"task.created", "task.deleted", "task.restored"})
"""Events after which the list of tasks is a different one."""
WAIT, TASKS = "wait_for_task", "notifications/tasks"
UPDATED, MESSAGE = "notifications/resources/updated", "notifications/message"
CHANNEL = "notifications/claude/channel"
"""The names under which deliveries are recorded."""
CHANNEL_CAPABILITY = "claude/channel"


class EventBroadcaster:
    """Sessions register here. `wake` announces that the store has new events."""

    def __init__(
        self,
        store: Store,
        *,
        claude_channel: bool = False,
        most: Budget | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._bus = InMemorySubscriptionBus()
        # A bus for each user: on a common one, a client could listen to the tasks of another user.
        self._buses: dict[str, InMemorySubscriptionBus] = {}
        self._claude_channel = claude_channel
        self._most = most
        self._now = now
        self.clock = clock
        self._over: set[str] = set()
        self.sessions: set[ClientSession] = set()
        self._waiters: dict[str, set[anyio.Event]] = {}
        self._wake = anyio.Event()
        self._seq: int | None = None
        self.on_wake: Callable[[], object] = lambda: None

    def bus_of(self, caller: Caller) -> InMemorySubscriptionBus:
        """The bus for this caller's streams: that of all tasks, or one with only the user's own."""
        if caller.user is None:
            return self._bus
        return self._buses.setdefault(caller.user, InMemorySubscriptionBus())

    def wake(self) -> None:
        """Announce that there may be new events. Call it on the event loop's thread."""
        self._wake.set()
        self.on_wake()

    async def run(self) -> None:
        """Read and deliver new events until cancelled."""
        if self._seq is None:
            self._seq = await anyio.to_thread.run_sync(self._store.events.last_seq)
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self._drain()

    async def _drain(self) -> None:
        while True:
            before = self._seq or 0
            rows = await anyio.to_thread.run_sync(self._store.events.tail, before, MOST_EVENTS)
            self._seq = rows[1]
            for event in rows[0]:
                try:
                    await self._deliver(event)
                except (RoverError, *NONSENSE) as error:
                    # One damaged record must not keep the others from being told.
                    log.warning("event %s cannot be reported: %s", event.seq, error)
            # Whatever comes after the reading wakes it again.
            if self._seq - before < MOST_EVENTS:
                return

    def note(self, channel: str) -> None:
        """Record that a listener of the bus took the current event, for this channel."""
        self._over.add(channel)

    async def _deliver(self, event: EventRow) -> None:
        self._over = set()
        if waiters := self._waiters.get(event.task_id):
            self.note(WAIT)
            for waiter in waiters:
                waiter.set()
        uri = task_uri(event.task_id)
        await _publish(self._bus, event, uri)
        # The sequence in the store is what counts. Whoever misses a push here is shown the event
        # later, under `attention`, so a failure to notify is never a reason to retry.
        pushed = [s for s in self.sessions if s.legacy or self._claude_channel]
        task = None
        if pushed or self._buses:
            task = await anyio.to_thread.run_sync(self._store.tasks.get, event.task_id)
        if task is not None:
            if (own := self._buses.get(task.owner or "")) is not None:
                await _publish(own, event, uri)
            self._push(event, task, [s for s in pushed if s.caller.sees(task.owner)])
        if event.notable and self._over:
            await self._record([(event.seq, channel) for channel in self._over])

    def _push(self, event: EventRow, task: TaskRow, sessions: Sequence[ClientSession]) -> None:
        level, view = level_of(event.kind), event_view(event, task, self._most)
        data = view.model_dump(mode="json", exclude_none=True)
        message = {"level": level, "logger": "rover", "data": data}
        uri = task_uri(task.id)
        channel = channel_message(view) if self._claude_channel and event.notable else None
        for session in sessions:
            takes = session.gets(task)
            # A client of 2026-07-28 hears on a stream that it opened; the channel knows none.
            if session.legacy:
                for followed in session.subscribed & {uri, TASKS_URI}:
                    session.push(UPDATED, {"uri": followed})
                    self.note(UPDATED)
                # Best effort: most clients drop it, and what a model sees is `attention`.
                if takes and session.wants_level(level):
                    session.push(MESSAGE, message)
                    self.note(MESSAGE)
            if takes and channel is not None:
                session.push(CHANNEL, channel)
                self.note(CHANNEL)

    async def _record(self, deliveries: Sequence[tuple[int, str]]) -> None:
        """Record over which channels events were delivered. A failure is only logged, because the
        delivery matters more than its record."""
        try:
            record = self._store.events.record_reported
            await anyio.to_thread.run_sync(record, deliveries, self._now())
        except RoverError as error:
            log.warning("deliveries could not be recorded: %s", error)

    @contextmanager
    def watching(self, task_ids: Sequence[str]) -> Generator[Callable[[], anyio.Event]]:
        """Yields a function that returns an asyncio-style event, which is set at the next event of
        one of these tasks."""
        held: set[anyio.Event] = set()
        waiting = {task_id: self._waiters.setdefault(task_id, set()) for task_id in task_ids}

        def disarm() -> None:
            for waiters in waiting.values():
                waiters.difference_update(held)
            held.clear()

        def arm() -> anyio.Event:
            disarm()
            waiter = anyio.Event()
            held.add(waiter)
            for waiters in waiting.values():
                waiters.add(waiter)
            return waiter

        try:
            yield arm
        finally:
            disarm()
            for task_id, waiters in waiting.items():
                if not waiters and self._waiters.get(task_id) is waiters:
                    del self._waiters[task_id]

    async def attention(self, session: ClientSession, limit: int) -> PendingEvents:
        """The events that this session has not seen yet. Changes nothing: see
        `ClientSession.report`."""
        return await anyio.to_thread.run_sync(unseen_events, self._store, session, limit)

    async def confirm(self, session: ClientSession) -> None:
        """Acknowledge the events in the session's earlier answers, which have arrived."""
        arrived = session.arrived()
        if not arrived:
            return
        events = [event for event, _ in arrived]
        try:
            await anyio.to_thread.run_sync(self._store.events.acknowledge, events)
        except RoverError as error:
            log.warning("events could not be acknowledged, so they are reported again: %s", error)
            return
        await self._record([(event.seq, channel) for event, channel in arrived])
        self.on_wake()

    async def leave(self, session: ClientSession) -> None:
        """Unregister a session whose connection has ended."""
        self.sessions.discard(session)
        if session.has_received(self.clock()):
            await self.confirm(session)


def channel_message(event: EventView) -> dict[str, Any]:
    """A notable event for Claude Code's channel, which treats it as a prompt. So it consists of
    Rover's own words, without anything that an agent, a provider or a repository wrote."""
    what = event.event.removeprefix("task.").replace("_", " ")
    why = f" ({event.reason})" if event.reason else ""
    content = (
        f"Rover: task {event.number} {what}{why}; it is {event.status} now. "
        f'Call inspect with {{"task": "{event.task}"}} for details, and tell the user.'
    )
    meta = {"event": event.event, "task": event.task, "seq": str(event.seq)}
    return {"content": content, "meta": meta}


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
