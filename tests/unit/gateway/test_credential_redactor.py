"""A provider that echoes the real credential does not bring it into a sandbox."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from rover_mcp.gateway.credential_redactor import CredentialRedactor
from rover_mcp.gateway.grant import ProviderAccess

from .open_gateway import open_gateway
from .test_streams import HEAD, Upstream, answered, chunk

SECRET = "sk-ant-sk-ant-the-real-one"
STARS = "*" * len(SECRET)


def redacted(pieces: list[bytes], header_value: str = SECRET) -> bytes:
    async def run() -> bytes:
        async def parts():
            for piece in pieces:
                yield piece

        redact = CredentialRedactor(header_value).redact(parts())
        return b"".join([part async for part in redact])

    return asyncio.run(run())


@pytest.mark.known_escape(5)
@pytest.mark.parametrize("size", [1, 2, 7, len(SECRET) - 1, len(SECRET), 1000])
@pytest.mark.parametrize("header_value", [SECRET, f"Bearer {SECRET}"])
def test_it_is_taken_out_however_it_is_cut(size: int, header_value: str) -> None:
    """All else stays, its beginnings too, and every length."""
    text = f"a {SECRET}{SECRET} sk-ant-{SECRET} {SECRET[:-1]} s sk-ant-sk-ant-sk {SECRET[:9]}"
    whole = text.encode()
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert redacted(pieces, header_value) == text.replace(SECRET, STARS).encode()


def test_what_cannot_be_its_beginning_is_not_held_back() -> None:
    assert CredentialRedactor(SECRET).take(b"data: sk-ant\n\n") == b"data: sk-ant\n\n"


@pytest.mark.parametrize("header_value", ["", "Bearer ", "short"])
def test_without_a_credential_nothing_is_changed(header_value: str) -> None:
    assert redacted([b"so short"], header_value) == b"so short"
    assert CredentialRedactor(header_value).headers([(b"a", b"short")]) == [(b"a", b"short")]


def echo(stream: bool) -> bytes:
    if stream:
        event = f"event: error\ndata: {json.dumps(error())}\n\n".encode()
        cut = event.index(SECRET.encode()) + 10
        return b"x-echo: %b\r\n\r\n" % SECRET.encode() + (
            chunk(event[:cut]) + chunk(event[cut:]) + chunk(b"")
        )
    body = json.dumps(error()).encode()
    head = b"request-id: %b\r\ncontent-length: %d\r\n\r\n" % (SECRET.encode(), len(body))
    return head + body


def error() -> dict[str, object]:
    message = f"invalid x-api-key {SECRET}"
    return {"type": "error", "error": {"type": "authentication_error", "message": message}}


@pytest.mark.known_escape(5)
@pytest.mark.parametrize("stream", [True, False])
def test_an_agent_never_sees_it(path: Path, stream: bool) -> None:
    """Neither in the answer's body or headers, nor in what the gateway tells of it."""
    plain = b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answered(reader)
        writer.write((HEAD.removesuffix(b"\r\n") if stream else plain) + echo(stream))
        await reader.read()

    async def run() -> None:
        async with Upstream(answer).listening() as url:
            access = ProviderAccess(url, "x-api-key", SECRET, "the account")
            async with open_gateway(path, access) as here:
                got = await here.ask()
                assert SECRET not in got.text
                assert STARS in got.text
                assert STARS in str(got.headers)
                assert SECRET not in str(got.headers)
                told = json.dumps(await here.evidence())
                assert SECRET not in told
                assert f"invalid x-api-key {STARS}" in told

    asyncio.run(run())
