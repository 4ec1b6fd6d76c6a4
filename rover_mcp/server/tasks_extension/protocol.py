"""The two sides of the extension: a task as it goes over the wire (SEP-2663), and the protocol of
what a server has to keep for the extension to show it."""

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
"""Protocol versions that know the extension."""
RECEIPT = "dev.rover/task"
"""The key in a tool result's `_meta` under which the id of the task that it started stands."""


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

    `ttl_ms` counts from `created_at`, None: it is kept without limit. `input_requests`: what is
    asked now, by keys that are never used twice in the task's life; only where INPUT_REQUIRED.
    `result`: the final result of the call that made the task, only where COMPLETED; a tool's own
    failure is a COMPLETED whose result has `isError`. `error`: a JSON-RPC error, only where FAILED.
    `handle_meta` stands in the `_meta` of the handle alone, beside `meta`.
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
        """What a `tools/call` that became this task answers: a CreateTaskResult."""
        fields = {"resultType": "task", **self._shared()}
        if self.handle_meta:
            fields["_meta"] = {**(self.meta or {}), **self.handle_meta}
        return fields

    def detailed(self) -> dict[str, Any]:
        """A DetailedTask: what `tasks/get` and `notifications/tasks` say."""
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
    """The tasks of a server. Every call says who asks, by `ctx`: a task that is not that client's
    does not exist for it."""

    async def get(self, ctx: Context, task_id: str) -> Task | None:
        """The task now; None: it is unknown, expired, or somebody else's."""
        ...

    async def acknowledge(self, ctx: Context, task: Task) -> None:
        """The client has been sent `task`, which is final or asks for input, by tasks/get."""
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


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
