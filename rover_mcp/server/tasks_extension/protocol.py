"""The two sides of the extension: the form of a task on the wire (SEP-2663), and the protocol that
a server implements so that the extension can show its tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from mcp.server.context import ServerRequestContext

Context = ServerRequestContext[Any, Any]

EXTENSION = "io.modelcontextprotocol/tasks"
VERSIONS = frozenset({"2026-07-28"})
"""The protocol versions that have the extension."""
RECEIPT = "dev.rover/task"
"""The key in a tool result's `_meta` for the id of the task that the tool started."""


class TaskState(StrEnum):
    """WORKING and INPUT_REQUIRED alternate; the others are final."""

    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})


@dataclass(frozen=True)
class Task:
    """One task as its client sees it now.

    `ttl_ms` counts from `created_at`; None means that the task is kept without limit.
    `input_requests` are the open questions, by keys that the task never uses twice, and only where
    INPUT_REQUIRED. `result` is the final result of the call that created the task, only where
    COMPLETED; a failure of the tool itself is a COMPLETED task whose result has `isError`. `error`
    is a JSON-RPC error, only where FAILED. `handle_meta` is added to the `_meta` of the handle
    alone, beside `meta`.
    """

    id: str
    state: TaskState
    created_at: datetime
    updated_at: datetime
    ttl_ms: int | None = None
    poll_interval_ms: int | None = None
    message: str | None = None
    input_requests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Any])
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] | None = None
    handle_meta: Mapping[str, Any] | None = None

    def handle(self) -> dict[str, Any]:
        """The answer to the `tools/call` that became this task: a CreateTaskResult."""
        fields = {"resultType": "task", **self._shared()}
        if self.handle_meta:
            fields["_meta"] = {**(self.meta or {}), **self.handle_meta}
        return fields

    def detailed(self) -> dict[str, Any]:
        """The DetailedTask that `tasks/get` and `notifications/tasks` contain."""
        fields = self._shared()
        match self.state:
            case TaskState.INPUT_REQUIRED:
                fields["inputRequests"] = {k: dict(v) for k, v in self.input_requests.items()}
            case TaskState.COMPLETED:
                fields["result"] = dict(self.result or {})
            case TaskState.FAILED:
                fields["error"] = dict(self.error or {})
            case _:
                pass
        return fields

    def _shared(self) -> dict[str, Any]:
        # Null is what an unlimited ttl has to be; the others are left out.
        fields: dict[str, Any] = {
            "taskId": self.id,
            "status": str(self.state),
            "createdAt": _iso(self.created_at),
            "lastUpdatedAt": _iso(self.updated_at),
            "ttlMs": self.ttl_ms,
        }
        if self.poll_interval_ms is not None:
            fields["pollIntervalMs"] = self.poll_interval_ms
        if self.message:
            fields["statusMessage"] = self.message
        if self.meta:
            fields["_meta"] = dict(self.meta)
        return fields


class TaskSource(Protocol):
    """The tasks of a server. `ctx` says who asks: a task of another client does not exist for
    it."""

    async def get(self, ctx: Context, task_id: str) -> Task | None:
        """The task as it is now; None where it is unknown, expired, or someone else's."""
        ...

    async def acknowledge(self, ctx: Context, task: Task) -> None:
        """Note that tasks/get has sent the client `task`, which is final or asks for input."""
        ...

    async def answer(self, ctx: Context, task: Task, responses: Mapping[str, Any]) -> None:
        """Act on the answers to `task.input_requests`: `responses` has only keys of these."""
        ...

    async def cancel(self, ctx: Context, task: Task) -> None:
        """Request the cancellation of a task that is not final; it may still end in another way."""
        ...

    def subscribe(
        self, task_ids: Collection[str], changed: Callable[[str], None]
    ) -> Callable[[], None]:
        """Call `changed` with the id of each of these tasks that changes, on the server's event
        loop. `changed` does not raise. Returns a function that ends the subscription."""
        ...


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
