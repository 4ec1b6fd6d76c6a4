"""Which daemons are alive that share a database. With the embedded database the lock of the data
folder decides alone, and nothing is written.

The attempts of a daemon that died are free at once for another one on its host, where the kernel
has released its lock, and on other hosts when its lease has run out. Process ids are not used: a
number can belong to another process by then.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from agent_runner.atomic_write import replace_file
from agent_runner.process.locks import is_held, take_lock
from rover_mcp.store.executors import Executors
from rover_mcp.store.records import ExecutorRow

log = logging.getLogger("rover.leases")

EMBEDDED = "roverd"
"""The one executor of a database that is a data folder's own."""

_LOCK_TRIES = 50


class Leases:
    """This daemon's lease, and the leases of the others. With `executors` of None there are no
    others."""

    def __init__(
        self,
        home: Path,
        executors: Executors | None,
        *,
        lease: float,
        now: Callable[[], float] = time.time,
        boot: str | None = None,
    ) -> None:
        self._executors = executors
        self._lease = lease
        self._now = now
        self._boot = boot or _boot()
        self._home = home
        self.executor = EMBEDDED if executors is None else _stable_id(home)
        self._lock: int | None = None

    def begin(self) -> None:
        """Take the lock that shows that this daemon is alive, then the lease."""
        if self._executors is not None:
            if self._lock is None:
                self._lock = take_lock(self._home / "executor.lock", 0o600, _LOCK_TRIES)
            self.renew()

    def end(self) -> None:
        """Release the lock, as the kernel does when a process dies."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def renew(self) -> None:
        """Renew the lease. Called at every third of it, so that two renewals can fail."""
        if self._executors is not None:
            self._executors.renew(self.executor, f"{self._boot}:{self._home}", self._lease)

    def keep_renewing(self, stop: threading.Event | None = None) -> None:
        """Renew until `stop`, in a thread. A renewal that fails is logged and tried again."""
        stopped = stop or threading.Event()
        while not stopped.wait(self._lease / 3):
            try:
                self.renew()
            except SQLAlchemyError as error:
                log.warning("the lease is not renewed: %s", error)

    def mark(self, task_id: str, attempt: int, workflow_id: str) -> None:
        """Record that this daemon's workflow is about to claim an attempt."""
        if self._executors is not None:
            self._executors.mark(task_id, attempt, workflow_id, self.executor)

    def another_has(self, executor: str | None) -> bool:
        """Whether an attempt belongs to another daemon that may be alive."""
        if self._executors is None or executor in (None, self.executor):
            return False
        row = self._executors.find(executor)
        return row is not None and self._lives(row)

    def _lives(self, row: ExecutorRow) -> bool:
        boot, _, home = row.host.partition(":")
        if boot == self._boot:
            # If the lock's file cannot be opened, the lease decides.
            with suppress(OSError):
                return is_held(Path(home, "executor.lock"))
        return row.lease_until > self._now()


def _boot() -> str:
    """An id of this host since its last start. After a restart no lock of before is held."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    return f"{socket.gethostname()}/{boot}"


def _stable_id(home: Path) -> str:
    """An id that the data folder keeps, so that a daemon finds its attempts again. DBOS recovers
    what its executor id had in flight, and a second process with the same id would start it twice:
    the data folder's lock lets only one daemon run."""
    path = home / "executor-id"
    if not path.exists():
        replace_file(path, secrets.token_hex(8))
    return f"roverd-{path.read_text('utf-8').strip()}"
