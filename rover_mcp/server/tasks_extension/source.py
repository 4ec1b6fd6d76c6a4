"""What a server has to keep, for the extension to show it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from mcp.server.context import ServerRequestContext

from rover_mcp.server.tasks_extension.protocol import Task

Context = ServerRequestContext[Any, Any]


class TaskSource(Protocol):
    """The tasks of a server. Every call says who asks, by `ctx`: a task that is not that client's
    does not exist for it."""

    async def get(self, ctx: Context, task_id: str) -> Task | None:
        """The task now; None: it is unknown, expired, or somebody else's."""
        ...

    async def told(self, ctx: Context, task: Task) -> None:
        """tasks/get answers with `task`, which is final or asks: its client knows that now."""
        ...

    async def answer(self, ctx: Context, task: Task, responses: Mapping[str, Any]) -> None:
        """Act on what was answered to `task.input_requests`: `responses` has only keys of these."""
        ...

    async def cancel(self, ctx: Context, task: Task) -> None:
        """Ask that a task that is not final be cancelled; it may still end otherwise."""
        ...

    def subscribe(
        self, task_ids: Collection[str], changed: Callable[[str], None]
    ) -> Callable[[], None]:
        """Call `changed` with the id of each of these that changed, on the server's loop. It does
        not raise. Returns what ends that."""
        ...
