"""GET over https: addresses judged, redirects followed one by one, everything with a limit."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpcore2

from rover_mcp import __version__
from rover_mcp.config.certificate_authorities import outgoing_context
from rover_mcp.domain.network_policy import HTTPS, BadHost, parse_host
from rover_mcp.domain.text import visible_line
from rover_mcp.gateway.dialer import InternetDialer
from rover_mcp.gateway.internet import Streams
from rover_mcp.gateway.policy import Destination, HostVerdict

MAX_REDIRECTS: Final = 5
SECONDS: Final = 30.0
"""For one address with all its redirects, from the first lookup to the last byte."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_READ: Final = 64 * 1024


class FetchFailed(Exception):
    """An address could not be fetched, or was not allowed to be; the text says why."""


@dataclass(frozen=True)
class Fetched:
    """An answer: where it came from in the end, its status, its headers (names in lower case), its
    body."""

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """Fetches for one call. Not kept: it has no connections of its own between two fetches."""

    def __init__(self, dialer: InternetDialer, tls: ssl.SSLContext | None = None) -> None:
        self._dialer = dialer
        self._tls = tls or outgoing_context()

    async def get(
        self, address: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """Fetch an https address. `headers` go to its own host only, never along a redirect.

        Raises:
            FetchFailed: no answer within the time, more than `limit` bytes, an address that may
                not be reached, or too many redirects.
        """
        try:
            # Around everything, since limits on single reads would let a server answer a byte at a
            # time.
            async with asyncio.timeout(SECONDS):
                return await self._follow(address, limit, headers or {})
        except TimeoutError:
            raise FetchFailed(f"no complete answer within {SECONDS:g} s") from None
        except (OSError, httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            raise FetchFailed(_reason(error)) from error
        except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
            raise FetchFailed(f"the answer is not valid HTTP: {_reason(error)}") from error

    async def _follow(self, address: str, limit: int, headers: Mapping[str, str]) -> Fetched:
        start = urlsplit(address)
        for _ in range(MAX_REDIRECTS + 1):
            to = _destination(address)
            # The token of one host must not reach another one, however the first redirects.
            same = urlsplit(address).netloc.lower() == start.netloc.lower()
            # Each address of the chain is judged on its own, because a public page may redirect to
            # a private address.
            fetched = await self._once(address, to, limit, headers if same else {})
            location = fetched.headers.get("location")
            if fetched.status not in _REDIRECTS or location is None:
                return fetched
            address = urljoin(address, location)
        raise FetchFailed(f"more than {MAX_REDIRECTS} redirects")

    async def _once(
        self, address: str, to: Destination, limit: int, headers: Mapping[str, str]
    ) -> Fetched:
        # One connection for one request: a connection that is kept would have been judged for
        # another request. Compressed answers are not asked for, since a small one may become
        # large.
        request_headers = {
            "host": to.host.at(to.port).removesuffix(f":{HTTPS}"),
            "user-agent": f"rover/{__version__}",
            "accept": "*/*",
            "accept-encoding": "identity",
            **headers,
        }
        backend = _Backend(self._dialer, to)
        async with (
            httpcore2.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=backend, http2=False
            ) as pool,
            pool.stream("GET", address, headers=list(request_headers.items())) as response,
        ):
            answered = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            if response.status in _REDIRECTS and "location" in answered:
                return Fetched(address, response.status, answered, b"")
            if answered.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("the answer is compressed, which was not asked for")
            return Fetched(address, response.status, answered, await _body(response, limit))


async def _body(response: httpcore2.Response, limit: int) -> bytes:
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        # Counted as it arrives: the length in a header is what the server says.
        if len(body) > limit:
            raise FetchFailed(f"the answer is larger than {limit:,} bytes")
    return bytes(body)


def _destination(address: str) -> Destination:
    try:
        parts = urlsplit(address)
        if parts.scheme != "https":
            raise BadHost("a redirect leads away from https")
        # `https://github.com@evil.example` looks like the one and is the other.
        if "@" in parts.netloc:
            raise BadHost("the address contains a user name")
        return Destination(parse_host(parts.hostname or ""), parts.port or HTTPS)
    except ValueError as error:
        raise FetchFailed(f"{visible_line(address[:120])}: {error}") from None


def _reason(error: Exception) -> str:
    # Without the number that str() puts before the words of the system.
    words = error.strerror if isinstance(error, OSError) else None
    text = words or str(error) or type(error).__name__
    return visible_line(text[:200])


class _Backend(httpcore2.AsyncNetworkBackend):
    """Connects to one destination, by way of the judgement of its addresses."""

    def __init__(self, dialer: InternetDialer, to: Destination) -> None:
        self._dialer = dialer
        self._to = to

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        # `host` is not used: the destination was parsed by Rover's own rules, and httpcore's
        # reading of the address could differ from them.
        opened = await self._dialer.connect(self._to)
        if isinstance(opened, HostVerdict):
            remedy = f"; to allow it: {opened.remedy}" if opened.remedy else ""
            raise FetchFailed(f"{opened.reason}{remedy}")
        return _Stream(opened)


class _Stream(httpcore2.AsyncNetworkStream):
    """asyncio's streams as httpcore uses them. The time limit is the fetch's, not one read's."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
    ) -> bytes:
        return await self._reader.read(min(max_bytes, _READ))

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
    ) -> None:
        self._writer.write(buffer)
        await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
    ) -> httpcore2.AsyncNetworkStream:
        await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        return None
