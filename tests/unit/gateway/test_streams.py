"""Answers pass as they come."""

# ruff: noqa: ASYNC110 - nothing else runs on these loops; what is polled is bounded
from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_runner.process.forward import connect_unix
from tests.support.certificates import server_context

from .open_gateway import ASK, TOKEN, access_to, open_gateway


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
    async def listening(self, context: ssl.SSLContext | None = None):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        async with server:
            scheme = "https" if context else "http"
            yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


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
            await asyncio.wait_for(seen.wait(), 300)
            writer.write(chunk(b"data: last\n\n") + chunk(b""))
            await writer.drain()

        async with (
            Upstream(answer).listening() as url,
            open_gateway(path, access_to(url)) as here,
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
        async with upstream.listening() as url, open_gateway(path, access_to(url)) as here:
            async with here.client.stream(
                "POST", "/anthropic/v1/messages", json=ASK, headers={"x-api-key": TOKEN}
            ) as response:
                await anext(response.aiter_raw())
            await asyncio.wait_for(upstream.gone.wait(), 300)
            async with asyncio.timeout(300):
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

        async with Upstream(answer).listening() as url, open_gateway(path, access_to(url)) as here:
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

        async with Upstream(answer).listening() as url, open_gateway(path, access_to(url)) as here:

            async def one(number: int) -> None:
                sent = hashlib.sha256(bytes([number])).digest() * 10_000
                headers = {"x-api-key": TOKEN}
                got = await here.client.post(
                    "/anthropic/v1/messages", content=sent, headers=headers
                )
                assert got.content == sent

            await asyncio.gather(*(one(n) for n in range(20)))

    asyncio.run(run())


async def answered(reader: asyncio.StreamReader) -> None:
    """A request was read."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))


@pytest.mark.parametrize("tls", [False, True])
def test_streams_of_any_chunks_are_exact_on_one_connection(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    """Small and large chunks, extensions, trailers, an informational answer first; at full speed."""
    context = server_context(tmp_path / "authority.pem") if tls else None
    if tls:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    small = [b"event: ping\ndata: %d\n\n" % n for n in range(9000)]
    large = [bytes([n]) * 200_000 for n in range(20)]
    bodies = [small, large, small[:50] + large[:2] + small[50:], [b"\r\n"] * 999, small[:1]]
    wire = [b"".join(chunk(part) for part in body) + b"0\r\n\r\n" for body in bodies]
    wire[2] = b"".join(chunk(p).replace(b"\r\n", b";x=y\r\n", 1) for p in bodies[2]) + (
        b"0\r\nx-trailer: 1\r\n\r\n"
    )
    connections: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        for content in wire:
            await answered(reader)
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + HEAD + content)
            await writer.drain()

    async def run() -> None:
        async with (
            Upstream(answer).listening(context) as url,
            open_gateway(path, access_to(url)) as here,
        ):
            for body in bodies:
                got = await here.ask()
                assert hashlib.sha256(got.content).digest() == (
                    hashlib.sha256(b"".join(body)).digest()
                )
        assert len(connections) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "wrong", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhello5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_body_that_is_not_framed_as_it_must_be_breaks_off(path: Path, wrong: bytes) -> None:
    """It never looks complete, and the connection is not used again."""
    connections: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await answered(reader)
        writer.write(HEAD + chunk(b"data: first\n\n") + wrong)
        await reader.read()

    async def run() -> None:
        async with Upstream(answer).listening() as url, open_gateway(path, access_to(url)) as here:
            for _ in range(2):
                with pytest.raises(httpx2.RemoteProtocolError):
                    await here.ask()
            assert [a.error and a.error.code for a in here.answers] == ["connection_failed"] * 2
        assert len(connections) == 2

    asyncio.run(run())


def test_an_agent_that_reads_slowly_holds_the_provider_back(path: Path) -> None:
    """What it has not read waits at the provider, not in memory; and nothing is lost of it."""
    block = bytes(range(256)) * 1024

    async def run() -> None:
        sent = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await answered(reader)
            writer.transport.set_write_buffer_limits(high=0)
            writer.write(HEAD)
            for _ in range(200):
                writer.write(chunk(block))
                await writer.drain()
                sent += 1
            writer.write(chunk(b""))

        async with (
            Upstream(answer).listening() as url,
            open_gateway(path, access_to(url)) as here,
            here.client.stream(
                "POST", "/anthropic/v1/messages", json=ASK, headers={"x-api-key": TOKEN}
            ) as response,
        ):
            parts = response.aiter_raw()
            digest = hashlib.sha256(await anext(parts))
            before = -1
            while before != sent:
                before = sent
                for _ in range(500):  # turns of the loop that all of this runs on
                    await asyncio.sleep(0)
            assert sent < 200
            async for part in parts:
                digest.update(part)
            assert digest.digest() == hashlib.sha256(block * 200).digest()

    asyncio.run(run())


def test_a_client_of_http_1_0_gets_the_body_without_chunks(path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answered(reader)
        writer.write(HEAD + chunk(b"data: first\n\n") + chunk(b"data: last\n\n") + chunk(b""))
        await reader.read()

    async def run() -> None:
        async with Upstream(answer).listening() as url, open_gateway(path, access_to(url)):
            connection = connect_unix(str(path))
            connection.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=connection)
            writer.write(
                b"POST /anthropic/v1/messages HTTP/1.0\r\nx-api-key: %b\r\n"
                b"content-length: 2\r\n\r\n{}" % TOKEN.encode()
            )
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert body == b"data: first\n\ndata: last\n\n"
            writer.close()

    asyncio.run(run())
