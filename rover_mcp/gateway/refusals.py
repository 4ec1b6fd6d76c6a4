"""Counts the hosts that were refused to a task: each is listed once, up to a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

KEPT: Final = 50
"""Hosts of one task; what is refused beyond them is counted."""
MAX_TEXT: Final = 300


@dataclass(frozen=True)
class RefusedHost:
    """What a task asked for, why it was refused, and what would allow it. The host's name was
    written by an agent, and is untrusted."""

    host: str
    reason: str
    remedy: str | None = None
    count: int = 1


@dataclass
class RefusedHosts:
    """All refusals of one task. `more` counts those of hosts beyond the limit."""

    hosts: dict[tuple[str, str], RefusedHost] = field(
        default_factory=dict[tuple[str, str], RefusedHost]
    )
    more: int = 0

    def add(self, refused: RefusedHost) -> bool:
        """Count a refusal. True if it is the first of its kind."""
        key = refused.host, refused.reason
        known = self.hosts.get(key)
        if known is not None:
            self.hosts[key] = replace(known, count=known.count + refused.count)
            return False
        if len(self.hosts) >= KEPT:
            self.more += refused.count
            return self.more == refused.count
        self.hosts[key] = refused
        return True

    def merge(self, other: RefusedHosts) -> None:
        """Add what another has counted."""
        for refused in other.hosts.values():
            self.add(refused)
        self.more += other.more

    def as_json(self) -> dict[str, Any]:
        return {"hosts": [asdict(host) for host in self.hosts.values()], "more": self.more}

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> RefusedHosts:
        """The reverse of `as_json`."""
        hosts = cls()
        for entry in (stored or {}).get("hosts", ()):
            hosts.add(RefusedHost(**entry))
        hosts.more = (stored or {}).get("more", 0)
        return hosts
