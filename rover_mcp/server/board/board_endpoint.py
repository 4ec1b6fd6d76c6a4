"""The board's HTTP endpoint: the page, the stream of rows, and the calls that a row offers.

The page holds nothing of any task: everything else needs the token, which the page takes from its
address' fragment, which browsers do not send, and puts into a header, which no other page can.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final, Literal

import anyio
import anyio.to_thread
from mcp.server.streamable_http_manager import RequestBodyLimitMiddleware
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rover_mcp.config.http_tokens import digest_of
from rover_mcp.domain.errors import RoverError
from rover_mcp.server import results as r
from rover_mcp.server.argument_errors import bad_arguments
from rover_mcp.server.board.board_page import board_page
from rover_mcp.server.board.row_stream import MOST_STREAMS, RowStreams
from rover_mcp.server.http.middleware import ConnectionLimit, HostOriginCheck, refusal
from rover_mcp.server.session import ClientSession
from rover_mcp.server.tool_call import Call, Services
from rover_mcp.server.tools import TOOLS
from rover_mcp.tasks.caller import Caller

MAX_BODY_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 64
HEADERS: Final = (
    (b"content-security-policy", b"frame-ancestors 'none'; require-trusted-types-for 'script'"),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""Of every answer. The rest of the page's policy, with its hashes, is in the page."""


class _BoardBody(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BoardCall(_BoardBody):
    """A call that a row offers. The tool's own model checks the arguments."""

    tool: Literal["resume_task", "pause_task", "iterate_task", "merge_task"]
    arguments: dict[str, Any]


class BoardSeen(_BoardBody):
    """A task whose end, at this time in seconds since 1970, was seen."""

    task: str = Field(pattern=r"^[0-9a-f]{32}$")
    ended_at: float = Field(ge=0, allow_inf_nan=False)


class BoardEndpoint:
    """What serves the board at `authority`, a host with its port; `app` is an ASGI application.
    `digest` is the SHA-256 of the token. `connections` counts the open connections."""

    def __init__(
        self,
        services: Services,
        caller: Caller,
        digest: str,
        authority: str,
        connections: Callable[[], int],
    ) -> None:
        self._services = services
        self._session = ClientSession(caller, lambda _method, _params: None)
        self.streams = RowStreams(services.tasks, services.broadcaster.bus_of(caller))
        routes = Starlette(
            routes=[
                Route("/api/rows", self._rows),
                Route("/api/call", self._call, methods=["POST"]),
                Route("/api/seen", self._seen, methods=["POST"]),
                Route("/", _page),
            ],
            middleware=[Middleware(_TokenCheck, digest=digest)],
        )
        limited = RequestBodyLimitMiddleware(routes, MAX_BODY_BYTES)
        counted = ConnectionLimit(limited, connections, MAX_CONNECTIONS)
        self.app: ASGIApp = _Headers(HostOriginCheck(counted, _only(authority)))

    async def _rows(self, _request: Request) -> Response:
        """All rows, then each row that changes, as server-sent events."""
        if self.streams.open >= MOST_STREAMS:
            return refusal(429, f"the board is open {MOST_STREAMS} times")
        return StreamingResponse(self.streams.stream(), media_type="text/event-stream")

    async def _call(self, request: Request) -> Response:
        try:
            given = BoardCall.model_validate_json(await request.body())
        except ValidationError:
            return refusal(400, "this is not a call that the board makes")
        entry = TOOLS[given.tool]
        self._services.touch()
        call = Call(self._session, self._services, _no_progress, wants_progress=False)
        try:
            arguments = entry.arguments.model_validate(given.arguments)
            return JSONResponse(_answer(await entry.handler(call, arguments)))
        except ValidationError as error:
            return _error(bad_arguments(error, entry, given.arguments))
        except RoverError as error:
            return _error(error)

    async def _seen(self, request: Request) -> Response:
        try:
            seen = BoardSeen.model_validate_json(await request.body())
        except ValidationError:
            return refusal(400, "this is not the end of a task")
        store = self._services.tasks.store
        if await anyio.to_thread.run_sync(store.tasks.get, seen.task) is None:
            return refusal(404, "there is no such task")
        await anyio.to_thread.run_sync(store.seen.mark, seen.task, seen.ended_at)
        self.streams.changed(seen.task)
        return JSONResponse({})


async def _page(_request: Request) -> Response:
    return HTMLResponse(board_page())


async def _no_progress(_count: float, _message: str) -> None:
    """A page shows the row instead."""


def _answer(result: r.Result) -> dict[str, Any]:
    """What a call came to, and for a preview the arguments that do what it shows."""
    if isinstance(result, r.MergeResult):
        confirm = next((a.arguments for a in result.next_actions if a.tool == "merge_task"), None)
        message = {"subject": result.commit_message or ""}
        return {"message": result.message, **message, "confirm": confirm}
    if isinstance(result, r.TaskResult):
        task = result.task
        return {"message": f"Task {task.number} is {task.status}: {task.phase}"}
    return {"message": ""}


def _error(error: RoverError) -> JSONResponse:
    return JSONResponse({"message": error.message, "hint": error.hint}, 409)


def _only(authority: str) -> TransportSecuritySettings:
    """Host and Origin have to be the address that was printed, and no other name of it: a name that
    leads here can belong to anybody."""
    return TransportSecuritySettings(
        allowed_hosts=[authority], allowed_origins=[f"http://{authority}"]
    )


class _TokenCheck:
    """Lets only the holder of the token do more than load the page."""

    def __init__(self, app: ASGIApp, digest: str) -> None:
        self._app = app
        self._digest = digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/" or self._is_holder(Request(scope)):
            await self._app(scope, receive, send)
            return
        refused = refusal(401, "the token is missing or not valid any more: run `rover board`")
        await refused(scope, receive, send)

    def _is_holder(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(digest_of(token), self._digest)


class _Headers:
    """Adds HEADERS to every answer, refusals among them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
