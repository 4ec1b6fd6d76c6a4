"""The gateway as a proxy: CONNECT and plain http to the hosts that a task's policy allows.

Names are judged before they are looked up (policy.py), and addresses before they are connected to
(dialer.py).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import NoReturn

import h11

from rover_mcp.domain.network_policy import HTTP, BadHost
from rover_mcp.gateway.dialer import InternetDialer
from rover_mcp.gateway.grant import GatewayGrant
from rover_mcp.gateway.http_server import Exchange
from rover_mcp.gateway.internet import Network, Streams
from rover_mcp.gateway.policy import (
    MAX_SHOWN,
    Destination,
    HostVerdict,
    destination,
    judge,
)
from rover_mcp.gateway.refusals import RefusedHost
from rover_mcp.gateway.tunnel import (
    Allowance,
    AllowanceSpent,
    ClientHello,
    Sends,
    WrongServerName,
    relay,
)
from rover_mcp.gateway.uploads import Uploads, UploadsSpent

USER = "rover"
MAX_TUNNELS = 96
"""Tunnels at a time, and at most three quarters of the sandbox's connections: an agent whose
downloads used them all could not call its model any more."""
MAX_BYTES = 50 * 1024**3
"""In both directions together, in one attempt."""
IDLE_SECONDS = 300.0
_MAX_REASON = 200
READ_BYTES = 64 * 1024
MAX_HEAD = 64 * 1024
_HOP_BY_HOP = re.compile(
    rb"connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|host|content-length"
)
# Where a request could carry a login.
_CREDENTIALS = re.compile(rb"authorization|cookie2?|x-api-key|x-goog-api-key|api-key")
_NOT_BACK = re.compile(rb"connection|keep-alive|te|trailer|upgrade|proxy-.*|transfer-encoding")


class EgressProxy:
    """The proxy of one grant. `refused` is called for each request that is refused."""

    def __init__(
        self,
        grant: GatewayGrant,
        network: Network,
        refused: Callable[[Exchange, RefusedHost], None],
        connections: int = MAX_TUNNELS * 4 // 3,
    ) -> None:
        self._grant = grant
        self._refused = refused
        self._allowance = Allowance(MAX_BYTES)
        write = partial(grant.on_sent, grant.task_id)
        self._uploads = Uploads(grant.network.upload_bytes, grant.sent, write)
        self._idle = IDLE_SECONDS
        self._open = 0
        self._connections = connections
        self._dialer = InternetDialer(network, grant.upstream_proxy, grant.own_hosts)

    @property
    def _most(self) -> int:
        return min(MAX_TUNNELS, self._connections * 3 // 4)

    async def handle(self, exchange: Exchange) -> None:
        """Pass a request for another host on, or refuse it."""
        if not has_proxy_token(exchange.header(b"proxy-authorization"), self._grant.token):
            await self._demand_token(exchange)
            return
        try:
            to = destination(exchange.method, exchange.target)
        except BadHost as error:
            await self._refuse(exchange, exchange.target[:MAX_SHOWN], HostVerdict(str(error)))
            return
        verdict = judge(self._grant.network, exchange.method, to, self._grant.own_hosts)
        if verdict.allowed and exchange.has_body:
            verdict = HostVerdict("a request with a body is not passed on like this")
        if verdict.allowed and self._allowance.left <= 0:
            verdict = HostVerdict("this attempt has sent and fetched as much as it may")
        if verdict.allowed and await self._uploads.left(to.host.name) <= 0:
            verdict = self._all_sent(to)
        if not verdict.allowed:
            await self._refuse(exchange, str(to), verdict)
        elif self._open >= self._most:
            await answer(exchange, 503, f"{self._most} connections are open already")
        else:
            await self._pass(exchange, to)

    async def _pass(self, exchange: Exchange, to: Destination) -> None:
        self._open += 1
        there: Streams | None = None
        try:
            opened = await self._dialer.connect(to)
            if isinstance(opened, HostVerdict):
                await self._refuse(exchange, str(to), opened)
                return
            there = opened
            sends = partial(self._uploads.take, to.host.name)
            if to.plain:
                token = self._grant.token
                await fetch(exchange, there, to, self._allowance, sends, self._idle, token)
            else:
                early, reader, writer = await exchange.tunnel()
                client_hello = ClientHello(None if to.host.address else to.host.name)
                here = reader, writer
                await relay(early, here, there, client_hello, self._allowance, sends, self._idle)
        except OSError as error:
            if exchange.answered:
                raise
            await answer(exchange, 502, _told(to, error))
        except AllowanceSpent:
            spent = HostVerdict("this attempt has sent and fetched as much as it may")
            self._cut(exchange, to, spent)
        except UploadsSpent:
            self._cut(exchange, to, self._all_sent(to))
        except WrongServerName as error:
            self._cut(exchange, to, HostVerdict(str(error)))
        finally:
            self._open -= 1
            if there is not None:
                there[1].close()

    async def aclose(self) -> None:
        """Record exactly how much was sent."""
        await self._uploads.flush()

    def _all_sent(self, to: Destination) -> HostVerdict:
        most = self._grant.network.upload_bytes
        return HostVerdict(
            f"this task has sent {to.host.name} as much as it may: {most:,} bytes",
            "network.upload_bytes of config.yaml, then resume",
        )

    def _cut(self, exchange: Exchange, to: Destination, why: HostVerdict) -> NoReturn:
        self._refused(exchange, RefusedHost(str(to), why.reason, why.remedy))
        raise ConnectionResetError(why.reason) from None

    async def _refuse(self, exchange: Exchange, host: str, verdict: HostVerdict) -> None:
        self._refused(exchange, RefusedHost(host, verdict.reason, verdict.remedy))
        remedy = f"; to allow it: {verdict.remedy}" if verdict.remedy else ""
        await answer(exchange, 403, f"{verdict.reason}{remedy}")

    async def _demand_token(self, exchange: Exchange) -> None:
        realm = (b"proxy-authenticate", b'Basic realm="rover"')
        await answer(exchange, 407, "the request does not carry this sandbox's token", realm)


def _told(to: Destination, error: OSError) -> str:
    return f"{to} cannot be reached: {error.strerror or str(error) or type(error).__name__}"


def has_proxy_token(header: bytes, token: str) -> bool:
    """Whether `Proxy-Authorization` is Basic rover:TOKEN."""
    scheme, _, value = header.partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        given = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(given, f"{USER}:{token}".encode())


async def answer(
    exchange: Exchange, status: int, message: str, *headers: tuple[bytes, bytes]
) -> None:
    """An answer of the proxy's own. Most clients show no more than the status line of what a
    CONNECT is answered with, so the message stands there, too."""
    phrase = f"{HTTPStatus(status).phrase} (Rover: {message}"
    reason = phrase.encode("ascii", "replace")[:_MAX_REASON] + b")"
    kind = "permission_error" if status == 403 else "proxy_error"
    error = {"type": kind, "message": f"Rover refused this: {message}."}
    if status >= 500:
        error["message"] = f"Rover: {message}."
    await exchange.answer(status, {"error": error}, headers, reason)


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
    sent = _request_bytes(http, exchange, to, token)
    await sends(len(sent))
    writer.write(sent)
    try:
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                async with asyncio.timeout(idle):
                    data = await reader.read(READ_BYTES)
                allowance.take(len(data))
                http.receive_data(data)
            elif await _pass_back(exchange, event, to):
                return
    except h11.RemoteProtocolError as error:
        raise ConnectionResetError(f"{to} does not speak HTTP") from error


def _request_bytes(http: h11.Connection, exchange: Exchange, to: Destination, token: str) -> bytes:
    headers = [
        (b"host", to.host.at(to.port).removesuffix(f":{HTTP}").encode()),
        *passed_on(exchange.headers, token),
        # A connection of its own for each request: the next one may be for another host.
        (b"connection", b"close"),
    ]
    request = h11.Request(method=exchange.method, target=to.path, headers=headers)
    return (http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b"")


async def _pass_back(exchange: Exchange, event: object, to: Destination) -> bool:
    """Pass one part of the answer back. True if it was the last.

    Raises:
        ConnectionResetError: the host ended the connection before the end of its answer.
    """
    if isinstance(event, h11.Response):
        await exchange.start(event.status_code, passed_back(event.headers))
    elif isinstance(event, h11.Data):
        await exchange.send(bytes(event.data))
    elif isinstance(event, h11.EndOfMessage):
        await exchange.finish()
        return True
    elif not isinstance(event, h11.InformationalResponse):
        raise ConnectionResetError(f"{to} ended the connection")
    return False


def _named_in_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    values = [value for name, value in headers if name == b"connection"]
    return {part.strip().lower() for value in values for part in value.split(b",")}


def passed_on(headers: list[tuple[bytes, bytes]], token: str) -> list[tuple[bytes, bytes]]:
    """The headers that go out: none of this connection's, no login, and nowhere the token."""
    hops = _named_in_connection(headers)
    return [
        (name, value)
        for name, value in headers
        if name not in hops
        and not _HOP_BY_HOP.fullmatch(name)
        and not _CREDENTIALS.fullmatch(name)
        # Wherever a program put it: the token opens this task's gateway.
        and token.encode() not in value
    ]


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers that come back: all but those of the other connection."""
    given = [(bytes(name), bytes(value)) for name, value in headers]
    hops = _named_in_connection(given)
    return [(n, v) for n, v in given if n not in hops and not _NOT_BACK.fullmatch(n)]
