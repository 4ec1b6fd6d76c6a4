"""tasks/get, tasks/update, tasks/cancel, and the handle in place of a tool's result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcp.server.context import CallNext, HandlerResult
from mcp.server.extension import Extension, MethodBinding, compose_tool_call_handler
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value
from mcp_types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    RequestParams,
)

from rover_mcp.server.tasks_extension.protocol import (
    EXTENSION,
    FINAL,
    RECEIPT,
    VERSIONS,
    Context,
    Task,
    TaskSource,
    TaskState,
)


class TaskParams(RequestParams):
    """Parameters of tasks/get and tasks/cancel."""

    task_id: str


class UpdateParams(TaskParams):
    """Parameters of tasks/update: an answer for each key, in the form of its method's result."""

    input_responses: dict[str, Any]


class TasksExtension(Extension):
    """Serves one server's tasks. `receipt`: see RECEIPT."""

    identifier = EXTENSION

    def __init__(self, source: TaskSource, receipt: str = RECEIPT) -> None:
        self._source = source
        self._receipt = receipt

    def methods(self) -> Sequence[MethodBinding]:
        return [
            MethodBinding("tasks/get", TaskParams, self._get, VERSIONS),
            MethodBinding("tasks/update", UpdateParams, self._update, VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, VERSIONS),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: Context, call_next: CallNext
    ) -> HandlerResult:
        """Replace a receipt by a handle, for a client that declared the extension."""
        # A call that needs input first returns InputRequiredResult, and is repeated through here.
        result = await call_next(ctx)
        if not isinstance(result, CallToolResult) or result.is_error or not declared(ctx):
            return result
        task_id = (result.meta or {}).get(self._receipt)
        task = await self._source.get(ctx, task_id) if isinstance(task_id, str) else None
        # A dict, because the SDK drops the nulls of models: `ttlMs: null` means kept without limit.
        return task.handle() if task is not None else result

    async def _get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        task = await self._named(ctx, params)
        if task.state in FINAL or task.state is TaskState.INPUT_REQUIRED:
            await self._source.acknowledge(ctx, task)
        return {"resultType": "complete", **task.detailed()}

    async def _update(self, ctx: Context, params: UpdateParams) -> dict[str, Any]:
        task = await self._named(ctx, params)
        # Answers to what is not, or no longer, asked are ignored.
        expected = {k: v for k, v in params.input_responses.items() if k in task.input_requests}
        if expected:
            await self._source.answer(ctx, task, expected)
        return {"resultType": "complete"}

    async def _cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        task = await self._named(ctx, params)
        if task.state not in FINAL:
            await self._source.cancel(ctx, task)
        return {"resultType": "complete"}

    async def _named(self, ctx: Context, params: TaskParams) -> Task:
        require_declared(ctx)
        _check_name_header(ctx, params.task_id)
        task = await self._source.get(ctx, params.task_id)
        if task is None:
            raise MCPError(INVALID_PARAMS, "there is no such task", {"taskId": params.task_id[:80]})
        return task


def install(server: Server[Any], extension: TasksExtension) -> None:
    """Do what `MCPServer(extensions=[...])` does, for a low-level server that serves `tools/call`.

    Raises:
        ValueError: it serves no tools.
    """
    entry = server.get_request_handler("tools/call")
    if entry is None:
        raise ValueError("the server serves no tools/call")
    for binding in extension.methods():
        server.add_request_handler(binding.method, binding.params_type, _gated(binding))
    wrapped = compose_tool_call_handler([extension], entry.handler)
    server.add_request_handler("tools/call", CallToolRequestParams, wrapped)
    server.extensions[extension.identifier] = extension.settings()


def _gated(binding: MethodBinding) -> Any:
    async def handler(ctx: Context, params: Any) -> HandlerResult:
        # `MCPServer` checks this for its extensions; the low-level server does not.
        if ctx.protocol_version not in (binding.protocol_versions or ()):
            raise MCPError(METHOD_NOT_FOUND, "Method not found", binding.method)
        return await binding.handler(ctx, params)

    return handler


def declared(ctx: Context) -> bool:
    """Whether this very request declared the extension."""
    capabilities = ctx.session.client_capabilities
    extensions = capabilities.extensions if capabilities else None
    return ctx.protocol_version in VERSIONS and EXTENSION in (extensions or {})


def require_declared(ctx: Context) -> None:
    """Check that this request declared the extension.

    Raises:
        MCPError: -32021, with what the client has to declare.
    """
    if not declared(ctx):
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"this needs the client to declare the extension {EXTENSION}",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )


def _check_name_header(ctx: Context, task_id: str) -> None:
    """Over HTTP the header Mcp-Name names the task, for what routes by headers alone.

    SEP-2663 has it refused where it is missing, too. The client of fastmcp 4.1 never sends it here,
    and a request that has none cannot be routed by one that differs from its body.
    """
    name = getattr(ctx.request, "headers", {}).get("mcp-name")
    if name is not None and decode_header_value(name) != task_id:
        raise MCPError(HEADER_MISMATCH, "the header Mcp-Name has to be the taskId")
