"""Answers pass as they come (DESIGN 9)."""

# ruff: noqa: ASYNC110 - nothing else runs on these loops; what is polled is bounded
from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .doors import ASK, TOKEN, access_to, door


class Upstream:
    """A provider that answers with what the test writes, chunk by chunk."""

    def __init__(self, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> None:
        self._answer = answer
        self.gone = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.set()
            writer.close()

    @asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_a_stream_is_not_held_back(path: Path) -> None:
    """The first chunk is with the agent before the provider sends its last."""

    async def run() -> None:
        seen = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + chunk(b"data: first\n\n"))
            await asyncio.wait_for(seen.wait(), 5)
            writer.write(chunk(b"data: last\n\n") + chunk(b""))
            await writer.drain()

        async with (
            Upstream(answer).listening() as url,
            door(path, access_to(url)) as here,
            here.client.stream(
                "POST", "/anthropic/v1/messages", json=ASK, headers={"x-api-key": TOKEN}
            ) as response,
        ):
            parts = response.aiter_raw()
            assert await anext(parts) == b"data: first\n\n"
            seen.set()
            assert b"".join([p async for p in parts]) == b"data: last\n\n"

    asyncio.run(run())


def test_an_agent_that_goes_away_ends_the_providers_work(path: Path) -> None:
    """A killed agent's answer is not paid for to its end."""

    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + chunk(b"data: first\n\n"))
            while await reader.read(1000):
                pass

        upstream = Upstream(answer)
        async with upstream.listening() as url, door(path, access_to(url)) as here:
            async with here.client.stream(
                "POST", "/anthropic/v1/messages", json=ASK, headers={"x-api-key": TOKEN}
            ) as response:
                await anext(response.aiter_raw())
            await asyncio.wait_for(upstream.gone.wait(), 5)
            async with asyncio.timeout(5):
                while not here.told:
                    await asyncio.sleep(0.002)
            assert here.told[0].status == 200

    asyncio.run(run())


def test_a_stream_that_breaks_off_breaks_off_for_the_agent_too(path: Path) -> None:
    """A cut answer never looks complete."""

    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + chunk(b"data: first\n\n"))
            await writer.drain()

        async with Upstream(answer).listening() as url, door(path, access_to(url)) as here:
            with pytest.raises(httpx2.RemoteProtocolError):
                await here.ask()
            assert here.answers[0].status == 200
            assert here.answers[0].error
            assert here.answers[0].error.code == "connection_failed"

    asyncio.run(run())


def test_twenty_streams_at_once_are_byte_exact_both_ways(path: Path) -> None:
    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
            writer.write(HEAD)
            for start in range(0, len(body), 10_000):
                writer.write(chunk(body[start : start + 10_000]))
                await writer.drain()
            writer.write(chunk(b""))
            await writer.drain()

        async with Upstream(answer).listening() as url, door(path, access_to(url)) as here:

            async def one(number: int) -> None:
                sent = hashlib.sha256(bytes([number])).digest() * 10_000
                headers = {"x-api-key": TOKEN}
                got = await here.client.post(
                    "/anthropic/v1/messages", content=sent, headers=headers
                )
                assert got.content == sent

            await asyncio.gather(*(one(n) for n in range(20)))

    asyncio.run(run())
