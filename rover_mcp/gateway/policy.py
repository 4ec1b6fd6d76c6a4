"""Decides which hosts a sandbox may reach, and which addresses no sandbox may. Pure; no I/O.

A policy decides by name, and says what would allow the request that it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from rover_mcp.domain.network_policy import (
    HTTP,
    HTTPS,
    IF_ALLOWED,
    Address,
    BadHost,
    Host,
    HostPattern,
    NetworkMode,
    NetworkPolicy,
    parse_authority,
)
from rover_mcp.gateway.default_allowlist import PROVIDER_HOSTS, default_entry

PLAIN_METHODS: Final = ("GET", "HEAD")
MAX_SHOWN: Final = 120
"""Characters of an unreadable destination that a message shows."""

_URL = re.compile(r"http://([^/?#]*)(/[^#]*|\?[^#]*|)", re.IGNORECASE | re.ASCII)

# Beyond what ipaddress calls global, whose tables differ between versions of Python.
_NEVER_IPV4: Final = (
    IPv4Network("192.0.0.0/24"),  # IETF protocol assignments
    IPv4Network("192.88.99.0/24"),  # the old 6to4 relays
    IPv4Network("168.63.129.16/32"),  # Azure's service for its machines, on a public address
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")  # all that IANA has given out
_NEVER_IPV6: Final = (
    IPv6Network("2001::/23"),  # IETF protocol assignments; Teredo holds an IPv4 address
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("3fff::/20"),  # documentation
)
# Behind a NAT64 router every IPv4 address can also be reached as one of these (RFC 6052).
_NAT64: Final = IPv6Network("64:ff9b::/96")


# Networks of the user's own: private use, carriers' (which overlay networks use), unique local.
_OWN_NETWORKS: Final = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("fc00::/7"),
)
# Within these, the services that give a cloud's machines their credentials. Those of AWS, Google
# and Azure on 169.254.169.254 are link-local, and so never reached anyway.
_METADATA: Final = (
    IPv4Network("100.100.100.200/32"),  # Alibaba
    IPv6Network("fd00:ec2::/32"),  # AWS
    IPv6Network("fd20:ce::/32"),  # Google
    IPv6Network("fd00:c1::/32"),  # Oracle
    IPv6Network("fd00:42::42/128"),  # Scaleway
)


@dataclass(frozen=True)
class Destination:
    """Where a request wants to go. `plain`: by an absolute http URL, of which `path` is asked."""

    host: Host
    port: int
    plain: bool = False
    path: str = ""

    def __str__(self) -> str:
        return self.host.at(self.port)


@dataclass(frozen=True)
class HostVerdict:
    """Whether it may pass; if not, why, and what would allow it (None: nothing does)."""

    reason: str = ""
    remedy: str | None = None

    @property
    def allowed(self) -> bool:
        return not self.reason


ALLOWED: Final = HostVerdict()


def is_proxied(method: str, target: str) -> bool:
    """Whether a request is for another host rather than for the gateway itself."""
    return method == "CONNECT" or not target.startswith("/")


def destination(method: str, target: str) -> Destination:
    """Where a request for another host wants to go.

    Raises:
        BadHost: that cannot be read in one way only.
    """
    if method == "CONNECT":
        return Destination(*parse_authority(target))
    match = _URL.fullmatch(target)
    if match is None:
        raise BadHost("only http:// URLs are asked for like this; https goes through CONNECT")
    authority, path = match[1], match[2]
    # Parsers disagree about which of several @ ends the user, and so about the host.
    if "@" in authority:
        raise BadHost("a URL with a user name in it is not forwarded")
    if ":" not in authority.rpartition("]")[2]:
        authority += f":{HTTP}"
    host, port = parse_authority(authority)
    return Destination(host, port, plain=True, path=path if path.startswith("/") else f"/{path}")


def judge(
    policy: NetworkPolicy, method: str, to: Destination, own: Sequence[str] = ()
) -> HostVerdict:
    """Whether a request may pass, by its name alone. `own` are the entries of its list that
    the user's own config.yaml has."""
    if not policy.has_proxy:
        return HostVerdict(
            f"the network policy of this task is {policy.mode}: {_MEANS[policy.mode]}",
            f"network: allowlist, or open, {IF_ALLOWED}",
        )
    address = to.host.address
    if address and not is_public(address) and not (is_private(address) and is_own(own, to)):
        if is_private(address):
            why = f"{to.host.name} is not a public address, and not one that you name"
            return HostVerdict(why, entry_for(to))
        never = "; loopback, link-local and metadata services are reached by no entry"
        why = f"{to.host.name} is not a public address"
        return HostVerdict(f"{why}{never if is_own(own, to) else ''}")
    # Whoever sits between could read and change what is sent; package mirrors need only GET.
    if to.plain and method not in PLAIN_METHODS:
        return HostVerdict(f"over plain http only GET and HEAD pass, not {method}")
    patterns = [HostPattern.parse(text) for text in policy.allow]
    if any(p.allows(to.host, to.port) and _fits(p, to) for p in patterns):
        return ALLOWED
    # A model API that is reached by its name would be called past the task's budget. So only an
    # entry that names it allows that; neither the default list nor the policy `open` does.
    if to.host.name in PROVIDER_HOSTS:
        return HostVerdict(
            f"{to.host.name} is a model API: agents reach it through the gateway's own path, "
            "which holds the credential",
        )
    listed = default_entry(to.host)
    if to.host.address is None and policy.mode is NetworkMode.OPEN:
        return ALLOWED
    if listed and (to.port == HTTP if to.plain else to.port == HTTPS):
        if to.plain and not listed.plain:
            return HostVerdict(f"{to.host.name} is reached by https only", _remedy(to, listed=True))
        return ALLOWED
    return _not_listed(to, known=bool(listed) or any(p.names(to.host) for p in patterns))


