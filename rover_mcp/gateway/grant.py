"""Defines what the gateway is given for an attempt, and what it reports of the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from agent_runner.models import Budget, Usage
from rover_mcp.domain.network_policy import NetworkPolicy
from rover_mcp.gateway.internet import UpstreamProxy
from rover_mcp.gateway.refusals import RefusedHost

DIGEST: Final = 16
"""Hexadecimal digits of a credential's digest: enough to distinguish two of them."""


@dataclass(frozen=True)
class ProviderAccess:
    """How one provider is reached: its base URL, the header that carries the credential, and a
    label of the account for people (never the credential itself). `beside` are headers that it
    needs with it. `passthrough`: the agent's own login is forwarded as it is, if the user's
    config.yaml asks for that."""

    base_url: str
    header_name: str
    header_value: str = field(repr=False)
    account: str | None = None
    passthrough: bool = False
    beside: tuple[tuple[str, str], ...] = ()
    login: str | None = None
    """the agent whose login it is, if it is one"""
    expires: float | None = None
    """when that login expires, in seconds since 1970, if that is known"""
    origin: str | None = field(default=None, compare=False)
    """the account for people, by where its key or login comes from"""

    @property
    def digest(self) -> str:
        """A digest that identifies this credential at this address."""
        identity = f"{self.base_url}\n{self.header_name}\n{self.header_value}"
        return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


@dataclass(frozen=True)
class ProviderError:
    """A provider's error, from its body or an event in its stream. `body` is the error
    object as JSON, if it is not too long: resets and quotas stand there."""

    type: str | None
    code: str | None
    message: str
    body: str = ""


@dataclass(frozen=True)
class ProviderAnswer:
    """One answer of a provider. `status` is None if none came; `headers` are lower case and
    only those about limits. `at` is when its headers arrived."""

    at: datetime
    method: str
    path: str
    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    error: ProviderError | None = None
    usage: Usage | None = None
    provider: str = "anthropic"
    account: str | None = None
    passthrough: bool = False
    model: str | None = None
    digest: str | None = None
    """the digest of the credential that the request carried"""
    host: str | None = None
    """whose API was called, by the name of its profile: a base URL may lead to another provider. An
    address of the user's own has no name"""

    def as_json(self) -> dict[str, Any]:
        """For `/rover/v1/evidence`. Without the account and the credential's digest: the agent can
        read this."""
        error, usage = self.error, self.usage
        return {
            "at": self.at.isoformat(),
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "headers": dict(self.headers),
            "error": error and asdict(error),
            "usage": usage and usage.model_dump(),
            "provider": self.provider,
            "passthrough": self.passthrough,
            "model": self.model,
            "host": self.host,
        }


@dataclass(frozen=True)
class Reserved:
    """The most that a running call can use: the tokens that the model reads, and those that it
    writes at most."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class UsageEntry:
    """The usage of one answer, as far as it is known. `model` is "" if none was named. The cost in
    `usage` is None if the model has no price, or the answer reports no tokens. `reserved` is set
    until the call has ended. `estimated`: the answer was cut or reported no tokens, so that its
    cost is estimated. `calls` is 0 if the provider did nothing."""

    task_id: str
    id: str
    attempt: int
    at: datetime
    provider: str
    model: str
    usage: Usage
    calls: int = 1
    reserved: Reserved | None = None
    estimated: bool = False


@dataclass(frozen=True)
class Refusal:
    """A request that the gateway refused, and why."""

    at: datetime
    method: str
    target: str
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "method": self.method,
            "target": self.target,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class BudgetState:
    """A task's budget and what was spent of it. `over` says what is used up, if anything is."""

    budget: Budget
    spent: Usage
    over: str | None = None


@dataclass(frozen=True)
class GatewayGrant:
    """What one attempt may do through the gateway.

    `credentials` is asked with a provider's name at the moment of use, in a worker thread; it
    returns None if there is none, or raises EnvironmentFault. Only `providers` are asked for:
    those that the task's own agents use. `on_bell` and `on_answer` are called on the gateway's
    event loop, with the task's id, and must return at once; so is `on_refused`, for each request
    to another host that `network` refuses. `upstream_proxy` is asked, in a worker
    thread, with a host's name: the user's own proxy on the way there.
    """

    task_id: str
    attempt: int
    socket_path: Path
    token: str = field(repr=False)
    providers: frozenset[str]
    credentials: Callable[[str], ProviderAccess | None] = field(repr=False)
    on_bell: Callable[[str], None] = field(repr=False)
    on_answer: Callable[[str, ProviderAnswer], None] = field(repr=False)
    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    own_hosts: tuple[str, ...] = ()
    """those of its list that the user's own config.yaml names: they may be private addresses"""
    upstream_proxy: Callable[[str], UpstreamProxy | None] = field(
        default=lambda _host: None, repr=False
    )
    on_refused: Callable[[str, RefusedHost], None] = field(
        default=lambda _task, _refused: None, repr=False
    )
    sent: Callable[[], Mapping[str, int]] = field(default=dict[str, int], repr=False)
    """what the task sent before, in bytes by host"""
    on_sent: Callable[[str, Mapping[str, int]], None] = field(
        default=lambda _task, _sent: None, repr=False
    )
    """called with the task's id and what it has sent by now; both run in a worker thread"""
    used_up: Callable[[], str | None] | None = field(default=None, repr=False)
    """asked before each call that costs: what is used up of the budget, if anything is"""
    budget_state: Callable[[], BudgetState | None] | None = field(default=None, repr=False)
    """the same, with the budget and what was spent of it; both are asked in a worker thread"""
