"""Whatever a name server answers: what is connected to was judged, and is public."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rover_mcp.domain.network_policy import Host
from rover_mcp.gateway.dialer import MAX_ADDRESSES, InternetDialer
from rover_mcp.gateway.internet import Streams
from rover_mcp.gateway.policy import Destination, HostVerdict

PUBLIC_4 = ("8.0.0.0/9", "93.184.216.0/24", "151.101.0.0/16")
PUBLIC_6 = ("2606:4700::/32", "2a04:4e42::/32")
PUBLIC = [ipaddress.ip_network(net) for net in (*PUBLIC_4, *PUBLIC_6)]
OTHERS_4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
OTHERS_6 = (
    "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "4000::/2",
    "8000::/1", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)  # fmt: skip
OWN = "151.101.0.1"
STREAMS = cast("Streams", (None, None))


def within(*networks: str) -> st.SearchStrategy[str]:
    """Addresses of these networks; ip_addresses() of several takes ten times as long."""
    nets = [ipaddress.ip_network(net) for net in networks]
    pick = st.sampled_from(nets)
    return st.builds(lambda net, n: str(net[n % net.num_addresses]), pick, st.integers(0, 2**96))


def translated(addresses: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """IPv6 addresses whose packets reach an IPv4 one: mapped, by NAT64, by 6to4."""

    def put(address: str, how: int) -> str:
        inner = int(ipaddress.IPv4Address(address))
        ways = ((0xFFFF << 32) | inner, (0x64FF9B << 96) | inner, (0x2002 << 112) | inner << 80)
        return str(ipaddress.IPv6Address(ways[how]))

    return st.builds(put, addresses, st.integers(0, 2))


GOOD = st.one_of(within(*PUBLIC_4), within(*PUBLIC_6), translated(within(*PUBLIC_4))).filter(
    lambda text: OWN not in (text, str(_inner(text)))
)
BAD = st.one_of(
    within(*OTHERS_4),
    within(*OTHERS_6),
    translated(within(*OTHERS_4)),
    st.builds("{}%{}".format, within("fe80::/10", *PUBLIC_6), st.sampled_from(["1", "eth0"])),
    st.sampled_from([OWN, "::ffff:151.101.0.1", "64:ff9b::9765:1", "2002:9765:1::"]),
    # What no address family has, and spellings that other parsers take for a private address.
    st.sampled_from(["", "localhost", "0x7f.1", "127.1", "8.8.8.8%1", "010.0.0.1", "8.8.8.8:22"]),
    st.text(max_size=30).filter(lambda text: not _is_address(text)),
)
ANSWERS = st.one_of(
    st.lists(GOOD, max_size=4),
    st.lists(st.one_of(GOOD, BAD), max_size=6),
    st.builds(
        lambda most, some: most * 40 + some, st.lists(GOOD, max_size=3), st.lists(BAD, max_size=2)
    ),
    st.builds(lambda n, bad: [*(f"8.8.{n}.{i}" for i in range(n)), bad], st.integers(14, 40), BAD),
)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _inner(text: str) -> ipaddress.IPv4Address | None:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return None
    nat = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if text.startswith("64:") else None
    return nat or address.ipv4_mapped or address.sixtofour


@dataclass
class FakeNetwork:
    """A network whose name servers answer `found`, and where `up` of what is tried answers."""

    found: list[str] = field(default_factory=list[str])
    up: int = 0
    tried: list[str] = field(default_factory=list[str])

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        return self.found

    def is_own(self, address: str) -> bool:
        return address == OWN

    async def connect(self, address: str, port: int) -> Streams:
        self.tried.append(address)
        if len(self.tried) > self.up:
            raise ConnectionRefusedError(address)
        return STREAMS


@dataclass
class Dialled:
    network: FakeNetwork
    dialer: InternetDialer
    runner: asyncio.Runner

    def outcome(self, found: list[str], up: int) -> Streams | HostVerdict | OSError:
        self.network.found, self.network.up = found, up
        self.network.tried.clear()
        try:
            return self.runner.run(self.dialer.connect(Destination(Host("example.org"), 443)))
        except OSError as error:
            return error


@pytest.fixture(scope="module")
def dialled() -> Iterator[Dialled]:
    network = FakeNetwork()
    with asyncio.Runner() as runner:
        yield Dialled(network, InternetDialer(network, lambda _: None), runner)


def _is_bad(text: str) -> bool:
    """By the networks above, and so without what is tested."""
    if not _is_address(text) or "%" in text:
        return True
    address = ipaddress.ip_address(text)
    inner = _inner(text) or address
    return str(inner) == OWN or not any(inner in net for net in PUBLIC)


@pytest.mark.known_escape(18)
@settings(max_examples=2000, deadline=None)
@given(ANSWERS, st.sampled_from([0, 1]))
@example([], 1)
@example(["8.8.8.8", "::ffff:10.0.0.1"], 1)
@example(["8.8.8.8"] * 5000, 0)
@example([f"8.0.{n // 250}.{n % 250}" for n in range(5000)], 0)
@example(["64:ff9b::9765:1"], 1)
def test_only_what_was_judged_is_connected_to(dialled: Dialled, found: list[str], up: int) -> None:
    """Row 18: many addresses, private ones among public ones, translated and scoped ones, nothing,
    and what is no address. Until now one that is no address ended in an exception, each of
    thousands of addresses was tried, and this machine's own address could be reached by NAT64."""
    outcome = dialled.outcome(found, up)
    looked_at = list(dict.fromkeys(found))[:MAX_ADDRESSES]
    if any(map(_is_bad, looked_at)):
        assert isinstance(outcome, HostVerdict)
        assert not outcome.allowed
        assert dialled.network.tried == []
    elif not found or not up:
        assert isinstance(outcome, OSError)
        assert dialled.network.tried == looked_at
    else:
        assert outcome is STREAMS
        assert dialled.network.tried == looked_at[:1]
