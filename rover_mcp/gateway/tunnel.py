"""Bytes between two connections, both ways, until both sides have ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rover_mcp.gateway.greeting import Greeting
from rover_mcp.gateway.internet import Streams

CHUNK = 256 * 1024
Sends = Callable[[int], Awaitable[None]]
"""Asked before so many bytes go to a host."""


class AllowanceSpent(Exception):
    """More has passed than one attempt may send and fetch."""


@dataclass
class Allowance:
    """What one attempt may still send and fetch through the proxy, in bytes."""

    left: int

    def take(self, count: int) -> None:
        """Raises AllowanceSpent."""
        self.left -= count
        if self.left < 0:
            raise AllowanceSpent


async def _free(_count: int) -> None:
    """What comes back is not counted."""


async def relay(
    early: bytes,
    agent: Streams,
    there: Streams,
    greeting: Greeting,
    allowance: Allowance,
    sends: Sends,
    idle: float,
) -> None:
    """Copy until both sides have ended, or neither has sent anything for `idle` seconds. A side
    that ends is ended for the other only in that direction: the answer may still be coming.
    `early` is what the agent had sent before; `sends` is asked before anything goes out.

    Raises:
        AllowanceSpent, UploadsSpent, GreetsAnother, OSError, TimeoutError: it was cut.
    """
    loop = asyncio.get_running_loop()
    await sends(len(early))
    there[1].write(greeting.pass_on(early))
    try:
        async with asyncio.timeout(idle) as limit, asyncio.TaskGroup() as both:

            def moved(count: int) -> None:
                allowance.take(count)
                limit.reschedule(loop.time() + idle)

            both.create_task(_copy(agent[0], there[1], moved, greeting.pass_on, sends))
            both.create_task(_copy(there[0], agent[1], moved, lambda data: data, _free))
    except BaseExceptionGroup as group:
        # The first of the two that failed; the other was ended for it.
        raise group.exceptions[0] from None


async def _copy(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    moved: Callable[[int], None],
    passed: Callable[[bytes], bytes],
    sends: Sends,
) -> None:
    while data := await source.read(CHUNK):
        moved(len(data))
        await sends(len(data))
        sink.write(passed(data))
        await sink.drain()
    if not sink.can_write_eof():
        raise ConnectionResetError("TLS to a proxy cannot be ended on one side")
    with contextlib.suppress(OSError):
        sink.write_eof()
