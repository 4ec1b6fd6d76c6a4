"""Finds the session of a request. The SDK serves all clients over HTTP with one server; Rover has
one for each client, whose handlers know its session. This module is what lies between.

A client of a protocol version before 2026-07-28 has a session of its own, from its opening until it
ends it or is idle. A request of 2026-07-28 stands alone, so a user's requests under the same client
name share a session while the daemon lives: each event is reported once to that name, and events
that no client has seen come with the first request after a daemon's start. Requests of a token that
only reads have a session of their own, which is offered no call that it may not make.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    NotificationParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from rover_mcp.launcher import handshake
from rover_mcp.server.app import App
from rover_mcp.server.checkout_method import METHOD as CHECKOUT
from rover_mcp.server.forget_method import METHOD as FORGET
from rover_mcp.server.patch_method import METHOD as PATCH
from rover_mcp.server.private_methods import HOOKS, IMAGES
from rover_mcp.server.report_method import METHOD as REPORT
from rover_mcp.server.session import Backlog, ClientSession
from rover_mcp.server.shell_method import METHOD as SHELL
from rover_mcp.server.space_method import METHOD as SPACE
from rover_mcp.server.tasks_extension import TasksListenHandler
from rover_mcp.server.tool_call import Services
from rover_mcp.server.tools import TOOLS
from rover_mcp.server.trust_method import METHOD as TRUST
from rover_mcp.server.usage_method import METHOD as USAGE
from rover_mcp.tasks.caller import Caller

Context = ServerRequestContext[Any, Any]

# The SDK's session manager takes one server for all clients.
METHODS: Final = (
    "tools/list", "tools/call", "resources/list", "resources/templates/list", "resources/read",
    "resources/subscribe", "resources/unsubscribe", "prompts/list", "prompts/get",
    "completion/complete", "logging/setLevel", "subscriptions/listen", "tasks/get",
    "tasks/update", "tasks/cancel", "skills/list", "skills/get",
)  # fmt: skip
"""The methods that a client's own server answers. Any other handler would see no tasks: see
NO_USER."""
INITIALIZED: Final = "notifications/initialized"
REFUSED: Final = (IMAGES, HOOKS, TRUST, FORGET, SPACE, USAGE, PATCH, REPORT, CHECKOUT, SHELL)
"""Methods about this machine, which only its user may call."""
WRITES: Final = frozenset({"tasks/update", "tasks/cancel"})
NO_USER: Final = ""
"""A name that no user has: it owns no task and is served no project."""
MAX_NAMES: Final = 16
"""How many client names of a user have a session. The least recently used one makes room."""
PUSH_SECONDS: Final = 20.0


# Tools that are not offered to a token are also refused here, since a client may call what it was
# never shown.
def may_call(method: object, name: object, scopes: frozenset[str]) -> bool:
    """Whether a token with these scopes may send this request; `name` is the tool's."""
    if "write" in scopes:
        return True
    if method == "tools/call":
        entry = TOOLS.get(name) if isinstance(name, str) else None
        return entry is None or entry.tool_set == "read"
    return not (isinstance(method, str) and method in WRITES)


@dataclass(eq=False)
class HttpClient:
    """One client. `busy` counts the requests that are being answered."""

    session: ClientSession
    server: Server[Any]
    backlog: Backlog
    busy: int = 0

    def listens(self) -> TasksListenHandler | None:
        entry = self.server.get_request_handler("subscriptions/listen")
        handler: object = entry.handler if entry is not None else None
        return handler if isinstance(handler, TasksListenHandler) else None


