"""An open gateway with a client that stands where the agent stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant, ProviderAccess, ProviderAnswer
from tests.support.fake_anthropic import FakeAnthropic

TASK = "1" * 32
TOKEN = "agent-token"
KEY = "sk-real"
ASK = {"model": "m", "tools": [{"name": "Write"}], "messages": [{"role": "user", "content": "x"}]}


@dataclass
class OpenGateway:
    """An open gateway and a client that stands where the agent stands."""

    gateway: Gateway
    lease: GatewayGrant
    client: httpx2.AsyncClient
    told: list[ProviderAnswer] = field(default_factory=list)
    bells: list[str] = field(default_factory=list)

    async def ask(self, **changes: Any) -> httpx2.Response:
        headers = {"x-api-key": TOKEN, "anthropic-version": "2023-06-01"}
        return await self.client.post(
            "/anthropic/v1/messages?beta=true", json={**ASK, **changes}, headers=headers
        )

    async def evidence(self) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return (await self.client.get("/rover/v1/evidence", headers=headers)).json()

    @property
    def answers(self) -> list[ProviderAnswer]:
        return self.gateway.answers(TASK)


@asynccontextmanager
async def open_gateway(
    path: Path,
    access: ProviderAccess | Callable[[str], Any] | None,
    providers: Collection[str] = ("anthropic",),
):
    told: list[ProviderAnswer] = []
    bells: list[str] = []
    lease = GatewayGrant(
        task_id=TASK,
        attempt=1,
        socket_path=path,
        token=TOKEN,
        providers=frozenset(providers),
        credentials=access if callable(access) else lambda _: access,
        on_bell=bells.append,
        on_answer=lambda _, answer: told.append(answer),
    )
    gateway = Gateway()
    await gateway.open(lease)
    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    try:
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://gateway", timeout=300
        ) as client:
            yield OpenGateway(gateway, lease, client, told, bells)
    finally:
        await gateway.aclose()


def access_to(url: str) -> ProviderAccess:
    return ProviderAccess(url, "x-api-key", KEY, "the account")


def through(
    path: Path, plan: list[Any], work: Callable[[OpenGateway, FakeAnthropic], Awaitable[None]]
) -> None:
    with FakeAnthropic(plan) as provider:

        async def run() -> None:
            async with open_gateway(path, access_to(provider.url)) as here:
                await work(here, provider)

        asyncio.run(run())
