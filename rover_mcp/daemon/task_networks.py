"""Decides what a task's sandboxes may reach, and records what was refused to them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from rover_mcp.config.settings import Settings
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.gateway.internet import UpstreamProxy
from rover_mcp.gateway.refusals import RefusedHost, RefusedHosts
from rover_mcp.store.records import NewTask
from rover_mcp.store.store import Store
from rover_mcp.tasks.network import sent_counts

log = logging.getLogger("rover.networks")

NOTHING: Final = NetworkPolicy(mode=NetworkMode.NONE)
BETWEEN_WRITES = 2.0
"""Seconds between two records of an agent that tries again and again."""


class TaskNetworks:
    """The policies of tasks, by their records and the user's settings."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        credentials: Credentials,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._settings = settings
        self._store = store
        self._credentials = credentials
        self._wait = wait
        self._lock = threading.Lock()
        self._one_writes = threading.Lock()
        self._pending: dict[str, RefusedHosts] = {}
        self._writing = False

    def policy(self, task: NewTask) -> NetworkPolicy:
        """The policy that was stored with the task, with the user's own list and limit of today."""
        mine = self._settings.network
        stored = NetworkPolicy.stored(task.network)
        return stored.with_hosts(mine.allow).with_uploads(mine.upload_bytes)

    @property
    def own_hosts(self) -> tuple[str, ...]:
        """The user's own list: what it names may have a private address."""
        return self._settings.network.allow

    def sent(self, task_id: str) -> Mapping[str, int]:
        """What a task has sent, in bytes by host."""
        task = self._store.tasks.get(task_id)
        return sent_counts(task.sent) if task else {}

    def record_sent(self, task_id: str, sent: Mapping[str, int]) -> None:
        """Record what a task has sent. Is called before the bytes go out."""
        try:
            self._store.tasks.update(task_id, sent=dict(sent))
        except (RoverError, SQLAlchemyError, OSError) as error:
            log.warning("what task %s sent is not recorded: %s", task_id, error)

    def proxy(self, task_id: str, attempt: int, host: str) -> UpstreamProxy | None:
        """The user's own proxy on the way to a host: of the client that started the attempt or
        made the task, else of the daemon."""
        task = self._store.tasks.get(task_id)
        if task is None:
            return None
        environment = self._credentials.environment(
            task, self._store.attempts.get(task_id, attempt)
        )
        return UpstreamProxy.of(os.environ if environment is None else environment, host)

    def refused(self, task_id: str, refused: RefusedHost) -> None:
        """Record a refusal, in a thread, because the gateway's loop must not wait."""
        with self._lock:
            self._pending.setdefault(task_id, RefusedHosts()).add(refused)
            if self._writing:
                return
            self._writing = True
        threading.Thread(target=self._write, name="refusals", daemon=True).start()

    def _write(self) -> None:
        while True:
            with self._lock:
                tasks = list(self._pending)
                if not tasks:
                    self._writing = False
                    return
            for task_id in tasks:
                self.flush(task_id)
            self._wait(BETWEEN_WRITES)

    def flush(self, task_id: str) -> None:
        """Record what is not yet recorded of a task, before its end is reported."""
        with self._one_writes:
            with self._lock:
                hosts = self._pending.pop(task_id, None)
            if hosts is not None:
                self._add(task_id, hosts)

    def _add(self, task_id: str, new: RefusedHosts) -> None:
        try:
            task = self._store.tasks.get(task_id)
            if task is not None:
                known = RefusedHosts.of(task.refused)
                known.merge(new)
                self._store.tasks.update(task_id, refused=known.as_json())
        except (RoverError, SQLAlchemyError, OSError) as error:
            log.warning("what task %s was refused is not recorded: %s", task_id, error)
