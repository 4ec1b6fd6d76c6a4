"""One plain http request to an allowed host, without a body, and its answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

import h11

from rover_mcp.domain.network_policy import HTTP
from rover_mcp.gateway.http_server import Exchange
from rover_mcp.gateway.internet import Streams
from rover_mcp.gateway.policy import Destination
from rover_mcp.gateway.tunnel import Allowance, Sends

READ_BYTES = 64 * 1024
MAX_HEAD = 64 * 1024

_HOP_BY_HOP = re.compile(
    rb"connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|host|content-length"
)
# What a request could carry of anybody's log-in.
_CREDENTIALS = re.compile(rb"authorization|cookie2?|x-api-key|x-goog-api-key|api-key")
_NOT_BACK = re.compile(rb"connection|keep-alive|te|trailer|upgrade|proxy-.*|transfer-encoding")


async def fetch(
    exchange: Exchange,
    there: Streams,
    to: Destination,
    allowance: Allowance,
    sends: Sends,
    idle: float,
    token: str,
) -> None:
    """Ask `there` what the exchange asks, and pass the answer back.

    Raises:
        OSError, TimeoutError, AllowanceSpent, UploadsSpent: it was cut.
    """
    reader, writer = there
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    host = to.host.at(to.port).removesuffix(f":{HTTP}")
    headers = [
        (b"host", host.encode()),
        *passed_on(exchange.headers, token),
        (b"connection", b"close"),
    ]
    request = h11.Request(method=exchange.method, target=to.path, headers=headers)
    asked = (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")
    await sends(len(asked))
    writer.write(asked)
    try:
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(idle):
                    data = await reader.read(READ_BYTES)
                allowance.take(len(data))
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                await exchange.start(event.status_code, passed_back(event.headers))
            elif isinstance(event, h11.Data):
                await exchange.send(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                await exchange.finish()
                return
            elif not isinstance(event, h11.InformationalResponse):
                raise ConnectionResetError(f"{to} ended the connection")
    except h11.RemoteProtocolError as error:
        raise ConnectionResetError(f"{to} does not speak HTTP") from error


def _named_in_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    values = [value for name, value in headers if name == b"connection"]
    return {part.strip().lower() for value in values for part in value.split(b",")}


def passed_on(headers: list[tuple[bytes, bytes]], token: str) -> list[tuple[bytes, bytes]]:
    """What goes out: nothing of this connection's, no log-in, and the token nowhere."""
    hops = _named_in_connection(headers)
    return [
        (name, value)
        for name, value in headers
        if name not in hops
        and not _HOP_BY_HOP.fullmatch(name)
        and not _CREDENTIALS.fullmatch(name)
        and token.encode() not in value
    ]


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What comes back: all but what was the other connection's."""
    given = [(bytes(name), bytes(value)) for name, value in headers]
    hops = _named_in_connection(given)
    return [(n, v) for n, v in given if n not in hops and not _NOT_BACK.fullmatch(n)]
