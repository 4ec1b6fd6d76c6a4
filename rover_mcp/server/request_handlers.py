"""The handlers of the protocol's requests, other than those of the Tasks extension.

Only this module and `app` know the SDK's handler types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    NotificationParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from rover_mcp.domain.errors import RoverError, UserFixable
from rover_mcp.server.allowed_calls import working
from rover_mcp.server.checkout_method import CheckoutParams, checkout
from rover_mcp.server.forget_method import ForgetParams, forget
from rover_mcp.server.mcp_task_handles import TaskHandles
from rover_mcp.server.patch_method import PatchParams, patch
from rover_mcp.server.private_methods import (
    HooksParams,
    ImagesParams,
    build_image,
    hooks,
    images,
)
from rover_mcp.server.prompts import complete, prompt, prompts
from rover_mcp.server.report_method import ReportParams, report
from rover_mcp.server.resources import Resources, templates
from rover_mcp.server.session import ClientSession
from rover_mcp.server.shell_method import ShellParams, shell
from rover_mcp.server.space_method import SpaceParams, space
from rover_mcp.server.tool_call import Services
from rover_mcp.server.tool_caller import ToolCaller
from rover_mcp.server.tools import as_listed, tools_for
from rover_mcp.server.trust_method import TrustParams, trust
from rover_mcp.server.usage_method import UsageParams, usage

MAX_SUBSCRIPTIONS = 1000
Context = ServerRequestContext[Any, Any]
T = TypeVar("T")


# Most assistants still connect with a protocol of 2025, in which messages may be sent at any time.
# In 2026-07-28 a server may only answer, and notify on a stream that the client has opened.
class RequestHandlers:
    """The handlers of one session's requests."""

    def __init__(self, services: Services, session: ClientSession, handles: TaskHandles) -> None:
        self._services = services
        self._session = session
        self._tools = tools_for(session.caller)
        works = working(services.status, session.caller, self._tools)
        self._call_tool = ToolCaller(services, session, handles, works)
        self._resources = Resources(services.tasks, services.status, session, works)

    def _note_era(self, ctx: Context) -> None:
        # Messages may be pushed unasked to the older era only: in 2026-07-28 a client gets what it
        # listens to.
        self._session.legacy = ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS

    async def initialized(self, ctx: Context, _: NotificationParams) -> None:
        """Allow notifications to be pushed from now on, whatever the client asks first: after the
        daemon was replaced it may ask nothing for hours."""
        self._note_era(ctx)

    async def list_tools(self, ctx: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        self._note_era(ctx)
        settings = self._services.tasks.settings
        return ListToolsResult(tools=[as_listed(e, settings) for e in self._tools.values()])

    async def call_tool(
        self, ctx: Context, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        self._note_era(ctx)
        return await self._call_tool(ctx, params)

    async def list_resources(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        self._note_era(ctx)
        resources, following = await _in_thread(
            lambda: self._resources.list(params.cursor if params else None)
        )
        return ListResourcesResult(resources=resources, next_cursor=following)

    async def list_templates(
        self, ctx: Context, _: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        self._note_era(ctx)
        return ListResourceTemplatesResult(resource_templates=templates())

    async def read_resource(
        self, ctx: Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        self._note_era(ctx)
        content = await _in_thread(lambda: self._resources.read(params.uri), params.uri)
        return ReadResourceResult(contents=[content])

    async def subscribe(self, ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        self._note_era(ctx)
        uri = await _in_thread(lambda: self._resources.followed(params.uri), params.uri)
        if len(self._session.subscribed) >= MAX_SUBSCRIPTIONS:
            raise MCPError(INVALID_PARAMS, f"at most {MAX_SUBSCRIPTIONS} subscriptions")
        self._session.subscribed.add(uri)
        return EmptyResult()

    async def unsubscribe(self, ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        self._note_era(ctx)
        self._session.subscribed.discard(params.uri)
        return EmptyResult()

    async def list_prompts(
        self, ctx: Context, _: PaginatedRequestParams | None
    ) -> ListPromptsResult:
        self._note_era(ctx)
        return ListPromptsResult(prompts=prompts())

    async def get_prompt(self, ctx: Context, params: GetPromptRequestParams) -> GetPromptResult:
        self._note_era(ctx)
        try:
            return prompt(params.name, params.arguments)
        except UserFixable as error:
            raise MCPError(INVALID_PARAMS, error.message) from error

    async def complete(self, ctx: Context, params: CompleteRequestParams) -> CompleteResult:
        self._note_era(ctx)
        services, about = self._services, params.argument
        named = (params.context.arguments if params.context else None) or {}
        completion = await _in_thread(
            lambda: complete(
                services.tasks,
                services.status,
                self._session,
                params.ref,
                about.name,
                about.value,
                named.get("id"),
            )
        )
        return CompleteResult(completion=completion)

    async def images(self, ctx: Context, params: ImagesParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()
        if params.action != "build":
            return await images(self._services.images, params)

        async def progress(count: int, line: str) -> None:
            await ctx.session.report_progress(count, None, line)

        return await build_image(self._services.builds, self._session.caller, params, progress)

    async def hooks(self, ctx: Context, params: HooksParams) -> dict[str, Any]:
        self._note_era(ctx)
        if self._session.caller.user is not None:
            raise MCPError(METHOD_NOT_FOUND, "only the user of this machine can use hooks")
        return await hooks(self._services.hooks, params)

    async def trust(self, ctx: Context, params: TrustParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()
        return await trust(self._services.tasks.create_task, self._session.caller, params)

    async def forget(self, ctx: Context, params: ForgetParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()
        return await forget(self._services.forget, self._session.caller, params)

    async def checkout(self, ctx: Context, params: CheckoutParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()
        return await checkout(self._services, self._session.caller, params)

    async def shell(self, ctx: Context, params: ShellParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()
        return await shell(self._services, self._session.caller, params)

    async def space(self, ctx: Context, params: SpaceParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()
        return await space(
            self._services.trash, self._services.free_space, self._session.caller, params
        )

    async def usage(self, ctx: Context, params: UsageParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()
        return await usage(self._services.tasks, self._session.caller, params)

    async def patch(self, ctx: Context, params: PatchParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()

        async def progress(count: int, piece: str) -> None:
            await ctx.session.report_progress(count, None, piece)

        return await patch(self._services.tasks, self._session.caller, params, progress)

    async def report(self, ctx: Context, params: ReportParams) -> dict[str, Any]:
        self._note_era(ctx)
        self._services.touch()

        async def progress(count: int, piece: str) -> None:
            await ctx.session.report_progress(count, None, piece)

        return await report(self._services.report, self._session.caller, params, progress)

    async def set_level(self, ctx: Context, params: SetLevelRequestParams) -> EmptyResult:
        self._note_era(ctx)
        self._session.level = params.level
        return EmptyResult()


async def _in_thread(work: Callable[[], T], uri: str | None = None) -> T:
    """The result of a use case, which runs in a thread.

    Raises:
        MCPError: it cannot, and why.
    """
    try:
        return await anyio.to_thread.run_sync(work)
    except UserFixable as error:
        data = {"uri": uri[:200]} if uri else None
        raise MCPError(INVALID_PARAMS, error.message, data) from error
    except RoverError as error:
        raise MCPError(INTERNAL_ERROR, error.message) from error
