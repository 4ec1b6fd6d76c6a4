"""Shows Rover's tasks to one client through the Tasks extension."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from mcp.server.subscriptions import ResourceUpdated, ServerEvent
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from agent_runner.models import Budget
from rover_mcp.domain.errors import Conflict, RoverError, UserFixable
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.domain.usage_window import time_of
from rover_mcp.server.allowed_calls import CallCheck, drop_refused_calls
from rover_mcp.server.elicitation import Decision, decision, needs_person, pause_form, pause_message
from rover_mcp.server.event_broadcast import TASKS, EventBroadcaster
from rover_mcp.server.handle_text import first_note, status_message
from rover_mcp.server.result_text import text_of
from rover_mcp.server.results import TaskResult
from rover_mcp.server.session import ClientSession, task_uri
from rover_mcp.server.tasks_extension import Task, TaskState
from rover_mcp.server.tasks_extension.protocol import Context
from rover_mcp.server.tools import tools_for
from rover_mcp.store.records import EventRow, TaskRow
from rover_mcp.tasks.handle_spans import (
    ANSWERED,
    LEFT,
    MARKS,
    HandleSpan,
    handle,
    handle_spans,
    last_shown,
    parse_handle,
    question,
)
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.view_models import TaskView

# Each poll reads the task from the database, and a model waits for none of them.
POLL_INTERVAL_MS = 3000
LEFT_MESSAGE = "no longer followed; the task was paused; resume_task continues it"


@dataclass(frozen=True)
class _Named:
    """One span of a task as it is now. `key` is the key of its question, if it asks one; `shown` is
    the last notable event that its readers have seen."""

    row: TaskRow
    span: HandleSpan
    view: TaskView
    key: str | None
    shown: EventRow | None


class TaskHandles:
    """A TaskSource over the use cases, for one session. `works` says which calls work for it."""

    def __init__(
        self,
        tasks: TaskService,
        broadcaster: EventBroadcaster,
        session: ClientSession,
        works: CallCheck,
    ) -> None:
        self._works = works
        self._tasks = tasks
        self._broadcaster = broadcaster
        self._session = session

    async def new(self, task_id: str) -> str | None:
        """The handle of a task's current span; None where the session already has it."""
        return await anyio.to_thread.run_sync(self._new, task_id)

    def _new(self, task_id: str) -> str | None:
        row = self._tasks.finder.find(self._session.caller, task_id)
        marks = self._tasks.store.events.of_kinds(task_id, MARKS)
        span = handle_spans(row, marks)[-1].number
        # With a second handle a client would show one task twice, and tell its model twice that it
        # ended.
        held = self._session.holds(task_id, span, self._broadcaster.clock())
        return None if held else handle(task_id, span)

    async def get(self, ctx: Context, task_id: str) -> Task | None:
        named = await anyio.to_thread.run_sync(self._read, task_id)
        return as_task(named, asks=_elicits(ctx)) if named else None

    def _read(self, task_id: str) -> _Named | None:
        parsed = parse_handle(task_id)
        if parsed is None:
            return None
        try:
            row = self._tasks.finder.find(self._session.caller, parsed[0])
        except UserFixable:
            return None
        marks = self._tasks.store.events.of_kinds(row.id, MARKS)
        known = handle_spans(row, marks)
        if parsed[1] >= len(known):
            return None
        self._session.watch(row.id)
        span = known[parsed[1]]
        self._session.hold(row.id, span.number, self._broadcaster.clock())
        view = self._tasks.view(row) if span.end else self._tasks.with_cautions(row)
        drop_refused_calls(view, self._works)
        asks = row.status is TaskStatus.PAUSED and span.end is None
        shown = last_shown(row, span, marks)
        return _Named(row, span, as_of(view, span), question(marks) if asks else None, shown)

    async def acknowledge(self, ctx: Context, task: Task) -> None:
        named = await anyio.to_thread.run_sync(self._read, task.id)
        if named is None or named.shown is None:
            return
        # Not if it has changed since the answer was made.
        if as_task(named, asks=_elicits(ctx)).state is task.state:
            owned = named.row.owner == self._session.caller.user
            self._session.report_one(named.shown, self._broadcaster.clock(), owned=owned)

    async def answer(self, ctx: Context, task: Task, responses: Mapping[str, Any]) -> None:
        """Carry out a person's answer.

        Raises:
            MCPError: the form does not allow the answer, or it cannot be carried out.
        """

        self._check_may_run()

        def act() -> None:
            named = self._read(task.id)
            if named is not None and named.key is not None and named.key in responses:
                self._act(named, decision(named.view, responses[named.key]))

        try:
            await anyio.to_thread.run_sync(act)
        except RoverError as error:
            raise MCPError(INVALID_PARAMS, error.message) from error

    def _act(self, named: _Named, decided: Decision) -> None:
        row = named.row
        match decided.action:
            case "cancel":
                self._tasks.cancel(row)
            case "resume":
                budget = Budget(usd=decided.budget_usd, tokens=decided.budget_tokens)
                given = budget if budget != Budget() else None
                caller = self._session.caller
                self._tasks.resume(
                    caller, row, "now", budget=given, agent=decided.agent, model=decided.model,
                    by_person=True, accept=decided.accept,
                )  # fmt: skip
            case "leave":
                data = {"key": named.key, "choice": decided.action}
                self._tasks.store.events.add(row.id, ANSWERED, data)

    def _check_may_run(self) -> None:
        if "resume_task" not in tools_for(self._session.caller):
            raise MCPError(INVALID_PARAMS, "this server is read-only")

    async def cancel(self, ctx: Context, task: Task) -> None:
        """End the handle and pause the task. A client that stops following a task has not said that
        its work is to end; cancel_task is the call for that."""
        self._check_may_run()

        def act() -> None:
            named = self._read(task.id)
            if named is not None and named.span.end is None:
                self._tasks.pause.leave(named.row, named.span.number)

        try:
            await anyio.to_thread.run_sync(act)
        # A cancellation is cooperative, and repeating it is harmless: the answer is an
        # acknowledgement.
        except Conflict:
            # It ended meanwhile, which its client learns from the next look at it.
            return

    def subscribe(
        self, task_ids: Collection[str], changed: Callable[[str], None]
    ) -> Callable[[], None]:
        names: dict[str, list[str]] = {}
        for task_id in task_ids:
            if parsed := parse_handle(task_id):
                names.setdefault(task_uri(parsed[0]), []).append(task_id)

        def listener(event: ServerEvent) -> None:
            if isinstance(event, ResourceUpdated):
                for task_id in names.get(event.uri, ()):
                    self._broadcaster.note(TASKS)
                    changed(task_id)

        return self._broadcaster.bus_of(self._session.caller).subscribe(listener)


