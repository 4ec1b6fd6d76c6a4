"""Combines the SDK's parts for Streamable HTTP: both protocol eras at one address."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import anyio
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.routes import (
    build_resource_metadata_url,
    create_protected_resource_routes,
)
from mcp.server.streamable_http_manager import (
    RequestBodyLimitMiddleware,
    StreamableHTTPASGIApp,
    StreamableHTTPSessionManager,
)
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp

from rover_mcp.config.http import ALL_SCOPES, HttpSettings
from rover_mcp.config.http_tokens import Tokens
from rover_mcp.server.app import App
from rover_mcp.server.http.middleware import (
    ConnectionLimit,
    HostOriginCheck,
    ScopeCheck,
    UserLimits,
)
from rover_mcp.server.http.sessions import Users
from rover_mcp.server.tool_call import Services
from rover_mcp.tasks.caller import Caller

PATH: Final = "/mcp"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
GRACE_SECONDS: Final = 2.0
"""How long calls may take when the server is asked to end. Streams end at once."""


@dataclass
class HttpEndpoint:
    """What serves requests, and how to end it: `app` is an ASGI application."""

    app: ASGIApp
    users: Users
    limits: UserLimits

    async def finish(self) -> None:
        """Accept no more requests, end listen streams with their last frame, and wait for calls to
        end."""
        self.limits.closing = True
        self.users.close_streams()
        with anyio.move_on_after(GRACE_SECONDS):
            await self.limits.wait_for_none()


class _Verifier:
    """The SDK's TokenVerifier. It passes on the token's digest, never the token."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        grant = self._tokens.find(token)
        if grant is None:
            return None
        return AccessToken(
            token=grant.digest,
            client_id=grant.name,
            scopes=list(grant.scopes),
            subject=grant.name,
        )


@asynccontextmanager
async def serving(
    app: App,
    services: Services,
    settings: HttpSettings,
    tokens: Tokens,
    url: str,
    caller_of: Callable[[str], Caller],
    connections: Callable[[], int],
) -> AsyncGenerator[HttpEndpoint]:
    """An endpoint for the address `url`. When the block is left, its sessions end. `connections`
    counts the open connections."""
    async with anyio.create_task_group() as group:
        users = Users(app, services, caller_of, group)
        manager = StreamableHTTPSessionManager(
            users.server(),
            max_request_body_size=settings.max_body_bytes,
            session_idle_timeout=settings.session_idle,
            # Each user has a limit of their own; this one is for many users at once.
            # The SDK's limit is for all users together and is there to protect memory.
            max_sessions=settings.max_sessions * 16,
        )
        metadata_url = str(build_resource_metadata_url(AnyHttpUrl(url)))
        scoped = ScopeCheck(StreamableHTTPASGIApp(manager), metadata_url)
        limits = UserLimits(
            RequestBodyLimitMiddleware(scoped, settings.max_body_bytes),
            max_requests=settings.max_requests,
            max_sessions=settings.max_sessions,
            sessions=lambda user: _sessions_of(manager, user),
            holds=tokens.hold,
        )
        endpoint = _starlette(limits, settings, tokens, url)
        try:
            async with manager.run():
                yield HttpEndpoint(
                    ConnectionLimit(endpoint, connections, settings.max_connections), users, limits
                )
        finally:
            users.close()
            group.cancel_scope.cancel()


def _starlette(limits: UserLimits, settings: HttpSettings, tokens: Tokens, url: str) -> Starlette:
    address = AnyHttpUrl(url)
    guarded = RequireAuthMiddleware(limits, ["read"], build_resource_metadata_url(address))
    backend = BearerAuthBackend(_Verifier(tokens))
    return Starlette(
        routes=[
            # As an object, it gets every method.
            Route(PATH, endpoint=guarded),
            *_metadata(address, settings.issuer),
        ],
        middleware=[
            # First, so that a page in a browser cannot even learn whether a token would be accepted
            # (DNS rebinding).
            Middleware(HostOriginCheck, settings=security(settings, url)),
            Middleware(AuthenticationMiddleware, backend=backend),
        ],
    )


def security(settings: HttpSettings, url: str) -> TransportSecuritySettings:
    """The accepted values of Host and Origin: loopback, the endpoint's own address, and what is
    configured."""
    own = urlsplit(url)
    hosts = [f"{name}:*" for name in _LOOPBACK] + list(_LOOPBACK)
    origins = [f"http://{name}:*" for name in _LOOPBACK] + [f"http://{n}" for n in _LOOPBACK]
    return TransportSecuritySettings(
        allowed_hosts=[*hosts, own.netloc, *settings.allowed_hosts],
        allowed_origins=[*origins, f"{own.scheme}://{own.netloc}", *settings.allowed_origins],
    )


def _metadata(url: AnyHttpUrl, issuer: str | None) -> list[Route]:
    """The document of RFC 9728. MCP requires that it names an authorization server: without a
    configured issuer that is this server, whose tokens `rover token` creates."""
    own = urlsplit(str(url))
    servers = [AnyHttpUrl(issuer or f"{own.scheme}://{own.netloc}")]
    return create_protected_resource_routes(url, servers, list(ALL_SCOPES), resource_name="Rover")


def _sessions_of(manager: StreamableHTTPSessionManager, user: str) -> int:
    """How many sessions a user has. The SDK limits only their total number, and keeps it to itself
    whose each is."""
    owners = manager._session_owners.values()  # pyright: ignore[reportPrivateUsage]
    return sum(owner["client_id"] == user for owner in owners)
