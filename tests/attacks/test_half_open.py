"""Thousands of requests that never become whole, at one task's gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant
from tests.unit.gateway.open_gateway import TASK, TOKEN, access_to

MOST, AT_A_TIME, WAVES = 32, 500, 20
BEGUN = (
    b"",
    b"P",
    b"POST /anthropic/v1/messages HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nx-a",
)


def lease(task: str, path: Path) -> GatewayGrant:
    return GatewayGrant(
        task_id=task,
        attempt=1,
        socket_path=path,
        token=TOKEN,
        providers=frozenset({"anthropic"}),
        credentials=lambda _: access_to("http://127.0.0.1:9"),
        on_bell=lambda _: None,
        on_answer=lambda _task, _answer: None,
    )


def files() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def half_open(path: Path, begun: bytes) -> asyncio.StreamWriter | None:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(begun)
    except OSError:
        return None  # the queue of the socket is full
    return writer


async def served(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answer = await reader.readline()
    writer.close()
    return answer


@pytest.mark.known_escape(18)
def test_ten_thousand_half_open_requests_keep_nobody_waiting(
    tmp_path: Path,
) -> None:
    """U8: of one task; another is served in each wave, and the first itself when they are gone."""
    flooded, other = tmp_path / "a.sock", tmp_path / "b.sock"
    opened, ours = 0, 0

    async def work() -> None:
        nonlocal opened, ours
        gateway = Gateway(connections=MOST)
        await gateway.open(lease(TASK, flooded))
        await gateway.open(lease("f" * 32, other))
        before = files()
        for _ in range(WAVES):
            asked = [half_open(flooded, BEGUN[n % len(BEGUN)]) for n in range(AT_A_TIME)]
            held = [writer for writer in await asyncio.gather(*asked) if writer]
            opened += len(held)
            assert (await served(other)).startswith(b"HTTP/1.1 4")
            # The clients' ends are this process's as well.
            ours = max(ours, files() - before - len(held))
            for writer in held:
                writer.transport.abort()
        while not (await served(flooded)).startswith(b"HTTP/1.1 4"):
            pass
        await gateway.aclose()

    asyncio.run(asyncio.wait_for(work(), 1500))
    assert opened == WAVES * AT_A_TIME
    assert ours <= MOST + 8