def as_of(view: TaskView, span: HandleSpan) -> TaskView:
    """The task as it was at the end of a span. What the task says now belongs to a later span."""
    end = span.end
    if end is None:
        return view
    error = end.data.get("error")
    left_out = dict.fromkeys(("pause", "steps", "steps_hidden", "usage", "budget"))
    return view.model_copy(
        update={
            **left_out,
            "status": TaskStatus(end.status),
            "phase": f"{end.status.lower()}, and continued later",
            "error": quoted(str(error)) if error else None,
            "updated_at": time_of(end.at),
            "next_actions": [],
        }
    )


def as_task(named: _Named, *, asks: bool) -> Task:
    """One span as a task of the extension. `asks`: its client can show questions."""
    view = named.view
    state, message = _STATES.get(view.status, TaskState.COMPLETED), view.phase
    requests: dict[str, Any] = {}
    if named.span.end is not None and named.span.end.kind == LEFT:
        state, message = TaskState.CANCELLED, LEFT_MESSAGE
    elif view.status is TaskStatus.PAUSED:
        message = pause_message(view)
        if asks and named.key is not None and needs_person(view):
            # Claude Code opens a dialog for this and stops polling, so it is used only if nothing
            # else helps.
            state, requests = TaskState.INPUT_REQUIRED, {named.key: pause_form(view)}
    return Task(
        id=handle(view.id, named.span.number),
        state=state,
        created_at=time_of(named.span.began_at),
        updated_at=view.updated_at,
        poll_interval_ms=POLL_INTERVAL_MS,
        message=status_message(view, message),
        handle_meta=first_note(view),
        input_requests=requests,
        result=_result(view) if state is TaskState.COMPLETED else None,
    )


_STATES = {
    TaskStatus.CANCELLED: TaskState.CANCELLED,
    **dict.fromkeys((TaskStatus.NEW, TaskStatus.PAUSED, *RUNNING), TaskState.WORKING),
}
"""The statuses that are not here are COMPLETED: a task that FAILED has a result that says so."""


def _result(view: TaskView) -> dict[str, Any]:
    """The final CallToolResult, which is valid for every tool that returns a handle."""
    result = TaskResult(task=view)
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": text_of(result)}],
        "structuredContent": result.model_dump(mode="json", exclude_none=True),
        "isError": view.status is TaskStatus.FAILED,
    }


def _elicits(ctx: Context) -> bool:
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None
