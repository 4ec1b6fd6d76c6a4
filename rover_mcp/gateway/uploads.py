"""Limits how much a task may send to each host.

An allowed host is still a place to which data can be sent: a limit of bytes bounds what can leave
that way. Only uploads count; fetching packages and repositories costs no more than the requests for
them. A grant is recorded before its bytes go out, so that a daemon that is killed forgets nothing:
the record is what was sent, or somewhat more until the grant ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

# A write to the store for each packet would be slow, and one large grant would be lost to the task
# if the daemon was killed: so grants grow with what was sent, up to half a megabyte.
FIRST_GRANT, LARGEST_GRANT = 64 * 1024, 512 * 1024
MAX_HOSTS = 200
OTHERS = "(further hosts)"
"""The key under which further hosts share one budget, once MAX_HOSTS are counted apart."""


class UploadsSpent(Exception):
    """More would be sent to a host than the task may."""


class Uploads:
    """The uploads of one grant, on one event loop. `read` returns what the task sent before,
    `write` records what it has sent by now; both are called in a worker thread."""

    def __init__(
        self,
        most: int,
        read: Callable[[], Mapping[str, int]],
        write: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._most = most
        self._read = read
        self._write = write
        self._sent: dict[str, int] | None = None
        self._granted: dict[str, int] = {}
        self._spent: set[str] = set()
        """the hosts to which more would have been sent"""
        self._turn = asyncio.Lock()

    async def left(self, host: str) -> int:
        """How many bytes may still be sent to a host."""
        sent = await self._counts()
        key = self._key(sent, host)
        return 0 if key in self._spent else self._most - sent.get(key, 0)

    async def take(self, host: str, count: int) -> None:
        """Count bytes that are about to be sent.

        Raises:
            UploadsSpent: they may not be sent.
        """
        if not count:
            return
        sent = await self._counts()
        key = self._key(sent, host)
        total = sent.get(key, 0) + count
        if total > self._most:
            # From now on `left` is 0: the host is refused with a reason in the answer, where each
            # further tunnel would be cut without one.
            self._spent.add(key)
            raise UploadsSpent
        sent[key] = total
        if total > self._granted.get(key, 0):
            await self._grant(key, total)

    async def flush(self) -> None:
        """Record exactly what was sent."""
        async with self._turn:
            if self._sent and self._sent != self._granted:
                self._granted = dict(self._sent)
                await asyncio.to_thread(self._write, self._granted)

    async def _counts(self) -> dict[str, int]:
        if self._sent is None:
            async with self._turn:
                if self._sent is None:
                    stored = dict(await asyncio.to_thread(self._read))
                    self._granted, self._sent = dict(stored), stored
        return self._sent

    def _key(self, sent: Mapping[str, int], host: str) -> str:
        return host if host in sent or len(sent) < MAX_HOSTS else OTHERS

    async def _grant(self, key: str, total: int) -> None:
        async with self._turn:
            if total <= self._granted.get(key, 0):
                return  # another connection's grant covers it
            more = min(max(total // 4, FIRST_GRANT), LARGEST_GRANT)
            self._granted[key] = min(self._most, total + more)
            await asyncio.to_thread(self._write, dict(self._granted))
