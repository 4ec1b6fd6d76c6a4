"""From the outbox to the clients: one tailer reads new events and tells every session.

Delivery is fire-and-forget and bounded; the truth stays in the store, and `attention` and
`wait_for_task` carry what a push lost. DESIGN.md section 10.
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
from rover_mcp.errors import RoverError
from rover_mcp.server.session import TASKS_URI, ClientSession, News, task_uri
from rover_mcp.store.rows import NONSENSE, DamagedRecord, EventRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.models import EventView, TaskStatus
from rover_mcp.tasks.news import level_of
from rover_mcp.tasks.views import event_view

log = logging.getLogger("rover.hub")

LIST_CHANGES = frozenset({"task.created", "task.deleted"})
"""Events after which there are other tasks."""
ATTENTION, WAIT, TASKS = "attention", "wait_for_task", "notifications/tasks"
UPDATED, MESSAGE = "notifications/resources/updated", "notifications/message"
CHANNEL = "notifications/claude/channel"
"""The channels, as they are recorded."""


class EventHub:
    """Sessions register here; `poke` (from any thread, through `wake`) tells it of new rows."""

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
                except (RoverError, *NONSENSE) as error:
                    # One damaged record must not keep the others from being told.
                    log.warning("event %s cannot be told: %s", event.seq, error)
            if self._seq == before:
                return

    def note(self, channel: str) -> None:
        """A listener of the bus took the event that is being told, for this channel."""
        self._over.add(channel)

    async def _deliver(self, event: EventRow) -> None:
        self._over = set()
        if waiters := self._waiters.get(event.task_id):
            self.note(WAIT)
            for waiter in waiters:
                waiter.set()
        uri = task_uri(event.task_id)
        await _publish(self._bus, event, uri)
        legacy = [s for s in self.sessions if s.legacy]
        task = None
        if legacy or self._buses:
            task = await anyio.to_thread.run_sync(self._store.task, event.task_id)
        if task is not None:
            if (own := self._buses.get(task.owner or "")) is not None:
                await _publish(own, event, uri)
            self._push(event, task, [s for s in legacy if s.caller.sees(task.owner)])
        if event.notable and self._over:
            await self._record([(event.seq, channel) for channel in self._over])

    def _push(self, event: EventRow, task: TaskRow, sessions: Sequence[ClientSession]) -> None:
        level, view = level_of(event.kind), event_view(event, task, self._most)
        data = view.model_dump(mode="json", exclude_none=True)
        message = {"level": level, "logger": "rover", "data": data}
        uri = task_uri(task.id)
        channel = channel_message(view) if self._claude_channel and event.notable else None
        for session in sessions:
            for followed in session.subscribed & {uri, TASKS_URI}:
                session.push(UPDATED, {"uri": followed})
                self.note(UPDATED)
            if not session.takes(task):
                continue
            if session.wants_level(level):
                session.push(MESSAGE, message)
                self.note(MESSAGE)
            if channel is not None:
                session.push(CHANNEL, channel)
                self.note(CHANNEL)

    async def _record(self, told: Sequence[tuple[int, str]]) -> None:
        """Remember over which channels; that it was told matters more than that it is known."""
        try:
            await anyio.to_thread.run_sync(self._store.events.record, told, self._now())
        except RoverError as error:
            log.warning("it is not recorded who was told: %s", error)

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

    async def attention(self, session: ClientSession, limit: int) -> News:
        """What this session has not been told. Changes nothing: see `ClientSession.offer`."""
        return await anyio.to_thread.run_sync(self._attention, session, limit)

    async def confirm(self, session: ClientSession) -> None:
        """What the session's earlier answers told has arrived: acknowledge it."""
        arrived = session.arrived()
        if not arrived:
            return
        try:
            await anyio.to_thread.run_sync(self._store.events.acknowledge, arrived)
        except RoverError as error:
            log.warning("it is not known that news arrived, so they are told again: %s", error)
            return
        await self._record([(event.seq, ATTENTION) for event in arrived])

    async def leave(self, session: ClientSession) -> None:
        """The session's connection has ended."""
        self.sessions.discard(session)
        if session.settled(self.clock()):
            await self.confirm(session)

    def _attention(self, session: ClientSession, limit: int) -> News:
        log_, caller = self._store.events, session.caller
        here = self._store.project_around(caller.cwd) if caller.user is None else None
        own = here.id if here else None
        if session.cursor is None:
            last = log_.last_seq()
            events = log_.unseen(owner=caller.user, project=own, besides=session.watched)
        else:
            events = log_.notable_after(session.cursor)
            last = max((e.seq for e in events), default=session.cursor)
        newest = {e.task_id: e for e in events}
        mine: list[tuple[EventRow, TaskRow]] = []
        for event in newest.values():
            try:
                task = self._store.task(event.task_id)
            except DamagedRecord:
                continue  # list_tasks names it
            if task is not None and session.concerned_by(task, own):
                mine.append((event, task))
        mine.sort(key=lambda pair: pair[0].seq)
        shown = mine[-limit:]
        # What is told to one user is not yet told to another, who owns it.
        owned = tuple(e for e, task in shown if task.owner == caller.user)
        return News(tuple(e for e, _ in shown), max(0, len(mine) - limit), last, owned)


def channel_message(event: EventView) -> dict[str, Any]:
    """A notable event for Claude Code's channel, which reads it as a prompt: so it is of our own
    words alone, with nothing that an agent, a provider or a repository wrote."""
    what = event.event.removeprefix("task.").replace("_", " ")
    why = f" ({event.reason})" if event.reason else ""
    content = (
        f"Rover: task {event.number} {what}{why}; it is {event.status} now. "
        f'Call inspect with {{"task": "{event.task_id}"}} for details, and tell the user.'
    )
    meta = {"event": event.event, "task_id": event.task_id, "seq": str(event.seq)}
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
