"""Providers and registries behind an authority and a proxy of an organisation's own: real TLS and
a real proxy, on loopback (M2)."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_runner.authorities import FILE_NAME
from rover_mcp.config.certificate_authorities import VARIABLES, authorities, bundle
from rover_mcp.control.sandbox_spec import make_folders
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant
from rover_mcp.sandbox.npm_install import NpmFailed, install
from tests.support.certificates import server_context
from tests.unit.gateway.open_gateway import TASK, TOKEN, access_to

LOGIN = "cmV2aWV3ZXI6czNjcmV0"
"""reviewer:s3cret"""


class CompanyNetwork:
    """A server whose certificate the company signed, and the proxy that leads to it."""

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "company.pem"
        self._context = server_context(self.authority)
        self.asked: list[bytes] = []
        self.tunnels: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(300)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._proxy = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.proxy = f"http://reviewer:s3cret@127.0.0.1:{self._proxy.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0])
        is_model, body = head.startswith(b"POST"), b'{"error": "not found"}'
        if is_model:
            body = json.dumps({"model": "m", "choices": [], "usage": {}}).encode()
        writer.write(b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\n"
                     % (b"200 OK" if is_model else b"404 Not Found"))  # fmt: skip
        writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        method, target, _ = lines[0].split(b" ")
        login = [
            v
            for line in lines
            if (v := line.partition(b": ")) and v[0].lower() == b"proxy-authorization"
        ]
        self.tunnels.append((method + b" " + target, login[0][2] if login else b""))
        there = await asyncio.open_connection("127.0.0.1", int(target.rpartition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(300)
        for server in (self._server, self._proxy):
            server.close()
        for left in asyncio.all_tasks(self._loop):
            left.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


@contextmanager
def _company(folder: Path) -> Iterator[CompanyNetwork]:
    company = CompanyNetwork(folder)
    try:
        yield company
    finally:
        company.close()


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CompanyNetwork]:
    for name in (*VARIABLES, "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with _company(tmp_path) as made:
        yield made


def asked_through_the_gateway(folder: Path, url: str) -> tuple[int, dict[str, Any]]:
    async def work() -> tuple[int, dict[str, Any]]:
        gateway = Gateway(write=lambda _: None)
        await gateway.open(
            GatewayGrant(
                task_id=TASK, attempt=1, socket_path=folder / "g.sock", token=TOKEN,
                providers=frozenset({"openai"}), credentials=lambda _: access_to(url),
                on_bell=lambda _: None, on_answer=lambda _task, _answer: None,
            )
        )  # fmt: skip
        transport = httpx2.AsyncHTTPTransport(uds=str(folder / "g.sock"))
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://g", timeout=300
        ) as client:
            body = {"model": "m", "messages": []}
            path = "/openai/v1/chat/completions"
            answer = await client.post(path, json=body, headers=headers, timeout=300)
        await gateway.aclose()
        return answer.status_code, answer.json()

    return asyncio.run(work())


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_gateway_trusts_the_authority_whatever_variable_names_it(
    company: CompanyNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(company.authority))
    assert asked_through_the_gateway(tmp_path, company.url)[0] == 200


def test_without_it_the_answer_says_what_to_do(company: CompanyNetwork, tmp_path: Path) -> None:
    status, told = asked_through_the_gateway(tmp_path, company.url)
    assert status >= 500
    assert "set NODE_EXTRA_CA_CERTS" in json.dumps(told)
    assert company.asked == []


def test_the_gateway_takes_the_proxy_and_its_login(
    company: CompanyNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(company.authority))
    monkeypatch.setenv("HTTPS_PROXY", company.proxy)
    assert asked_through_the_gateway(tmp_path, company.url)[0] == 200
    assert company.tunnels == [
        (f"CONNECT {company.url.removeprefix('https://')}".encode(), b"Basic " + LOGIN.encode())
    ]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert asked_through_the_gateway(tmp_path, company.url)[0] == 200
    assert len(company.tunnels) == 1


@pytest.mark.parametrize("proxied", [False, True])
def test_npm_fetches_with_the_authority_and_through_the_proxy(
    company: CompanyNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    """Node reads NODE_EXTRA_CA_CERTS alone; here another variable names it."""
    # Node compares an address in a tunnel with the certificate's names alone.
    url = company.url.replace("127.0.0.1", "localhost") if proxied else company.url
    monkeypatch.setenv("npm_config_registry", url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("SSL_CERT_FILE", str(company.authority))
    if proxied:
        monkeypatch.setenv("HTTPS_PROXY", company.proxy)
    with pytest.raises(NpmFailed, match="E404"):
        install(tmp_path, ["no-such-package"], 300)
    assert company.asked
    assert bool(company.tunnels) is proxied


def test_a_sandbox_gets_certificates_and_nothing_else_of_the_files(
    company: CompanyNetwork, tmp_path: Path
) -> None:
    """The file holds the authority's key as well."""
    assert "PRIVATE KEY" in company.authority.read_text()
    environ = {name: str(company.authority) for name in VARIABLES}
    [found] = authorities(environ)
    ssl.create_default_context(cadata=found)
    assert "PRIVATE KEY" not in bundle(environ)
    assert found in bundle(environ)
    assert bundle(environ).count("BEGIN CERTIFICATE") > 20
    assert bundle({"SSL_CERT_FILE": str(tmp_path / "missing")}) == ""


def test_what_an_agent_put_in_the_place_of_the_authorities_leads_nowhere(
    company: CompanyNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link in its HOME, or a folder: the file is made anew at the next attempt."""
    monkeypatch.setenv("SSL_CERT_FILE", str(company.authority))
    folders, mine = TaskFolders(tmp_path / "data", "1" * 32, 1), tmp_path / "mine"
    mine.write_text("mine")
    make_folders(folders, 1)
    file = folders.agent_home / FILE_NAME
    for attempt in (2, 3):
        assert "BEGIN CERTIFICATE" in file.read_text()
        file.unlink()
        file.symlink_to(mine) if attempt == 2 else file.mkdir()
        make_folders(folders, attempt)
    assert file.is_file()
    assert not file.is_symlink()
    assert mine.read_text() == "mine"
