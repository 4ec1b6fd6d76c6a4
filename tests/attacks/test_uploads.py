"""What an agent can carry away through a host that its task may reach: so much, and it is told."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from rover_mcp.domain.network_policy import NetworkPolicy
from tests.unit.gateway.test_egress import gate, run, server

MOST = 300_000
POLICY = NetworkPolicy(upload_bytes=MOST)
PART = b"s" * 10_000


class Sink:
    """A host that takes whatever comes, and gives as much as it is asked for."""

    def __init__(self, gives: int = 0) -> None:
        self.got = 0
        self._gives = gives

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * self._gives)
        while data := await reader.read(65536):
            self.got += len(data)


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int) -> None:
    """Send so much, or until the tunnel is cut; the tunnel is closed then."""

    async def send() -> None:
        with suppress(ConnectionError):
            for _ in range(count // len(PART)):
                writer.write(PART)
                await writer.drain()
            writer.write_eof()

    async def receive() -> None:
        with suppress(ConnectionError):
            await reader.read()

    await asyncio.gather(send(), receive())
    writer.close()


@pytest.mark.known_escape(4)
def test_an_allowed_host_gets_so_much_and_no_more(tmp_path: Path) -> None:
    """B.7, U5, anchor 4. Succeeded at 700cc57: 50 GiB per attempt could go to any allowed host.
    What holds is a bound, for each host, over all tunnels at a time and all attempts; that nothing
    at all leaves does not hold in this mode. What comes back is not counted."""
    record: dict[str, int] = {}
    sink, other = Sink(gives=10 * MOST), Sink()

    async def work() -> None:
        async with (
            gate(tmp_path / "a.sock", POLICY, sent=record) as here,
            server(sink.serve) as port,
            server(other.serve) as there,
        ):
            here.internet.host("pypi.org", 443, port)
            here.internet.host("github.com", 443, there, "93.184.215.15")
            reader, writer = await here.tunnel("pypi.org:443")
            assert len(await reader.readexactly(10 * MOST)) == 10 * MOST
            await pour(reader, writer, 100_000)
            tunnels = [await here.tunnel("pypi.org:443") for _ in range(5)]
            await asyncio.gather(*(pour(*tunnel, 100_000) for tunnel in tunnels))
            assert 100_000 <= sink.got <= MOST
            head, body = await here.ask("CONNECT PyPI.org.:443")
            assert head.startswith("HTTP/1.1 403")
            assert "network.upload_bytes" in body
            assert {r.host for r in here.refused} == {"pypi.org:443"}
            assert all("300,000 bytes" in r.reason and r.remedy for r in here.refused)
            await pour(*await here.tunnel("github.com:443"), 100_000)
            assert other.got == 100_000
        assert record == {"pypi.org": sink.got, "github.com": 100_000}

    run(work)


@pytest.mark.known_escape(4)
def test_a_daemon_that_is_killed_forgets_nothing_that_was_sent(tmp_path: Path) -> None:
    """B.7: what the record says at any moment is at least what the host has got."""
    record: dict[str, int] = {}
    sink = Sink()
    short: list[int] = []

    async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            sink.got += len(data)
            if record.get("pypi.org", 0) < sink.got:
                short.append(sink.got)

    async def work() -> None:
        async with (
            gate(tmp_path / "a.sock", POLICY, sent=record) as here,
            server(watched) as port,
        ):
            here.internet.host("pypi.org", 443, port)
            await pour(*await here.tunnel("pypi.org:443"), 150_000)
            killed = dict(record)
        async with (
            gate(tmp_path / "b.sock", POLICY, sent=killed) as here,
            server(sink.serve) as port,
        ):
            here.internet.host("pypi.org", 443, port)
            await pour(*await here.tunnel("pypi.org:443"), 10 * MOST)
        assert short == []
        assert 150_000 <= sink.got <= MOST

    run(work)


@pytest.mark.known_escape(4)
def test_plain_requests_count_by_what_they_carry(tmp_path: Path) -> None:
    """B.7: a long address carries as much as a body."""
    got: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(len(await reader.readuntil(b"\r\n\r\n")))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def work() -> None:
        policy = NetworkPolicy(upload_bytes=30_000)
        async with gate(tmp_path / "a.sock", policy) as here, server(answer) as port:
            here.internet.host("deb.debian.org", 80, port)
            for _ in range(5):
                await here.ask(f"GET http://deb.debian.org/{'s' * 9_000}")
            assert len(got) == 3
            assert sum(got) <= 30_000
            assert here.refused

    run(work)


@pytest.mark.known_escape(4)
def test_many_hosts_do_not_make_many_records(tmp_path: Path) -> None:
    """B.7: beyond 200 hosts those that are new share one budget."""
    record = {f"h{n}.example": 1 for n in range(200)}
    sink = Sink()

    async def work() -> None:
        policy = NetworkPolicy(upload_bytes=15_000, allow=("*.example.org",))
        async with (
            gate(tmp_path / "a.sock", policy, sent=record) as here,
            server(sink.serve) as port,
        ):
            for name in ("a", "b"):
                here.internet.host(f"{name}.example.org", 443, port)
                await pour(*await here.tunnel(f"{name}.example.org:443"), 10_000)
            head, _ = await here.ask("CONNECT c.example.org:443")
            assert head.startswith("HTTP/1.1 403")
        assert 10_000 <= sink.got <= 15_000
        assert len(record) == 201

    run(work)
