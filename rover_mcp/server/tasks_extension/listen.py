"""`subscriptions/listen` with `taskIds`: notifications/tasks beside the SDK's own kinds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import anyio
from mcp.server.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    ListenHandler,
    ServerEvent,
    SubscriptionBus,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import event_matches, event_to_notification
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    Notification,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)

from rover_mcp.server.tasks_extension.extension import require_declared
from rover_mcp.server.tasks_extension.protocol import FINAL, Context, TaskSource

# The SDK parses `taskIds` as an extra field of the filter, but its own handler drops it.
TASK_IDS = "taskIds"
MAX_STREAMS = 1024
MAX_TASKS = 1000
"""How many tasks one stream may name."""


class TaskNotification(Notification[dict[str, Any], Literal["notifications/tasks"]]):
    """A DetailedTask as a plain dictionary, because the SDK leaves out a model's nulls."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


@dataclass(eq=False)
class _Unsent:
    """What a stream still has to send. Each thing is in it once, however often it changed, so a
    client that stops reading costs no more memory."""

    tasks: dict[str, None] = field(default_factory=dict[str, None])
    events: dict[ServerEvent, None] = field(default_factory=dict[ServerEvent, None])
    closing: bool = False
    _there: anyio.Event = field(default_factory=anyio.Event)

    def tell(self) -> None:
        self._there.set()

    async def wait(self) -> None:
        await self._there.wait()
        self._there = anyio.Event()

    def take(self) -> tuple[list[str], list[ServerEvent]]:
        taken = list(self.tasks), list(self.events)
        self.tasks.clear()
        self.events.clear()
        return taken


class TasksListenHandler(ListenHandler):
    """The SDK's handler, extended by tasks. The stream begins with an acknowledgement of the tasks
    that the client may see, then sends each of them as it is, which closes the gap between creation
    and listening, then each one that changes. It ends when all of them have ended and nothing else
    was subscribed to."""

    def __init__(
        self,
        bus: SubscriptionBus,
        source: TaskSource,
        noted: Callable[[], None] = lambda: None,
    ) -> None:
        """`noted` is called when an event goes to a stream that asked for its resource."""
        super().__init__(bus, max_subscriptions=MAX_STREAMS)
        self._task_bus = bus
        self._source = source
        self._noted = noted
        self._open: set[_Unsent] = set()

    async def __call__(
        self, ctx: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        wanted = _task_ids(params.notifications)
        with self._noting(params.notifications):
            return await self._serve(ctx, params, wanted)

    @contextmanager
    def _noting(self, wanted: SubscriptionFilter) -> Generator[None]:
        uris = frozenset(wanted.resource_subscriptions or ())

        def note(event: ServerEvent) -> None:
            if event_matches(wanted, uris, event):
                self._noted()

        stop = self._task_bus.subscribe(note)
        try:
            yield
        finally:
            stop()

    async def _serve(
        self, ctx: Context, params: SubscriptionsListenRequestParams, wanted: Sequence[str]
    ) -> SubscriptionsListenResult:
        if not wanted:
            return await super().__call__(ctx, params)
        require_declared(ctx)
        if len(self._open) >= MAX_STREAMS:
            raise MCPError(INTERNAL_ERROR, "there are too many streams")
        stream = _Subscription(ctx, self._source, params.notifications)
        self._open.add(stream.news)
        stop = self._task_bus.subscribe(stream.event)
        try:
            return await stream.run(wanted)
        finally:
            self._open.discard(stream.news)
            stop()

    def close(self) -> None:
        super().close()
        for news in self._open:
            news.closing = True
            news.tell()


class _Subscription:
    def __init__(self, ctx: Context, source: TaskSource, wanted: SubscriptionFilter) -> None:
        self.news = _Unsent()
        self._ctx = ctx
        self._source = source
        self._filter = wanted
        self._uris = frozenset(wanted.resource_subscriptions or ())
        self._meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        self._going: set[str] = set()

    def event(self, event: ServerEvent) -> None:
        if event_matches(self._filter, self._uris, event):
            self.news.events[event] = None
            self.news.tell()

    def _changed(self, task_id: str) -> None:
        if task_id in self._going:
            self.news.tasks[task_id] = None
            self.news.tell()

    async def run(self, wanted: Sequence[str]) -> SubscriptionsListenResult:
        seen = [t for t in wanted if await self._source.get(self._ctx, t) is not None]
        self._going.update(seen)
        # Before the acknowledgement, because the protocol has no replay: what changes in between is
        # in the set and is sent after it.
        stop = self._source.subscribe(seen, self._changed)
        try:
            others = await self._acknowledge(seen)
            # A task may have paused between its creation and this request, so its present state
            # comes first.
            self.news.tasks.update(dict.fromkeys(seen))
            while True:
                await self._tell()
                if self.news.closing or not (self._going or others):
                    return SubscriptionsListenResult(_meta=self._meta)
                await self.news.wait()
        finally:
            stop()

    async def _acknowledge(self, seen: Sequence[str]) -> bool:
        """Acknowledge the subscription; whether anything but tasks was subscribed to."""
        granted = self._filter.model_dump(by_alias=True, exclude_none=True)
        others = {k: v for k, v in granted.items() if k != TASK_IDS and v}
        honored = SubscriptionFilter.model_validate({**others, TASK_IDS: list(seen)})
        params = SubscriptionsAcknowledgedNotificationParams(
            notifications=honored, _meta=self._meta
        )
        await self._send(SubscriptionsAcknowledgedNotification(params=params))
        return bool(others)

    async def _tell(self) -> None:
        tasks, events = self.news.take()
        for event in events:
            await self._send(event_to_notification(event, self._meta))
        for task_id in tasks:
            task = await self._source.get(self._ctx, task_id)
            if task is None or task.state in FINAL:
                self._going.discard(task_id)
            if task is not None:
                meta = {**(task.meta or {}), **self._meta}
                await self._send(TaskNotification(params={**task.detailed(), "_meta": meta}))

    async def _send(self, notification: Any) -> None:
        # The id of the request makes the SDK put the frame on this stream and not on the
        # connection.
        await self._ctx.session.send_notification(
            notification, related_request_id=self._ctx.request_id
        )


def _task_ids(wanted: SubscriptionFilter) -> list[str]:
    """The ids in a filter.

    Raises:
        MCPError: it is not a list of texts, or it is too long.
    """
    given: object = (wanted.model_extra or {}).get(TASK_IDS)
    if given is None:
        return []
    ids = cast("list[object]", given) if isinstance(given, list) else [None]
    if len(ids) > MAX_TASKS or not all(isinstance(one, str) for one in ids):
        raise MCPError(INVALID_PARAMS, f"{TASK_IDS} must be a list of at most {MAX_TASKS} strings")
    return list(dict.fromkeys(cast("list[str]", ids)))
