"""Makes connections to the outside. Every address is judged before it is connected to.

A name is looked up here and nowhere else, and connected to by the very address that was judged. A
name that leads elsewhere at a second lookup (DNS rebinding) therefore gains nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from rover_mcp.gateway.internet import Network, Streams, UpstreamProxy
from rover_mcp.gateway.policy import (
    Destination,
    HostVerdict,
    entry_for,
    is_own,
    judge_addresses,
    reached,
)

MAX_LOOKUPS: Final = 4
"""Lookups at a time: all sandboxes share the threads that ask for names and for the user's
proxy."""
MAX_ADDRESSES: Final = 16
"""Addresses of one name that are judged and tried; the name server's further ones are ignored."""


class InternetDialer:
    """Opens connections for one grant, or for one fetch.

    `proxy_for` returns the user's own proxy on the way to a host; it may block. `own_hosts` are the
    entries of the user's own allow-list, which may lead to private addresses.
    """

    def __init__(
        self,
        network: Network,
        proxy_for: Callable[[str], UpstreamProxy | None],
        own_hosts: Sequence[str] = (),
    ) -> None:
        self._network = network
        self._proxy_for = proxy_for
        self._own_hosts = own_hosts
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS)

    async def connect(self, to: Destination) -> Streams | HostVerdict:
        """Connect to a destination whose name was judged before, or say why that is refused.

        Raises:
            OSError: the destination may be connected to, but cannot be reached.
        """
        name = to.host.name
        async with self._lookups:
            proxy = await asyncio.to_thread(self._proxy_for, name)
            addresses = [name] if proxy or to.host.address else await self._resolve(to)
        if proxy and not to.host.address:
            # The proxy looks the name up itself, so only it can judge the address.
            return await proxy.connect(str(to))
        verdict = self._judge(to, addresses)
        if proxy and verdict.allowed:
            return await proxy.connect(str(to))
        return await self._first(addresses, to) if verdict.allowed else verdict

    async def _resolve(self, to: Destination) -> list[str]:
        addresses = await self._network.resolve(to.host.name, to.port)
        if not addresses:
            raise OSError(f"{to.host.name} has no address")
        return list(dict.fromkeys(addresses))[:MAX_ADDRESSES]

    def _judge(self, to: Destination, addresses: list[str]) -> HostVerdict:
        verdict = judge_addresses(
            to.host, addresses, own=is_own(self._own_hosts, to), entry=entry_for(to)
        )
        if verdict.allowed and any(map(self._network.is_own, reached(addresses))):
            return HostVerdict(f"{to.host.name} leads to the machine that Rover runs on")
        return verdict

    async def _first(self, addresses: list[str], to: Destination) -> Streams:
        """Connect to the first address that answers."""
        failure: OSError | None = None
        for address in addresses:
            try:
                return await self._network.connect(address, to.port)
            except OSError as error:
                failure = error
        raise failure or OSError("no address")
