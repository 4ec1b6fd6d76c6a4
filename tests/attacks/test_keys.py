"""The provider's key: what comes back with it, and what rides along beside it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rover_mcp.gateway.grant import ProviderAccess
from rover_mcp.gateway.providers import PROVIDERS
from rover_mcp.gateway.routes import request_headers, route
from tests.unit.gateway.open_gateway import TOKEN, open_gateway
from tests.unit.gateway.test_streams import Upstream, chunk

SECRET = "sk-ant-api03-the-real-one"
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"content-type: application/json\r\n"
STREAM = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
KEY = SECRET.encode()


def every(pattern: str) -> bytes:
    """Each byte of the key, escaped."""
    return "".join(pattern.format(byte) for byte in KEY).encode()


ENCODED: dict[str, bytes] = {
    "backwards": KEY[::-1],
    "hex": KEY.hex().encode(),
    "HEX": KEY.hex().upper().encode(),
    **{
        f"{coder.__name__} behind {before}": coder(b"abc"[:before] + KEY + b"?>~"[before:])
        for coder in (base64.b64encode, base64.urlsafe_b64encode)
        for before in range(4)
    },
    "an address": every("%{:02X}"),
    "an address, in lower case": every("%{:02x}"),
    "an address, twice": every("%25{:02x}"),
    "the dashes of an address": KEY.replace(b"-", b"%2D"),
    "JSON": every("\\u{:04x}"),
    "JSON in JSON, in upper case": every("\\\\u{:04X}"),
    "the dashes in JSON": KEY.replace(b"-", b"\\u002d"),
    "every second byte in JSON": b"".join(
        b"\\u%04x" % byte if at % 2 else bytes([byte]) for at, byte in enumerate(KEY)
    ),
    "HTML": every("&#{};"),
    "HTML, in hex": every("&#x{:X};"),
    "base64 in an address": quote_from_bytes(base64.b64encode(KEY), safe="").encode(),
}


def usable(text: bytes) -> bool:
    """More than half of it in one piece, as it is or encoded: the rest could be guessed."""
    return any(_holds(text, form) for form in (KEY, *ENCODED.values()))


def _holds(text: bytes, form: bytes) -> bool:
    half = len(form) // 2 + 4
    return any(form[at : at + half] in text for at in range(len(form) - half + 1))


def sized(body: bytes, *more: bytes) -> bytes:
    return OK + JSON + b"".join(more) + b"content-length: %d\r\n\r\n" % len(body) + body


ANSWERS: dict[str, bytes] = {
    **{
        f"split at {at}": OK + STREAM + b"\r\n" + chunk(b"data: " + KEY[:at]) + chunk(KEY[at:])
        + chunk(b"")
        for at in range(1, len(KEY))
    },
    **{
        f"{how} at {at}": OK + STREAM + b"\r\n" + chunk(b"data: " + KEY[:at]) + end
        for at in (13, 20, len(KEY) - 1, len(KEY))
        for how, end in (("ended", chunk(b"")), ("cut", b""))
    },
    "shorter than it said": OK + JSON + b"content-length: 999\r\n\r\n" + KEY[:-1],
    "trailers": OK + STREAM + b"trailer: x-key\r\n\r\n" + chunk(b"data: x\n\n") + b"0\r\nx-key: "
    + KEY + b"\r\n\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nlink: " + KEY + b"\r\n\r\n" + sized(b"{}"),
    "a header's value": sized(b"{}", b"x-echo: " + KEY + b"\r\n"),
    "a header's name": sized(b"{}", KEY + b": 1\r\n"),
    "the reason": b"HTTP/1.1 401 " + KEY + b"\r\ncontent-length: 2\r\n\r\n{}",
    "gzip": sized(gzip.compress(KEY), b"content-encoding: gzip\r\n"),
    "deflate": sized(zlib.compress(KEY), b"content-encoding: deflate\r\n"),
    **{how: sized(b'{"error": "' + text + b'"}') for how, text in ENCODED.items()},
    **{
        f"{how} in a header": sized(b"{}", b"x-echo: " + ENCODED[how] + b"\r\n")
        for how in ("hex", "base64 in an address")
    },
    **{
        f"{how}, cut": OK + STREAM + b"\r\n" + chunk(b"data: " + ENCODED[how][:9])
        + chunk(ENCODED[how][9:-7]) + end + chunk(b"")
        for how in ("JSON", "an address, twice")
        for end in (b"", chunk(ENCODED[how][-7:]))
    },
    "an unknown encoding": sized(KEY[::-1], b"content-encoding: rot13\r\n"),
}  # fmt: skip


@pytest.mark.known_escape(5)
def test_a_key_that_is_echoed_in_whatever_way_does_not_come_in(tmp_path: Path) -> None:
    """Anchor 5. Succeeded at 700cc57: gzip, a header's name, a stream that ended within the key,
    and whatever encoded it."""
    access = ProviderAccess("", "x-api-key", SECRET, "account")

    async def ask(name: str, wire: bytes) -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(wire)
            await writer.drain()

        async with Upstream(answer).listening() as url:
            here = ProviderAccess(url, access.header_name, SECRET, access.account)
            path = tmp_path / f"{abs(hash(name))}.sock"
            async with open_gateway(path, here):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(
                    b"POST /anthropic/v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                    b"x-api-key: " + TOKEN.encode() + b"\r\ncontent-length: 2\r\n\r\n{}"
                )
                seen = await reader.read()
                writer.close()
                return seen

    async def play() -> None:
        for name, wire in ANSWERS.items():
            seen = await ask(name, wire)
            assert seen.startswith(b"HTTP/1.1 "), name
            assert not usable(seen), (name, seen)
            assert not usable(seen.lower()), (name, seen)

    asyncio.run(play())


HERS = "attacker-own-key"
RIDERS = [
    *(b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"cookie", b"cookie2"),
    *(b"openai-organization", b"openai-project", b"anthropic-organization-id"),
    *(b"anthropic-workspace-id", b"anthropic-admin-key", b"x-goog-user-project"),
    *(b"x-goog-iam-authorization-token", b"proxy-authorization", b"chatgpt-account-id"),
    *(b"x-forwarded-for", b"x-codex-organization", b"x-claude-workspace", b"forwarded", b"host"),
]
QUERIES = ["key", "%6bey", "access_token", "oauth_token", "userProject", "$userProject", "api_key"]


@pytest.mark.known_escape(6)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(PROVIDERS)),
    st.lists(st.sampled_from(RIDERS), max_size=8),
    st.lists(st.sampled_from(QUERIES), max_size=4),
    st.sampled_from([b"authorization", b"x-api-key", b"x-goog-api-key"]),
    st.integers(0, 8),
    st.booleans(),
)
def test_no_second_credential_and_no_other_account_rides_along(
    name: str, riders: list[bytes], queries: list[str], ours: bytes, at: int, within_api: bool
) -> None:
    """Anchor 6. Succeeded at 700cc57 with `openai-organization`, `openai-project` and
    `anthropic-organization-id`: in every order, beside the sandbox's own token, in every mode."""
    provider = PROVIDERS[name]
    token = b"Bearer " + TOKEN.encode() if ours == b"authorization" else TOKEN.encode()
    headers = [(rider, HERS.encode()) for rider in riders]
    headers.insert(at, (ours, token))
    query = "&".join(f"{q}={HERS}" for q in queries)
    decision = route("GET", f"{provider.prefix}{_models(name)}?{query}", headers, TOKEN, [name])
    assert HERS not in decision.target
    access = ProviderAccess("https://x", provider.variables[0].header, SECRET)
    sent = request_headers(provider, headers, access, TOKEN, within_api=within_api)
    assert HERS not in str(sent)
    assert TOKEN not in str(sent)
    assert [v for n, v in sent if n.decode() == access.header_name] == [KEY]


