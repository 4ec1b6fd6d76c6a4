"""The fixture app of the conformance suite's tasks scenarios: the product's own extension over
the tools that the suite calls. `python -m tests.conformance.app DESCRIPTOR`.

What each tool has to do is in the suite's sources (facts: mcp.md, section 6a).
"""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import anyio
import uvicorn
from anyio.abc import TaskGroup
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

from rover_mcp.server.tasks_extension import (
    RECEIPT,
    Task,
    TasksExtension,
    TasksListenHandler,
    TaskState,
    install,
)
from rover_mcp.server.tasks_extension.extension import declared, require_declared
from rover_mcp.server.tasks_extension.protocol import Context

PATIENT = {"type": "object"}


@dataclass
class _Running:
    task: Task
    cancel: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    answered: anyio.Event = field(default_factory=anyio.Event)


class Tasks:
    """A TaskSource in memory."""

    def __init__(self) -> None:
        self.group: TaskGroup | None = None
        self._tasks: dict[str, _Running] = {}
        self._listeners: dict[object, Callable[[str], None]] = {}

    def start(self, work: Callable[[_Running], Any]) -> str:
        now = datetime.now(UTC)
        running = _Running(Task(secrets.token_hex(16), TaskState.WORKING, now, now))
        self._tasks[running.task.id] = running
        assert self.group
        self.group.start_soon(self._run, running, work)
        return running.task.id

    async def _run(self, running: _Running, work: Callable[[_Running], Any]) -> None:
        with running.cancel:
            outcome = await work(running)
            self.change(running, **outcome)
            return
        self.change(running, state=TaskState.CANCELLED)

    def change(self, running: _Running, **values: Any) -> None:
        running.task = replace(running.task, updated_at=datetime.now(UTC), **values)
        for listener in list(self._listeners.values()):
            listener(running.task.id)

    async def ask(self, running: _Running, keys: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """The answers to all of them, as they come in one or more updates."""
        left = dict(keys)
        while left:
            running.answered = anyio.Event()
            self.change(running, state=TaskState.INPUT_REQUIRED, input_requests=left)
            await running.answered.wait()
            left = {k: v for k, v in left.items() if k not in running.answers}
        self.change(running, state=TaskState.WORKING, input_requests={})
        return running.answers

    async def get(self, ctx: Context, task_id: str) -> Task | None:
        found = self._tasks.get(task_id)
        return found.task if found else None

    async def acknowledge(self, ctx: Context, task: Task) -> None:
        """Its tasks have no other news."""

    async def answer(self, ctx: Context, task: Task, responses: Mapping[str, Any]) -> None:
        running = self._tasks[task.id]
        running.answers |= responses
        running.answered.set()

    async def cancel(self, ctx: Context, task: Task) -> None:
        self._tasks[task.id].cancel.cancel()

    def subscribe(
        self, task_ids: Collection[str], changed: Callable[[str], None]
    ) -> Callable[[], None]:
        token = object()
        self._listeners[token] = lambda one: changed(one) if one in task_ids else None
        return lambda: self._listeners.pop(token, None) and None


def done(text: str, *, failed: bool = False) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"state": TaskState.COMPLETED, "result": {"content": content, "isError": failed}}


def form(message: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    params = {"mode": "form", "message": message, "requestedSchema": schema}
    return {"method": "elicitation/create", "params": params}


TASKS = Tasks()


async def slow_compute(running: _Running, seconds: float, label: str) -> dict[str, Any]:
    await anyio.sleep(seconds)
    return done(f"computed {label}")


async def failing_job(running: _Running) -> dict[str, Any]:
    await anyio.sleep(1)
    return done("the job failed", failed=True)


async def protocol_error_job(running: _Running) -> dict[str, Any]:
    return {"state": TaskState.FAILED, "error": {"code": -32603, "message": "the job broke"}}


async def confirm_delete(running: _Running, filename: str) -> dict[str, Any]:
    asked = {"confirm": form(f"Delete {filename}?", confirm={"type": "boolean"})}
    said = (await TASKS.ask(running, asked))["confirm"]
    agreed = said.get("action") == "accept" and said.get("content", {}).get("confirm")
    return done(f"Deleted {filename}" if agreed else "Kept it")


async def multi_input(running: _Running) -> dict[str, Any]:
    asked = {k: form(f"Your {k}?", **{k: {"type": "string"}}) for k in ("name", "colour")}
    said = await TASKS.ask(running, asked)
    return done(", ".join(str(said[k].get("content", {}).get(k)) for k in asked))


async def greet_slowly(running: _Running, name: str) -> dict[str, Any]:
    return done(f"Hello, {name}!")


def _text(text: str, task_id: str | None = None) -> CallToolResult:
    meta = {RECEIPT: task_id} if task_id else None
    return CallToolResult(content=[TextContent(type="text", text=text)], _meta=meta)


async def call_tool(
    ctx: Context, params: CallToolRequestParams
) -> CallToolResult | InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "greet":
            return _text(f"Hello, {given['name']}!")
        case "slow_compute":
            seconds, label = float(given.get("seconds", 1)), str(given.get("label", ""))
            if not declared(ctx):
                await anyio.sleep(seconds)
                return _text(f"computed {label}")
            return _started(lambda r: slow_compute(r, seconds, label))
        case "failing_job":
            require_declared(ctx)
            return _started(failing_job)
        case "protocol_error_job":
            return _started(protocol_error_job)
        case "confirm_delete":
            return _started(lambda r: confirm_delete(r, str(given.get("filename"))))
        case "multi_input":
            return _started(multi_input)
        case "test_tool_with_task":
            return _named_first(params)
        case _:
            return CallToolResult(
                content=[TextContent(type="text", text=f"Unknown tool {params.name}")],
                is_error=True,
            )


def _started(work: Callable[[_Running], Any]) -> CallToolResult:
    return _text("started", TASKS.start(work))


def _named_first(params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
    """Asks for a name before there is a task, then makes one."""
    said = (params.input_responses or {}).get("user_name")
    if not isinstance(said, ElicitResult):
        asked = ElicitRequestFormParams(
            message="What is your name?",
            requested_schema={
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": ["name"],
            },
        )
        return InputRequiredResult(
            input_requests={"user_name": ElicitRequest(params=asked)}, request_state="named-first"
        )
    name = str((said.content or {}).get("name"))
    return _started(lambda r: greet_slowly(r, name))


NAMES = (
    "greet", "slow_compute", "failing_job", "protocol_error_job", "confirm_delete",
    "multi_input", "test_tool_with_task",
)  # fmt: skip


async def list_tools(ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
    tools = [Tool(name=n, description=f"The suite's {n}", input_schema=PATIENT) for n in NAMES]
    return ListToolsResult(tools=tools)


@asynccontextmanager
async def _tasks(server: Server[Any]) -> AsyncGenerator[dict[str, Any]]:
    async with anyio.create_task_group() as group:
        TASKS.group = group
        yield {}
        group.cancel_scope.cancel()


def main(listener: int) -> None:
    """Serve on an inherited socket until killed."""
    bus = InMemorySubscriptionBus()
    server: Server[Any] = Server(
        "tasks-fixture",
        version="1",
        lifespan=_tasks,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=TasksListenHandler(bus, TASKS),
    )
    install(server, TasksExtension(TASKS))
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=listener)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
