"""The gateway's HTTP client to providers: httpx2, which reads every answer with h11."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from rover_mcp.config.certificate_authorities import outgoing_context

KEPT_CONNECTIONS = 20
FAILURES = (httpx2.TransportError,)
"""What can go wrong on the way to a provider and back."""

SILENCE = 900.0
"""Seconds. An answer that does not stream may take as long as the model thinks."""

# No limit for the complete answer: a stream may go on for as long as the model writes.
TIMEOUTS = httpx2.Timeout(connect=15, read=SILENCE, write=120, pool=15)
DECODED = ("gzip", "deflate")


def provider_client() -> httpx2.AsyncClient:
    """A client for all providers. It keeps connections, but no cookies."""
    return httpx2.AsyncClient(
        timeout=TIMEOUTS,
        # One client serves every sandbox: a cookie would make one task's session another's.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        verify=outgoing_context(httpx2.create_ssl_context),
        limits=httpx2.Limits(
            # Each sandbox has a limit of its own (gateway.MAX_CONNECTIONS). A limit here would let
            # one task's long streams hold up the calls of all others.
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS,
            # A new TLS connection costs several round trips before the first byte.
            keepalive_expiry=None,
        ),
    )


def encoding_of(response: httpx2.Response) -> str:
    """How an answer's body is encoded; "" if it is not."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


async def parts(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """An answer's body as it comes. One that is encoded, although the request did not allow that,
    is decoded: otherwise nothing in it could be read or masked.

    Raises:
        one of FAILURES
    """
    encoding = encoding_of(response)
    if encoding and encoding not in DECODED:
        raise httpx2.RemoteProtocolError(f"the answer is encoded as {encoding[:40]}")
    try:
        async for data in response.aiter_bytes() if encoding else response.aiter_raw():
            yield data
    except httpx2.DecodingError as error:
        raise httpx2.RemoteProtocolError("the answer cannot be decoded") from error