def _models(name: str) -> str:
    return "/models" if name == "openai" else "/v1/models"


PIECES = st.sampled_from(
    [b"GET / HTTP/1.1\r\n", b"POST /anthropic/v1/messages HTTP/1.1\r\n", b"CONNECT a.b:443 ",
     b"host: x\r\n", b"x-api-key: agent-token\r\n", b"content-length: 5\r\n",
     b"content-length: 99999999999\r\n", b"content-length: -1\r\n", b"transfer-encoding: chunked\r\n",
     b"transfer-encoding: gzip, chunked\r\n", b"expect: 100-continue\r\n", b"upgrade: h2c\r\n",
     b"connection: close\r\n", b"\r\n", b"\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffff\r\n",
     b"-5\r\n", b"5;a=b\r\n", b"\0", b"\xff" * 9, b" ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)  # fmt: skip


@pytest.mark.known_escape(18)
def test_whatever_bytes_come_the_gateway_answers_the_next_one(tmp_path: Path) -> None:
    """Anchor 18: through the real socket. Nothing goes to the provider without the token, and no
    bytes end the loop or take the connection of another."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def throw(path: Path, data: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        writer.write_eof()
        try:
            await asyncio.wait_for(reader.read(), 300)
        except ConnectionError:
            pass
        finally:
            writer.close()

    with asyncio.Runner() as runner:
        stack: list[Any] = []

        async def start() -> Callable[[bytes], Any]:
            upstream = Upstream(answer).listening()
            url = await upstream.__aenter__()
            path = tmp_path / "g.sock"
            made = open_gateway(path, ProviderAccess(url, "x-api-key", SECRET))
            here = await made.__aenter__()
            stack.extend((made, upstream))

            async def one(data: bytes) -> None:
                await throw(path, data)
                evidence = await here.evidence()
                assert "answers" in evidence

            return one

        one = runner.run(start())

        @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=12))
        def fuzz(pieces: list[bytes]) -> None:
            runner.run(one(b"".join(pieces)))

        fuzz()

        async def stop() -> None:
            for made in stack:
                await made.__aexit__(None, None, None)

        runner.run(stop())
    assert all(b"x-api-key: " + KEY in head for head in heads)
    assert not any(TOKEN.encode() in head for head in heads)
