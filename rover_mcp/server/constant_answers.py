"""What stays the same for as long as a client is connected: how long answers may be cached, and the
icon, which is sent only once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp_types import SERVER_INFO_META_KEY, DiscoverResult, RequestParams, ServerCapabilities

KEPT_MS: Final = 3_600_000
"""One hour: only another version of Rover changes these answers."""
CACHE_HINTS: Final[Mapping[CacheableMethod, CacheHint]] = {
    "server/discover": CacheHint(KEPT_MS),
    "tools/list": CacheHint(KEPT_MS),
    "prompts/list": CacheHint(KEPT_MS),
    "resources/templates/list": CacheHint(KEPT_MS),
}
"""Private, because the tools depend on how the user started the server. Tasks change at any time,
so whatever lists or shows them has no hint."""


class NamedServer(Server[Any]):
    """A server whose results carry its name and version, and whose icon is in the first answer
    alone: `initialize` has it anyway, `server/discover` since `show_icon`.

    `experimental` are capabilities that both of these declare.
    """

    experimental: Mapping[str, dict[str, Any]] = {}

    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> ServerCapabilities:
        return super().get_capabilities(
            notification_options,
            {**self.experimental, **(experimental_capabilities or {})} or None,
            extensions,
            protocol_version=protocol_version,
        )

    @property
    def server_info_stamp(self) -> dict[str, Any]:
        stamp = super().server_info_stamp
        # The stamp is in every result, and the icon is larger than most of them.
        stamp.pop("icons", None)
        return stamp


def show_icon(server: Server[Any]) -> None:
    """Make `server/discover` answer with all that the server says about itself."""
    entry = server.get_request_handler("server/discover")
    if entry is None:
        return
    info = server.server_info.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def discover(
        ctx: ServerRequestContext[Any, Any], params: RequestParams
    ) -> DiscoverResult:
        result = cast("DiscoverResult", await entry.handler(ctx, params))
        return result.model_copy(
            update={"meta": {**(result.meta or {}), SERVER_INFO_META_KEY: info}}
        )

    server.add_request_handler("server/discover", RequestParams, discover)
