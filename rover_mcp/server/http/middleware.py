"""Checks before the SDK handles a request: host and origin, how many at a time, and for whom."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any, Final, cast

import anyio
import anyio.lowlevel
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rover_mcp.server.http.sessions import may_call

RETRY_SECONDS: Final = {429: 2, 503: 5}


def refusal(status: int, error: str, **headers: str) -> JSONResponse:
    """A refusal that is not a JSON-RPC message; it says how long to wait where waiting helps."""
    if status in RETRY_SECONDS:
        headers["Retry-After"] = str(RETRY_SECONDS[status])
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"error": error}, status, named)


# A page in a browser can send requests to 127.0.0.1 under a name that its owner controls.
class HostOriginCheck:
    """Checks Host and Origin before anything else, even before authentication."""

    def __init__(self, app: ASGIApp, settings: TransportSecuritySettings) -> None:
        self._app = app
        self._security = TransportSecurityMiddleware(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refused = await self._security.validate_request(Request(scope, receive))
        await (refused or self._app)(scope, receive, send)


class ConnectionLimit:
    """Asks clients to come back later while there are too many connections."""

    def __init__(self, app: ASGIApp, connections: Callable[[], int], most: int) -> None:
        self._app = app
        self._connections = connections
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._connections() > self._most:
            # Closed, or the connection that was refused would count against the limit until it
            # times out.
            full = refusal(503, "there are too many connections", Connection="close")
            await full(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class UserLimits:
    """Limits the requests and sessions that a user has at a time, and checks that the token is
    still valid. `sessions` counts a user's sessions; `holds` says whether the token with this
    digest is still valid."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_requests: int,
        max_sessions: int,
        sessions: Callable[[str], int],
        holds: Callable[[str], bool],
    ) -> None:
        self._app = app
        self._max_requests = max_requests
        self._max_sessions = max_sessions
        self._sessions = sessions
        self._holds = holds
        self._open: Counter[str] = Counter()
        self._none_left = anyio.Event()
        self.closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user: AuthenticatedUser = scope["user"]
        if (refused := self._refused(scope, user.display_name)) is not None:
            await refused(scope, receive, send)
            return
        # Counted by user and not by address: several users may be behind one proxy.
        self._open[user.display_name] += 1
        try:
            await self._answer(scope, receive, send, user.access_token.token)
        finally:
            self._open[user.display_name] -= 1
            if not +self._open:
                self._none_left.set()

    async def wait_for_none(self) -> None:
        """Wait until no request is being answered."""
        while +self._open:
            self._none_left = anyio.Event()
            await self._none_left.wait()

    def _refused(self, scope: Scope, user: str) -> JSONResponse | None:
        if self.closing:
            return refusal(503, "the server is ending", Connection="close")
        if self._open[user] >= self._max_requests:
            return refusal(429, f"you have {self._max_requests} requests open")
        if _opens_session(scope) and self._sessions(user) >= self._max_sessions:
            return refusal(429, f"you have {self._max_sessions} sessions open")
        return None

    async def _answer(self, scope: Scope, receive: Receive, send: Send, digest: str) -> None:
        """Answer a request. A stream whose token is revoked while it is open ends with its next
        frame."""
        with anyio.CancelScope() as answering:

            async def send_while_held(message: Message) -> None:
                if not self._holds(digest):
                    answering.cancel()
                    await anyio.lowlevel.checkpoint()
                await send(_with_retry(message))

            await self._app(scope, receive, send_while_held)


def _opens_session(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
    legacy = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
    return scope["method"] == "POST" and legacy and MCP_SESSION_ID_HEADER not in headers


def _with_retry(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add how long to wait to the SDK's answer that it is full, which leaves that out."""
    if message["type"] == "http.response.start" and message["status"] in RETRY_SECONDS:
        retry = (b"retry-after", str(RETRY_SECONDS[message["status"]]).encode())
        return {**message, "headers": [*message.get("headers", ()), retry]}
    return message


class ScopeCheck:
    """Answers a call for which the token lacks a scope with HTTP's own 403, as OAuth requires. The
    rule itself is enforced where the call is dispatched; this only gives it its status. The body is
    complete here and within its limit."""

    def __init__(self, app: ASGIApp, metadata_url: str) -> None:
        self._app = app
        self._metadata_url = metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user: AuthenticatedUser = scope["user"]
        if "write" in user.scopes or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        message = await receive()
        if message["type"] == "http.request" and not _allowed(message["body"], user.scopes):
            challenge = (
                'Bearer error="insufficient_scope", error_description="Required scope: write", '
                f'scope="read write", resource_metadata="{self._metadata_url}"'
            )
            refused = refusal(403, "this token lacks the scope write", WWW_Authenticate=challenge)
            await refused(scope, receive, send)
            return
        pending = [message]

        async def again() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, again, send)


def _allowed(body: bytes, scopes: list[str]) -> bool:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return True
    if not isinstance(parsed, dict):
        return True
    message = cast("dict[str, object]", parsed)
    params = message.get("params")
    name = cast("dict[str, object]", params).get("name") if isinstance(params, dict) else None
    return may_call(message.get("method"), name, frozenset(scopes))
