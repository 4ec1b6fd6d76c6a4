"""A TLS ClientHello passes through a tunnel only if it is for the tunnel's own host."""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.gateway import tunnel as module
from rover_mcp.gateway.tunnel import MAX_CLIENT_HELLO_BYTES, ClientHello, WrongServerName
from tests.support.certificates import server_context

from .test_egress import GatewayHarness, gate, run, server

OURS, OTHER = "pypi.org", "exfiltrate.example"
HEAD = 5


def hello(name: str | None) -> bytes:
    """What a real client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def with_extension(greeting: bytes, number: int, content: bytes) -> bytes:
    """The greeting with one extension more, at its end."""
    added = number.to_bytes(2) + len(content).to_bytes(2) + content
    body = greeting[HEAD + 4 :]
    at = 2 + 32
    for size in (1, 2, 1):
        at += size + int.from_bytes(body[at : at + size])
    length = int.from_bytes(body[at : at + 2]) + len(added)
    body = body[:at] + length.to_bytes(2) + body[at + 2 :] + added
    return in_records(b"\x01" + len(body).to_bytes(3) + body, 1 << 14)


def in_records(message: bytes, size: int) -> bytes:
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


def passed(name: str | None, *pieces: bytes) -> bytes:
    greeting = ClientHello(name)
    return b"".join(greeting.pass_on(piece) for piece in pieces)


@pytest.mark.parametrize("name", [OURS, "PyPI.org", None])
def test_a_greeting_for_the_tunnels_host_or_for_none_passes(name: str | None) -> None:
    sent = hello(name)
    assert passed(OURS, sent, b"more") == sent + b"more"


def test_to_an_address_any_name_may_be_greeted() -> None:
    sent = hello(OTHER)
    assert passed(None, sent) == sent


@pytest.mark.known_escape(3)
@pytest.mark.parametrize("name", [OTHER, f"a.{OURS}", f"{OURS}.example"])
def test_a_greeting_for_another_host_passes_not_a_byte(name: str) -> None:
    greeting = ClientHello(OURS)
    with pytest.raises(WrongServerName, match="another host, "):
        greeting.pass_on(hello(name))


@given(st.lists(st.integers(1, 40), min_size=1), st.integers(1, 300))
def test_however_it_is_cut_it_is_held_back_until_it_is_whole(cuts: list[int], size: int) -> None:
    """By TCP into pieces, and by TLS into records."""
    for name, fine in ((OURS, True), (OTHER, False)):
        whole = in_records(hello(name)[HEAD:], size)
        greeting, at, sent = ClientHello(OURS), 0, b""
        try:
            for cut in [*cuts, len(whole)]:
                sent += greeting.pass_on(whole[at : at + cut])
                assert sent in (b"", whole[: at + cut])
                at += cut
        except WrongServerName:
            assert not fine
            assert sent == b""
        else:
            assert (fine, sent) == (True, whole)


def test_a_greeting_whose_host_cannot_be_read_does_not_pass() -> None:
    with pytest.raises(WrongServerName, match="ECH"):
        passed(OURS, with_extension(hello(OURS), 0xFE0D, b"\0" * 40))
    second = b"\0\x14\0\0\x11" + OTHER.encode()[:17]
    with pytest.raises(WrongServerName, match="another host"):
        passed(OURS, with_extension(hello(OURS), 0, second))


@pytest.mark.parametrize(
    "data",
    [
        b"\x15\x03\x01\0\x02\x01\0" + hello(OURS),  # an alert first
        b"\x16\x03\x01\0\x04\x02\0\0\0",  # no client's greeting
        b"\x16\x03\x01\0\x08\x01\0\0\x04\x03\x03\0\0",  # ends within its random number
        b"\x16\x03\x01\0\0" * (MAX_CLIENT_HELLO_BYTES // 5 + 1),  # never ends
        with_extension(hello(OURS), 1, b"x")[:-1],
    ],
)
def test_what_is_broken_does_not_pass(data: bytes) -> None:
    with suppress(WrongServerName):
        assert ClientHello(OURS).pass_on(data) == b""


@pytest.mark.known_escape(3, 18)
@given(st.binary(max_size=200))
def test_whatever_comes_is_passed_whole_held_or_refused(data: bytes) -> None:
    for start in (b"", b"\x16\x03\x01", hello(OURS)[:HEAD]):
        with suppress(WrongServerName):
            assert ClientHello(OURS).pass_on(start + data) in (b"", start + data)


def test_other_protocols_pass_and_a_server_may_speak_first(path: Path) -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 welcome\r\n")
        writer.write(await reader.readline())

    async def work() -> None:
        async with gate(path) as here, server(banner) as port:
            here.internet.host(OURS, 443, port)
            reader, writer = await here.tunnel(f"{OURS}:443")
            assert await reader.readline() == b"220 welcome\r\n"
            writer.write(b"EHLO\r\n")
            assert await reader.readline() == b"EHLO\r\n"
            writer.close()

    run(work)


def test_tls_to_another_name_on_the_same_machine_reaches_nobody(path: Path, tmp_path: Path) -> None:
    """With a real client and server: what a content network with many customers is."""
    context = server_context(tmp_path / "certificate.pem")
    greeted: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: greeted.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(context)
        writer.write(await reader.readline())
        await writer.drain()

    async def greet(here: GatewayHarness, name: str) -> bytes:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        reader, writer = await here.tunnel(f"{OURS}:443")
        try:
            await writer.start_tls(client, server_hostname=name)
            writer.write(b"hi\n")
            return await reader.readline()
        finally:
            writer.close()

    async def work() -> None:
        async with gate(path) as here, server(serve) as port:
            here.internet.host(OURS, 443, port)
            assert await greet(here, OURS) == b"hi\n"
            with pytest.raises(ConnectionError):
                await greet(here, OTHER)
            assert greeted == [OURS]
            [refused] = here.refused
            assert refused.host == f"{OURS}:443"
            assert OTHER in refused.reason

    run(work)


@pytest.mark.parametrize("size", [1, 16_000])
def test_a_greeting_that_comes_byte_by_byte_is_looked_at_once_per_record(size: int) -> None:
    """C.16. Succeeded at 700cc57: what was held was parsed anew for each byte that came, and
    copied, so that 60 kB held up the loop of every task for a minute."""
    whole = with_extension(hello(OURS), 21, b"\0" * 9000)  # padding, RFC 7685
    cut = in_records(whole[HEAD:], size)
    greeting, sent, calls = ClientHello(OURS), b"", 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename == module.__file__

    sys.setprofile(count)
    try:
        for at in range(len(cut)):
            sent += greeting.pass_on(cut[at : at + 1])
    finally:
        sys.setprofile(None)
    assert sent == cut
    assert greeting.parses == -(-(len(whole) - HEAD) // size)
    assert calls < 8 * len(cut)


@pytest.mark.parametrize(
    "body",
    [
        b"\0\x0b\0\0\x04pypi.org",  # the entry is shorter than what stands there
        b"\0\x0b\1\0\x08pypi.org",  # no host's name
        b"\0\x00\0\0\x08pypi.org",
        b"\0\x16\0\0\x08pypi.org\0\0\x08pypi.org",  # two names
        b"\0\x0d\0\0\x0apypi.org..",
        b"\0\x0c\0\0\x09pypi.org\0",
        b"",
    ],
)
def test_a_name_that_two_servers_could_read_differently_does_not_pass(body: bytes) -> None:
    """Anchor 3 (parsers that differ). Succeeded at 700cc57 with any length and kind."""
    greeting = ClientHello(OURS)
    with pytest.raises(WrongServerName):
        greeting.pass_on(with_extension(hello(None), 0, body))
