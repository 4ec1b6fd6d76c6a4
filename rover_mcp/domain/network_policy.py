"""What a task may reach: the policy as a value, and strictly parsed host names. Pure.

A pattern of the allow-list is a host (`example.org`), all hosts beneath one (`*.example.org`, which
does not include the host itself) or an address, and may have a port (`example.org:8443`); without
one the port is 443. The gateway decides by it: rover_mcp/gateway/policy.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

HTTPS = 443
HTTP = 80
IF_ALLOWED = "which the user's config.yaml has to allow"
"""Added wherever a wider network is proposed: a call alone gets no more than that."""
MAX_HOST = 253
MAX_ALLOWED = 200
"""How many entries a list may have."""

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
# What inet_aton(3) takes for an address: decimal, octal, hexadecimal.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*):([1-9][0-9]{0,4})", re.ASCII)

Address = IPv4Address | IPv6Address


class NetworkMode(StrEnum):
    """From nothing to everything that is public."""

    NONE = "none"
    PROVIDERS = "providers"
    ALLOWLIST = "allowlist"
    OPEN = "open"


class BadHost(ValueError):
    """A host, a port or a pattern with a syntax error."""


@dataclass(frozen=True)
class Host:
    """A name in lower case without a trailing dot, or an address in its canonical form."""

    name: str
    address: Address | None = None

    def at(self, port: int) -> str:
        """The host and port as a request names them."""
        return f"[{self.name}]:{port}" if ":" in self.name else f"{self.name}:{port}"


# 0x7f.1, 127.1 and 2130706433 are all 127.0.0.1 to some resolvers, and hosts to others.
def parse_host(text: str) -> Host:
    """Parse a host in a request or a list. Only one spelling of each is accepted: whatever could be
    read in two ways is refused.

    Raises:
        BadHost: it is not a host; the message says why.
    """
    if not text or len(text) > MAX_HOST + 1:
        raise BadHost("a host must have 1 to 253 characters")
    if not text.isascii():
        raise BadHost("a host must be written in ASCII (xn--...)")
    if text.startswith("["):
        return _ipv6(text)
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise BadHost("this is not the name of a host")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(text)
    if len(name) > MAX_HOST:
        raise BadHost("a host must have 1 to 253 characters")
    if len(labels) == 1:
        raise BadHost("a name without a dot is not a public name")
    return Host(name)


def _ipv4(text: str) -> Host:
    try:
        return Host(text, IPv4Address(text))
    except AddressValueError as error:
        raise BadHost("an IPv4 address must be four decimal numbers") from error


def _ipv6(text: str) -> Host:
    inside = text[1:-1]
    try:
        if not text.endswith("]") or "%" in inside:
            raise BadHost("an IPv6 address must be in brackets, without a zone")
        address = IPv6Address(inside)
    except AddressValueError as error:
        raise BadHost("this is not an IPv6 address") from error
    return Host(address.compressed, address)


def parse_authority(text: str) -> tuple[Host, int]:
    """`host:port`, as CONNECT names it.

    Raises:
        BadHost: it is not that.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise BadHost("a destination must have the form host:port")
    return parse_host(match[1]), int(match[2])


@dataclass(frozen=True)
class HostPattern:
    """An entry of an allow-list. `port` is None where the entry has none."""

    host: Host
    beneath: bool = False
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadHost."""
        beneath = text.startswith("*.")
        rest, port = text.removeprefix("*."), None
        if _AUTHORITY.fullmatch(rest):
            host, port = parse_authority(rest)
        else:
            host = parse_host(rest)
        if beneath and (host.address or "." not in host.name):
            raise BadHost("after *. a name with a dot in it is expected")
        return cls(host, beneath, port)

    def names(self, host: Host) -> bool:
        """Whether the entry names this host, on any port."""
        if self.beneath:
            return host.address is None and host.name.endswith(f".{self.host.name}")
        return host == self.host

    def allows(self, host: Host, port: int) -> bool:
        return self.names(host) and port == (self.port or HTTPS)


class NetworkPolicy(BaseModel):
    """What the sandboxes of a task may reach, through the gateway only (docs/gateway.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    mode: NetworkMode = NetworkMode.ALLOWLIST
    """none: nothing; providers: the model APIs; allowlist: also package registries, git hosts and
    the hosts of `allow`; open: every public host"""
    allow: tuple[str, ...] = Field(default=(), max_length=MAX_ALLOWED)
    """further hosts: example.org, *.example.org, example.org:8443. One that your own config.yaml
    spells out, or an address there, may be a private one"""
    # Rules by method and path would stand here, beside the hosts that they are for.
    upload_bytes: int = Field(default=50 * 10**6, ge=0)
    """what a task may send to one host, all its attempts together. What it fetches is not counted,
    nor what it sends to model APIs"""

    @field_validator("allow")
    @classmethod
    def _patterns(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        for text in allow:
            try:
                HostPattern.parse(text)
            except BadHost as error:
                raise ValueError(f"{text[:80]!r}: {error}") from error
        return allow

    @property
    def has_proxy(self) -> bool:
        """Whether anything but the model APIs can be reached."""
        return self.mode in (NetworkMode.ALLOWLIST, NetworkMode.OPEN)

    def with_hosts(self, more: Sequence[str]) -> NetworkPolicy:
        """The same policy with further hosts."""
        return self.model_copy(update={"allow": tuple(dict.fromkeys((*self.allow, *more)))})

    def with_uploads(self, most: int) -> NetworkPolicy:
        """The same policy with another limit on what is sent to one host."""
        return self.model_copy(update={"upload_bytes": most})

    @classmethod
    def stored(cls, value: Mapping[str, Any] | None) -> NetworkPolicy:
        """The policy in a task's record; the default where the record has none.

        Raises:
            pydantic.ValidationError (a ValueError): it is not a policy.
        """
        return cls.model_validate(value) if value else cls()