class Users:
    """The clients over HTTP. `caller_of` returns a user's Caller; `group` runs the tasks that push
    notifications to clients."""

    def __init__(
        self, app: App, services: Services, caller_of: Callable[[str], Caller], group: TaskGroup
    ) -> None:
        self._app = app
        self._services = services
        self._caller_of = caller_of
        self._group = group
        self._legacy: dict[str, HttpClient] = {}
        self._modern: dict[str, OrderedDict[tuple[str, bool], HttpClient]] = {}

    def server(self) -> Server[Any]:
        """The one server that the SDK serves."""
        server = self._new_peer(NO_USER).server
        for method in METHODS:
            if (entry := server.get_request_handler(method)) is not None:
                server.add_request_handler(method, entry.params_type, self._dispatch(method))
        for method in REFUSED:
            if (entry := server.get_request_handler(method)) is not None:
                server.add_request_handler(method, entry.params_type, _refuse)
        server.add_notification_handler(INITIALIZED, NotificationParams, self._initialized)
        server.get_tool_input_schema = _input_schema
        return server

    def close_streams(self) -> None:
        """End every listen stream with its last frame."""
        for peer in self._peers():
            if (handler := peer.listens()) is not None:
                handler.close()

    def close(self) -> None:
        """End all pushing."""
        for peer in self._peers():
            self._services.broadcaster.sessions.discard(peer.session)

    def _peers(self) -> list[HttpClient]:
        return [*self._legacy.values(), *(p for own in self._modern.values() for p in own.values())]

    def _dispatch(self, method: str) -> Callable[[Context, Any], Awaitable[Any]]:
        async def handler(ctx: Context, params: Any) -> Any:
            user = _user(ctx)
            name = params.name if isinstance(params, CallToolRequestParams) else None
            if not may_call(method, name, frozenset(user.scopes)):
                raise MCPError(INVALID_REQUEST, "this token lacks the scope write")
            peer = self._peer(ctx, user)
            entry = peer.server.get_request_handler(method)
            if entry is None:
                raise MCPError(METHOD_NOT_FOUND, "Method not found", method)
            peer.busy += 1
            try:
                return await entry.handler(ctx, params)
            finally:
                peer.busy -= 1

        return handler

    async def _initialized(self, ctx: Context, params: NotificationParams) -> None:
        """A session may only wait for what it is pushed, and never ask."""
        peer = self._peer(ctx, _user(ctx))
        entry = peer.server.get_notification_handler(INITIALIZED)
        if entry is not None:
            await entry.handler(ctx, params)

    def _peer(self, ctx: Context, who: AuthenticatedUser) -> HttpClient:
        user, writes = who.display_name, "write" in who.scopes
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            client = ctx.session.client_params
            name = client.client_info.name[:80] if client else ""
            return self._modern_peer(user, (name, writes))
        session_id = str(ctx.request.headers.get(MCP_SESSION_ID_HEADER, "")) if ctx.request else ""
        if (known := self._legacy.get(session_id)) is not None:
            # The SDK has checked that it is this user's; a mistake there must not be one here.
            if known.session.caller.user != user:
                raise MCPError(INVALID_REQUEST, "Session not found")
            return known
        return self._legacy_peer(user, writes, session_id, _connection(ctx))

    def _modern_peer(self, user: str, name: tuple[str, bool]) -> HttpClient:
        own = self._modern.setdefault(user, OrderedDict())
        if name not in own:
            own[name] = self._new_peer(user, writes=name[1])
            own[name].session.shared = True
            idle = [n for n, peer in own.items() if not peer.busy and n != name]
            for old in idle[: max(0, len(own) - MAX_NAMES)]:
                self._leave(own.pop(old))
        own.move_to_end(name)
        return own[name]

    def _legacy_peer(
        self, user: str, writes: bool, session_id: str, connection: Connection
    ) -> HttpClient:
        peer = self._legacy[session_id] = self._new_peer(user, writes)
        sessions = self._services.broadcaster.sessions
        sessions.add(peer.session)
        pushing = anyio.CancelScope()

        def gone() -> None:
            self._legacy.pop(session_id, None)
            self._leave(peer)
            pushing.cancel()

        connection.exit_stack.callback(gone)
        self._group.start_soon(_push, peer, connection, pushing)
        return peer

    def _leave(self, peer: HttpClient) -> None:
        self._group.start_soon(self._services.broadcaster.leave, peer.session)

    def _new_peer(self, user: str, writes: bool = True) -> HttpClient:
        """`writes`: its token may change something; else its server has the tools that read."""
        backlog, caller = Backlog(), self._caller_of(user)
        if not writes:
            caller = replace(caller, env={**caller.env, handshake.TOOLS: "read"})
        session = ClientSession(caller, backlog.push)
        return HttpClient(session, self._app.server_for(session), backlog)


async def _push(peer: HttpClient, connection: Connection, scope: anyio.CancelScope) -> None:
    """Send what waits in the backlog, on the stream that the client keeps open for that."""

    async def send(method: str, params: dict[str, Any]) -> None:
        with anyio.move_on_after(PUSH_SECONDS):
            await connection.notify(method, params)

    with scope:
        await peer.backlog.run(send)


def _input_schema(tool: str) -> dict[str, Any] | None:
    entry = TOOLS.get(tool)
    return None if entry is None else entry.tool.input_schema


async def _refuse(_ctx: Context, _params: Any) -> Any:
    raise MCPError(METHOD_NOT_FOUND, "Method not found")


def _user(ctx: Context) -> AuthenticatedUser:
    user: object = ctx.request.scope.get("user") if ctx.request is not None else None
    if not isinstance(user, AuthenticatedUser):
        raise MCPError(INVALID_REQUEST, "the caller is unknown")
    return user


def _connection(ctx: Context) -> Connection:
    """The SDK tells a session's end only to its connection, and gives that to no handler."""
    return ctx.session._connection  # pyright: ignore[reportPrivateUsage]
