"""Keeps the environments that clients handed over: in memory alone, while the daemon lives."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from rover_mcp.tasks.caller import Caller

Environment = Mapping[str, str]
_Key = tuple[str | None, frozenset[tuple[str, str]]]


class Environments:
    """The environments of clients, kept after they have left, because their tasks outlive the
    connection. Terminals that share an environment share one copy. Safe to use from many
    threads."""

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
            # Put at the end again: the order is that in which they last came.
            shared = self._distinct[key] = caller.env if known is None else known
            self._clients[caller.client_id] = shared
        return known is None

    def of(self, *clients: str | None) -> list[Environment]:
        """The environments of these clients, in their order, without those that are not known."""
        with self._lock:
            environments = [self._clients.get(client) for client in clients if client]
        return [env for env in environments if env is not None]

    def of_user(self, user: str | None) -> list[Environment]:
        """The environments of a user's clients, that of the latest first. None: the user of this
        machine."""
        with self._lock:
            return [env for (owner, _), env in reversed(self._distinct.items()) if owner == user]
