"""Notifications that wait for a client that does not read."""

from __future__ import annotations

from typing import Any

import anyio

from rover_mcp.server.session import WAITING, Backlog


def test_the_newest_wait_and_are_sent_in_order_once_the_client_reads() -> None:
    sent: list[int] = []

    async def scene() -> None:
        reads = anyio.Event()

        async def send(_method: str, params: dict[str, Any]) -> None:
            await reads.wait()
            sent.append(params["n"])

        backlog = Backlog()
        async with anyio.create_task_group() as group:
            group.start_soon(backlog.run, send)
            backlog.push("m", {"n": 0})
            await anyio.wait_all_tasks_blocked()
            for n in range(1, 2 * WAITING):
                backlog.push("m", {"n": n})
            assert sent == []
            reads.set()
            await anyio.wait_all_tasks_blocked()
            backlog.push("m", {"n": -1})
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    anyio.run(scene)
    assert sent == [0, *range(WAITING, 2 * WAITING), -1]
