"""The HTTP client of the gateway: httpx2 over httpcore2 over our own connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import Any, cast

import httpcore2
import httpx2

from rover_mcp.gateway.wire import Part, ProviderBackend, ProviderStream

KEPT_CONNECTIONS = 20
FAILURES = (
    httpx2.TransportError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)
"""What can go wrong on the way to a provider and back."""


DECODED = ("gzip", "deflate")


def encoding_of(response: httpx2.Response) -> str:
    """How an answer's body is encoded; "" where it is not."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


class ProviderTransport(httpx2.AsyncBaseTransport):
    """For a machine that reaches providers without a proxy of its own."""

    def __init__(self) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS,
            network_backend=ProviderBackend(),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        response = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=cast(dict[str, Any], response.extensions),  # pyright: ignore[reportUnknownMemberType]
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in cast(AsyncIterable[bytes], self._response.stream):
            yield part

    async def aclose(self) -> None:
        await self._response.aclose()


async def parts(response: httpx2.Response, timeout: float | None) -> AsyncGenerator[Part]:  # noqa: ASYNC109  # of each wait
    """An answer's body as it comes. One that is encoded, though that was not asked for, is decoded:
    nothing could be read, or taken out of it, else.

    Raises:
        one of FAILURES
    """
    if encoding := encoding_of(response):
        if encoding not in DECODED:
            raise httpcore2.RemoteProtocolError(f"the answer is encoded as {encoding[:40]}")
        try:
            async for data in response.aiter_bytes():
                yield Part.of(data)
        except httpx2.DecodingError as error:
            raise httpcore2.RemoteProtocolError("the answer cannot be decoded") from error
        return
    stream = response.extensions.get("network_stream")
    chunked = response.headers.get("transfer-encoding", "").strip().lower() == "chunked"
    if chunked and isinstance(stream, ProviderStream) and stream.at_body:
        async for part in stream.chunks(timeout):
            yield part
    # All of it, or what is left: the last chunk, and what is no plain chunk.
    async for data in response.aiter_raw():
        yield Part.of(data)
