"""An internet of names and public addresses that is all on loopback: no test sends anything
elsewhere. Names lead to public addresses, and those to ports of this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from rover_mcp.gateway.internet import STREAM_BYTES, Streams

PUBLIC = "93.184.216.34"
"""A public address that stands for a stand-in server; nothing is ever sent there."""


@dataclass
class FakeInternet:
    """`names` leads names to addresses, `places` an address and port to a loopback port. What
    was looked up and connected to is logged."""

    names: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    places: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    own: set[str] = field(default_factory=set[str])
    looked_up: list[str] = field(default_factory=list[str])
    connected: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def host(self, name: str, port: int, local: int, address: str = PUBLIC) -> None:
        """Let `name`, on `port`, be the loopback port `local`."""
        self.names[name] = [address]
        self.places[address, port] = local

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        self.looked_up.append(name)
        try:
            return self.names[name]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    def is_own(self, address: str) -> bool:
        return address in self.own

    async def connect(self, address: str, port: int) -> Streams:
        self.connected.append((address, port))
        local = self.places.get((address, port))
        if local is None:
            raise ConnectionRefusedError(f"nothing is at {address}:{port}")
        return await asyncio.open_connection("127.0.0.1", local, limit=STREAM_BYTES)
