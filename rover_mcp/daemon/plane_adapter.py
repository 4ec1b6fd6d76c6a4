"""Adapts the control plane to the use cases."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from rover_mcp.control.accounts import NoCredential, Use
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.checkpoint import has_checkpoint
from rover_mcp.control.needed_models import uses_model
from rover_mcp.control.plane import ControlPlane
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.gateway_adapter import GatewayAdapter
from rover_mcp.domain.attempt_state import STARTED, AttemptState
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.store.records import AttemptRow, Limit, TaskRow
from rover_mcp.store.store import Store


class PlaneControl:
    """Enqueues and stops attempts, and answers questions about accounts."""

    def __init__(
        self,
        home: Path,
        plane: ControlPlane,
        store: Store,
        attempts: Attempts,
        credentials: Credentials,
        gateway: GatewayAdapter,
    ) -> None:
        self._credentials = credentials
        self._gateway = gateway
        self._home = home
        self._plane = plane
        self._store = store
        self._attempts = attempts

    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None:
        if attempt.state == AttemptState.STACKED:
            # What it waits for may have been done while it was being recorded.
            self._plane.enqueue_released()
        else:
            self._plane.enqueue(attempt, delay)

    def schedule(self, task: TaskRow) -> bool:
        attempt = self._attempts.waiting.schedule(task)
        if attempt is None:
            return False
        self._plane.schedule(attempt)
        return True

    def has_checkpoint(self, task: TaskRow) -> bool:
        return has_checkpoint(TaskFolders(self._home, task.id, task.iteration).journal)

    def cannot_sign_in(self, task: TaskRow, agent: str) -> str | None:
        account = self._attempts.launch.takes_over(task, agent)
        return account.missing if isinstance(account, NoCredential) else None

    def login_expiry(self, task: TaskRow) -> str | None:
        account = Limit.of(task.account).account if task.account else None
        expiry = self._credentials.expiry(account)
        is_before = expiry is not None and task.retry_at is not None and expiry.at <= task.retry_at
        return expiry.sentence() if expiry is not None and is_before else None

    def asks_provider(self, task: TaskRow) -> bool:
        return self._gateway.asks_provider(task)

    def served_models(self, task: TaskRow) -> Sequence[str]:
        return self._gateway.served_models(task)

    def can_take_over(self, task: TaskRow, agent: str, model: str | None = None) -> bool:
        return isinstance(self._attempts.launch.takes_over(task, agent, model), Use)

    def uses_model(self, task: TaskRow, agent: str, model: str) -> bool:
        return uses_model(self._home, task, agent, model)

    def stop(self, task: TaskRow) -> None:
        attempt = self._store.attempts.get(task.id, task.attempt)
        if attempt is None or attempt.state not in STARTED:
            return
        # An engine's stop lasts for the grace period of the runner; a client does not wait for it.
        stop = threading.Thread(
            target=self._attempts.wait.stop, args=(task, attempt.sandbox), daemon=True
        )
        stop.start()
