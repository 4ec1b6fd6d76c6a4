"""Notifications that wait for their client, so that nobody else waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio

Send = Callable[[str, dict[str, Any]], Awaitable[object]]
"""Sends a notification (method, params); it may take as long as the client does not read."""

WAITING: Final = 256
"""Notifications that wait for a slow client; beyond, the oldest go."""


class Backlog:
    """One client's. What is lost here is still told by `attention`."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque(maxlen=WAITING)
        self._wake = anyio.Event()

    def push(self, method: str, params: dict[str, Any]) -> None:
        """Put a notification in."""
        self._waiting.append((method, params))
        self._wake.set()

    async def run(self, send: Send) -> None:
        """Send what comes, for ever."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._waiting:
                await send(*self._waiting.popleft())
