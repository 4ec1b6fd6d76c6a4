"""Removes for good what deleted tasks left in their projects' hubs.

Deleting a branch removes only its name: git keeps the objects until a collection finds that no
reference leads to them.
"""

from __future__ import annotations

import logging
import threading
from functools import partial

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.domain.errors import RoverError
from rover_mcp.git.hub import Hub
from rover_mcp.store.store import Store

AT_ONCE_SECONDS = 20.0
"""How long a deletion waits. A large hub is collected in the background, without a limit."""

log = logging.getLogger("rover.daemon")


class HubGarbage:
    """Collects garbage in the hubs of all projects. A hub where that failed is left alone until
    another of its tasks is deleted, or for the next daemon."""

    def __init__(self, repositories: GitRepositories, store: Store) -> None:
        self._repositories = repositories
        self._store = store
        self._failed: dict[str, int | None] = {}
        self._work: threading.Thread | None = None

    def collect(self, hub: Hub, without: str = "", timeout: float | None = AT_ONCE_SECONDS) -> bool:
        """Collect one hub now, as if the task `without` were gone already. False: it is left for
        later."""
        living = partial(self._store.projects.base_commits, hub.folder.name, without)
        try:
            return hub.collect(living, timeout=timeout)
        except (RoverError, OSError) as error:
            log.warning("not all that is obsolete in %s was removed: %s", hub.folder, error)
            return False

    def sweep(self) -> None:
        """Begin to collect the hubs that are due, in a thread of its own."""
        if self._work is None or not self._work.is_alive():
            left = [hub for hub in self._repositories.hubs() if self._is_due(hub)]
            if left:
                self._work = threading.Thread(target=self._all, args=(left,), daemon=True)
                self._work.start()

    def _is_due(self, hub: Hub) -> bool:
        since = hub.garbage_since()
        return since is not None and self._failed.get(hub.folder.name) != since

    def _all(self, hubs: list[Hub]) -> None:
        for hub in hubs:
            since = hub.garbage_since()
            if not self.collect(hub, timeout=None):
                self._failed[hub.folder.name] = since
