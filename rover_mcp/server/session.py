"""One client's connection: who it is, what it watches, and how notifications are pushed to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from rover_mcp.store.records import EventRow, TaskRow
from rover_mcp.tasks.caller import Caller

Push = Callable[[str, dict[str, Any]], None]
"""Takes a notification (method, params) for the connection, which sends it later."""

Send = Callable[[str, dict[str, Any]], Awaitable[object]]
"""Sends a notification (method, params); this takes until the client reads it."""

WAITING: Final = 256
"""How many notifications may wait for a slow client; beyond that the oldest are dropped."""

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


MAX_WATCHED = 1000
HELD_SECONDS = 60.0
"""Where programs share a session, a handle that has not been used for this long is no longer held:
clients are asked to poll every few seconds."""
ATTENTION, GET = "attention", "tasks/get"
"""The names under which answers are recorded as deliveries."""
RECEIVED_SECONDS = 5.0
"""A connection that stays open for this long after an answer has received it."""


@dataclass(frozen=True)
class PendingEvents:
    """What a result reports to a session: the newest events, and how many more there are. `last` is
    the number up to which the sequence was read; `owned` are the events of the session's own
    user."""

    events: tuple[EventRow, ...]
    more: int
    last: int
    owned: tuple[EventRow, ...]


@dataclass(eq=False)
class ClientSession:
    """The state of one connection. `cursor` is the position in the sequence of events up to which
    they were reported to it; None until its first tool result, which begins with what no client has
    seen.

    An answer may still be lost: its connection breaks, or its reader is killed. So the events in it
    are acknowledged in the store only when there is a sign that it arrived, which is the session's
    next request. Until then they are reported to other sessions, too: each event is delivered at
    least once.
    """

    caller: Caller
    push: Push
    legacy: bool = False
    level: str = "info"
    cursor: int | None = None
    watched: dict[str, None] = field(default_factory=dict[str, None])
    subscribed: set[str] = field(default_factory=set[str])
    gathering: anyio.Lock = field(default_factory=anyio.Lock)
    """held while an answer's events are gathered, so that two answers do not report the same
    ones"""
    root: str | None = None
    """the repository among the client's roots, while the question about it is open"""
    shared: bool = False
    """several programs of one user may use it"""
    seen_by_get: dict[str, int] = field(default_factory=dict[str, int])
    """by task: the number of the last event that an answer to tasks/get has shown"""
    _held: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])
    _reported: list[tuple[EventRow, str]] = field(default_factory=list[tuple[EventRow, str]])
    _reported_at: float = 0.0

    def watch(self, task_id: str) -> None:
        """Note that the session created, named or changed this task, so that its events concern the
        session. If there are very many, only the most recent tasks count."""
        # Taken out and put in again: the dictionary keeps the order of use, and the first key is
        # the oldest.
        self.watched.pop(task_id, None)
        self.watched[task_id] = None
        if len(self.watched) > MAX_WATCHED:
            del self.watched[next(iter(self.watched))]

    def hold(self, task_id: str, span: int, now: float) -> None:
        """Note that the session was given a handle to this span of a task, or used one."""
        last, _ = self._held.pop(task_id, (0, 0.0))
        self._held[task_id] = max(span, last), now
        if len(self._held) > MAX_WATCHED:
            del self._held[next(iter(self._held))]

    def holds(self, task_id: str, span: int, now: float) -> bool:
        """Whether the session has a handle to this span of a task. Where several programs share the
        session, only a handle in use counts, because another program may need one of its own."""
        held, at = self._held.get(task_id, (-1, 0.0))
        return held == span and not (self.shared and now - at > HELD_SECONDS)

    def report(self, news: PendingEvents, now: float) -> None:
        """An answer that reports `news` is given out: nothing can withdraw it any more."""
        self.cursor = max(news.last, self.cursor or 0)
        self._reported += [(event, ATTENTION) for event in news.owned]
        self._reported_at = now

    def report_one(self, event: EventRow, now: float, *, owned: bool) -> None:
        """An answer to tasks/get reports this event: `attention` does not repeat it here. `owned`:
        the task belongs to the session's own user."""
        if event.seq <= self.seen_by_get.get(event.task_id, 0):
            return
        self.seen_by_get.pop(event.task_id, None)
        self.seen_by_get[event.task_id] = event.seq
        if len(self.seen_by_get) > MAX_WATCHED:
            del self.seen_by_get[next(iter(self.seen_by_get))]
        if owned:
            self._reported.append((event, GET))
            self._reported_at = now

    def arrived(self) -> list[tuple[EventRow, str]]:
        """What was reported has arrived: the events to acknowledge, each once, and the channel."""
        taken, self._reported = self._reported, []
        return taken

    def has_received(self, now: float) -> bool:
        """Whether what was reported has arrived, where the connection ends without another
        request. A command takes its answer and goes; an assistant that ends within moments may
        have been killed."""
        # There is no acknowledgement in MCP: an answer that was written to a pipe may never have
        # been read.
        return self.caller.name == "cli" or now - self._reported_at >= RECEIVED_SECONDS

    def gets(self, task: TaskRow) -> bool:
        """Whether messages about this task are pushed to it: it created the task, perhaps before
        it lost a daemon, or dealt with it, or subscribed to it."""
        is_creator = task.client_id == self.caller.client_id
        return is_creator or task.id in self.watched or task_uri(task.id) in self.subscribed

    def wants_level(self, level: str) -> bool:
        return LEVELS.index(level) >= LEVELS.index(self.level)

    def concerned_by(self, task: TaskRow, own_project: str | None) -> bool:
        """Whether `attention` shows this task here: the session dealt with it, or it belongs to the
        session's user and project. A session outside of any project is shown all tasks of its
        user."""
        if task.id in self.watched:
            return self.caller.sees(task.owner)
        return task.owner == self.caller.user and own_project in (None, task.project_id)


TASKS_URI = "rover://tasks"
"""The address of the resource with all tasks."""


def task_uri(task_id: str) -> str:
    """The address of a task's resource."""
    return f"{TASKS_URI}/{task_id}"


# A client that does not read blocks its pipe, and with it whoever writes to it.
class Backlog:
    """Notifications that wait for one client, so that nothing else waits for it. Those that are
    dropped here still reach the client: `attention` carries their events."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=WAITING)
        self._wake = anyio.Event()

    def push(self, method: str, params: dict[str, Any]) -> None:
        """Queue a notification."""
        self._waiting.append((method, params))
        self._wake.set()

    async def run(self, send: Send) -> None:
        """Send the queued notifications as they come, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._waiting:
                await send(*self._waiting.popleft())