_MEANS = {
    NetworkMode.NONE: "nothing is reachable",
    NetworkMode.PROVIDERS: "nothing but its model API is reachable",
}


def _fits(pattern: HostPattern, to: Destination) -> bool:
    """An entry without a port means https."""
    return pattern.port is not None or not to.plain


def _not_listed(to: Destination, *, known: bool) -> HostVerdict:
    if to.host.address:
        why = f"the address {to.host.name} is not on the allow-list: hosts are asked for by name"
    elif known:
        why = f"port {to.port} of {to.host.name} is not on the allow-list"
    else:
        why = f"{to.host.name} is not on the allow-list"
    return HostVerdict(why, _remedy(to, listed=bool(to.host.address)))


def entry_for(to: Destination) -> str:
    """What in the user's config.yaml names this destination."""
    entry = str(to)
    if to.port == HTTPS and not to.plain:
        entry = entry.removesuffix(f":{HTTPS}")
    return f'"{entry}" in network.allow of config.yaml'


def _remedy(to: Destination, *, listed: bool) -> str:
    remedy = entry_for(to)
    return remedy if listed else f"{remedy}, or network: open, {IF_ALLOWED}"


def is_own(own: Sequence[str], to: Destination) -> bool:
    """Whether an entry of the user's own names this very host and port. One with `*` does not: who
    runs the domain's name server chooses what is beneath it."""
    patterns = [HostPattern.parse(text) for text in own]
    return any(not p.beneath and p.allows(to.host, to.port) and _fits(p, to) for p in patterns)


def is_private(address: Address) -> bool:
    """Whether it may be a service's in a network of the user's: neither loopback nor link-local,
    no metadata service, and none of these inside an IPv6 address."""
    inside = any(address in net for net in _OWN_NETWORKS if net.version == address.version)
    special = any(address in net for net in _METADATA if net.version == address.version)
    # fe80::1%eth0: an address with a zone names an interface of this machine.
    zone = isinstance(address, IPv6Address) and address.scope_id is not None
    return inside and not special and not zone


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet: no loopback, private, link-local,
    multicast, reserved or documentation address, and none of these inside an IPv6 address."""
    if isinstance(address, IPv4Address):
        special = address.is_multicast or any(address in net for net in _NEVER_IPV4)
        return address.is_global and not special
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    if address.scope_id is not None or address not in _GLOBAL_IPV6:
        return False
    return address.is_global and not any(address in net for net in _NEVER_IPV6)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one reach: mapped, NAT64, 6to4."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def judge_addresses(
    host: Host, addresses: Sequence[str], *, own: bool = False, entry: str | None = None
) -> HostVerdict:
    """Whether all that a name leads to may be connected to: one bad address refuses it. `own`: the
    user's own list names it; `entry` is what would."""
    name = host.name
    for text in addresses:
        try:
            address = ip_address(text)
        except ValueError:
            return HostVerdict(f"{name} leads to {text[:MAX_SHOWN]!r}, which is not an address")
        if is_public(address) or (own and is_private(address)):
            continue
        why = f"{name} leads to {text}, which is not a public address; the gateway never connects"
        if not is_private(address):
            return HostVerdict(f"{why} to those")
        return HostVerdict(f"{why} to those but for hosts that you name", entry)
    return ALLOWED


def reached(addresses: Sequence[str]) -> Iterator[str]:
    """The addresses, each with the IPv4 address that packets to it are translated to."""
    for text in addresses:
        yield text
        address = ip_address(text)
        inner = _inner(address) if isinstance(address, IPv6Address) else None
        if inner is not None:
            yield str(inner)
