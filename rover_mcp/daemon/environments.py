"""Keeps the environments that clients handed over: in memory alone, while the daemon lives."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from rover_mcp.tasks.caller import Caller

Environment = Mapping[str, str]
_Key = tuple[str | None, frozenset[tuple[str, str]]]


class Environments:
    """Kept after a client has left, because its tasks outlive the connection. Terminals that share
    an environment share one copy. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[str, Environment] = {}
        self._distinct: dict[_Key, Environment] = {}

    def remember(self, caller: Caller) -> bool:
        """Note what a client brought; return whether no client of its user had brought it
        before."""
        key = (caller.user, frozenset(caller.env.items()))
        with self._lock:
            known = self._distinct.pop(key, None)
            # The last one is the one that came last.
            shared = self._distinct[key] = caller.env if known is None else known
            self._clients[caller.client_id] = shared
        return known is None

    def of(self, *clients: str | None) -> list[Environment]:
        """What these clients brought, in their order; those that are not known are left out."""
        with self._lock:
            environments = [self._clients.get(client) for client in clients if client]
        return [env for env in environments if env is not None]

    def of_user(self, user: str | None) -> list[Environment]:
        """What clients of a user brought, of the one that came last first. None: the user of this
        machine."""
        with self._lock:
            return [env for (owner, _), env in reversed(self._distinct.items()) if owner == user]
