"""Asks a service that speaks a provider's API, and is not that provider, which models it serves.

Its answer is untrusted: only well-formed names are taken, and a limited number of them.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, cast

import httpx2

from rover_mcp.gateway import request_body
from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import Provider
from rover_mcp.gateway.routes import request_headers
from rover_mcp.gateway.transport import FAILURES, parts

PATHS: Final = {"anthropic": "/v1/models", "openai": "/models"}
"""Beneath the base URL, by the provider whose API is spoken."""
MOST_BYTES: Final = 4 * 1024**2
MOST_NAMES: Final = 1000
SECONDS: Final = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,79}")
_HEADERS = [(b"accept", b"application/json"), (b"anthropic-version", b"2023-06-01")]


async def served_models(
    client: httpx2.AsyncClient, provider: Provider, access: ProviderAccess
) -> tuple[str, ...]:
    """Their names, in the service's order; none if it does not list them.

    Only the address to which the credential belongs is asked: redirects are not followed.
    """
    path = PATHS.get(provider.name)
    if path is None or access.passthrough:
        return ()
    headers = request_headers(provider, _HEADERS, access, "")
    url = access.base_url.rstrip("/") + path
    try:
        async with asyncio.timeout(SECONDS):
            request = client.build_request("GET", url, headers=headers)
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                content = await _content(response)
            finally:
                await response.aclose()
    except (*FAILURES, httpx2.InvalidURL, TimeoutError):
        return ()
    # A service can put anything into a name, the credential that it was sent included.
    secret = access.header_value.rpartition(" ")[2]
    return tuple(name for name in names_in(content) if not secret or secret not in name)


def names_in(content: bytes) -> tuple[str, ...]:
    """The names in a list of models, as Anthropic and OpenAI write it. Pure."""
    try:
        listed: object = request_body.parse(content).get("data")
    except request_body.BadBody:
        return ()
    entries = cast("list[Any]", listed)[:MOST_NAMES] if isinstance(listed, list) else []
    ids = (cast("dict[str, Any]", e).get("id") for e in entries if isinstance(e, dict))
    names = (name for name in ids if isinstance(name, str) and _NAME.fullmatch(name))
    return tuple(dict.fromkeys(names))


async def _content(response: httpx2.Response) -> bytes:
    """Read the answer; empty if it failed or is too long."""
    content = bytearray()
    if response.status_code != 200:
        return b""
    async for part in parts(response):
        content += part
        if len(content) > MOST_BYTES:
            return b""
    return bytes(content)
