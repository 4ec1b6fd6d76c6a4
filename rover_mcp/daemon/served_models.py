"""Remembers for a while which models a service serves that is not the provider itself. A service is
asked only if a person could choose another model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import Provider

KEPT_SECONDS = 3600.0
RETRY_SECONDS = 600.0
"""Seconds until the next try after an answer without names, or none."""
PATIENCE = 3.0
"""Seconds that a view of a task waits for the names. What comes later is there for the next one."""
MOST = 100

Ask = Callable[[Provider, ProviderAccess], tuple[str, ...]]


@dataclass
class _ModelNames:
    came: threading.Event = field(default_factory=threading.Event)
    names: tuple[str, ...] = ()
    until: float = float("inf")


class ServedModels:
    """Answers by the credential's digest, which covers the address, too. `ask` never raises."""

    def __init__(self, ask: Ask, now: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._now = now
        self._answers: dict[str, _ModelNames] = {}
        self._lock = threading.Lock()

    def of(self, provider: Provider, access: ProviderAccess, wait: float = PATIENCE) -> list[str]:
        """The names that are known now."""
        with self._lock:
            answer = self._answers.get(access.digest)
            if answer is None or answer.until <= self._now():
                answer = self._answers[access.digest] = _ModelNames()
                if len(self._answers) > MOST:
                    del self._answers[next(iter(self._answers))]
                args = (answer, provider, access)
                threading.Thread(target=self._fill, args=args, daemon=True).start()
        answer.came.wait(wait)
        return list(answer.names)

    def _fill(self, answer: _ModelNames, provider: Provider, access: ProviderAccess) -> None:
        try:
            answer.names = self._ask(provider, access)
        finally:
            answer.until = self._now() + (KEPT_SECONDS if answer.names else RETRY_SECONDS)
            answer.came.set()
