"""Serves one unix socket per attempt, the only way from its sandbox to the outside.

The gateway forwards calls of the model API with the real credential in place of the agent's token,
records the limits, errors and tokens in each answer, and refuses everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from datetime import UTC, datetime

import httpx2

from agent_runner.models import Usage
from rover_mcp.config.descriptors import accept_from
from rover_mcp.domain.network_policy import NetworkMode
from rover_mcp.gateway.evidence import CallEvidence
from rover_mcp.gateway.grant import GatewayGrant, ProviderAccess, ProviderAnswer, Refusal
from rover_mcp.gateway.http_server import Exchange, HttpConnection
from rover_mcp.gateway.internet import STREAM_BYTES, Internet, Network
from rover_mcp.gateway.model_calls import ModelCalls
from rover_mcp.gateway.model_list import served_models
from rover_mcp.gateway.policy import is_proxied
from rover_mcp.gateway.prices import PriceList, price_list
from rover_mcp.gateway.providers import PROVIDERS, STATUSES, Provider, ProviderFault
from rover_mcp.gateway.proxy import EgressProxy
from rover_mcp.gateway.refusals import RefusedHost
from rover_mcp.gateway.routes import Route, RouteKind, route, watch
from rover_mcp.gateway.transport import provider_client
from rover_mcp.gateway.unix_socket import listen_unix, refuse
from rover_mcp.gateway.usage_writer import UsageWriter, Write

MAX_CONNECTIONS = 128
RECORDED_SECONDS = 1.0
"""The shortest time between two records of a sandbox that opens too many connections."""
MAX_RECORDED_TARGET = 200


class Gateway:
    """All grants of one daemon, on the event loop that opens them.

    `now` is the clock that answers are stamped with; `network` is the internet; `write` stores the
    usage of answers, and is called in a thread of its own. `connections` is how many one sandbox
    may have open. `prices` defaults to the prices that this version comes with.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        network: Network | None = None,
        write: Write = lambda _: None,
        connections: int = MAX_CONNECTIONS,
        prices: PriceList | None = None,
    ) -> None:
        self._connections = connections
        self._prices = prices or price_list()
        self._now = now
        self._network = network or Internet()
        self._write = write
        self._usage_writer: UsageWriter | None = None
        self._tasks: dict[str, CallEvidence] = {}
        self._servers: dict[str, _GrantServer] = {}
        self._client: httpx2.AsyncClient | None = None

    async def open(self, grant: GatewayGrant) -> None:
        """Serve the grant's socket, in place of the task's earlier one. What was recorded of the
        task is kept. Does nothing if the same attempt is already served at the same socket.

        Raises:
            EnvironmentFault: the socket cannot be made.
        """
        # A second call for an attempt that runs must not cut the calls that it is making.
        old = self._servers.get(grant.task_id)
        if old and old.serves(grant):
            return
        if old:
            await self._servers.pop(grant.task_id).close()
        records = self._tasks.setdefault(grant.task_id, CallEvidence())
        server = _GrantServer(
            grant,
            records,
            ModelCalls(grant, records, self._upstream(), self._usage(), self._now, self._prices),
            self._now,
            self._network,
            self._connections,
        )
        await server.listen()
        self._servers[grant.task_id] = server

    async def close(self, task_id: str) -> None:
        """End the task's grant with all that passes through it now, and forget its records."""
        self._tasks.pop(task_id, None)
        if server := self._servers.pop(task_id, None):
            await server.close()
        await self.written()

    async def written(self) -> None:
        """Wait until the usage of all answers so far is in the store, unfinished ones included."""
        if self._usage_writer:
            await self._usage_writer.written()

    async def aclose(self) -> None:
        """Close every grant, and the connections to the providers."""
        for task_id in list(self._servers):
            await self.close(task_id)
        if self._client:
            await self._client.aclose()
            self._client = None
        if self._usage_writer:
            await self._usage_writer.aclose()
            self._usage_writer = None

    async def served(self, provider: Provider, access: ProviderAccess) -> tuple[str, ...]:
        """The models that the service behind a credential says it serves."""
        return await served_models(self._upstream(), provider, access)

    def answers(self, task_id: str) -> list[ProviderAnswer]:
        """The last answers that providers gave to the task, oldest first."""
        records = self._tasks.get(task_id)
        return list(records.answers.values()) if records else []

    def refusals(self, task_id: str) -> list[Refusal]:
        """The last requests of the task that were refused, oldest first."""
        records = self._tasks.get(task_id)
        return list(records.refusals) if records else []

    def usage(self, task_id: str) -> Usage:
        """The tokens of all answers since the task's grant was first opened here, and the cost of
        those whose model has a price. Only the store has the complete usage."""
        records = self._tasks.get(task_id)
        return records.usage if records else Usage()

    def _usage(self) -> UsageWriter:
        if self._usage_writer is None:
            self._usage_writer = UsageWriter(self._write)
        return self._usage_writer

    def _upstream(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = provider_client()
        return self._client


class _GrantServer:
    """The socket of one grant, and its connections."""

    def __init__(
        self,
        grant: GatewayGrant,
        records: CallEvidence,
        model_calls: ModelCalls,
        now: Callable[[], datetime],
        network: Network,
        most: int,
    ) -> None:
        self._grant = grant
        self._most = most
        self._egress = EgressProxy(grant, network, self._refused_host, most)
        self._model_calls = model_calls
        self._records = records
        self._now = now
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._inode = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._recorded_at = float("-inf")

    def serves(self, grant: GatewayGrant) -> bool:
        """Whether this server already does everything that a grant asks for."""
        ours = self._grant
        return (ours.attempt, ours.socket_path, ours.token, ours.providers, ours.network) == (
            grant.attempt,
            grant.socket_path,
            grant.token,
            grant.providers,
            grant.network,
        )

    async def listen(self) -> None:
        self._listener = listen_unix(self._grant.socket_path)
        self._inode = self._grant.socket_path.lstat().st_ino
        self._accepting = asyncio.create_task(accept_from(self._listener, self._accept))

    async def close(self) -> None:
        ending = [*self._connections, *([self._accepting] if self._accepting else ())]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._egress.aclose()
        if self._listener:
            self._listener.close()
        # The next attempt may have bound its own socket at this path already: only the file that
        # this server made is removed.
        path = self._grant.socket_path
        with contextlib.suppress(OSError):
            if path.lstat().st_ino == self._inode:
                path.unlink()

    def _accept(self, connection: socket.socket) -> None:
        if len(self._connections) >= self._most:
            refuse(connection, f"this sandbox has {self._most} connections open already")
            self._record_flood()
            return
        task = asyncio.create_task(self._serve(connection))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    def _record_flood(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._recorded_at + RECORDED_SECONDS:
            self._recorded_at = now
            reason = f"the sandbox had {self._most} connections open already"
            self._records.refusals.append(Refusal(self._now(), "CONNECT", "", reason))
            refused = RefusedHost("(the gateway itself)", reason, "sandbox_connections")
            self._grant.on_refused(self._grant.task_id, refused)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=STREAM_BYTES)
        except OSError:
            connection.close()
            return
        await HttpConnection(reader, writer, self._handle).serve()

    async def _handle(self, exchange: Exchange) -> None:
        grant = self._grant
        # First of all: programs send every request for another host here, since HTTP_PROXY and
        # HTTPS_PROXY name this socket, and such a request carries its token in another header.
        if is_proxied(exchange.method, exchange.target):
            await self._egress.handle(exchange)
            return
        decision = route(
            exchange.method, exchange.target, exchange.headers, grant.token, grant.providers
        )
        if decision.kind is RouteKind.FORWARD and grant.network.mode is NetworkMode.NONE:
            reason = "the network policy of this task is none"
            decision = Route(RouteKind.REFUSE, decision.provider, reason=reason)
        if decision.kind is RouteKind.BELL:
            grant.on_bell(grant.task_id)
            await exchange.answer(204)
        elif decision.kind is RouteKind.EVIDENCE:
            await self._tell(exchange)
        elif decision.kind is RouteKind.FORWARD and decision.provider:
            await self._model_calls.forward(exchange, decision.provider, decision.target)
        else:
            await self._refuse(exchange, decision)

    def _refused_host(self, exchange: Exchange, refused: RefusedHost) -> None:
        target = exchange.target[:MAX_RECORDED_TARGET]
        refusal = Refusal(self._now(), exchange.method, target, refused.reason)
        self._records.refusals.append(refusal)
        self._grant.on_refused(self._grant.task_id, refused)

    async def _tell(self, exchange: Exchange) -> None:
        if wanted := watch(exchange.target):
            await self._records.wait(wanted)
        await exchange.answer(200, self._records.as_json())

    async def _refuse(self, exchange: Exchange, decision: Route) -> None:
        target = exchange.target.partition("?")[0][:MAX_RECORDED_TARGET]
        reason = decision.reason
        self._records.refusals.append(Refusal(self._now(), exchange.method, target, reason))
        # An agent reads errors in its own provider's form. A request that names none of the
        # providers gets Anthropic's.
        provider = decision.provider or PROVIDERS["anthropic"]
        body = provider.error_body(ProviderFault.REFUSED, f"Rover refused this: {reason}.")
        await exchange.answer(STATUSES[ProviderFault.REFUSED], body)
