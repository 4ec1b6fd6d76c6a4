"""The gateway as a proxy, over its real socket; the internet is all on loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rover_mcp.domain.network_policy import IF_ALLOWED, NetworkMode, NetworkPolicy
from rover_mcp.gateway import proxy as egress_module
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant
from rover_mcp.gateway.internet import UpstreamProxy
from rover_mcp.gateway.refusals import RefusedHost
from tests.support.fake_internet import PUBLIC, FakeInternet

from .open_gateway import TASK, TOKEN

BASIC = "Proxy-Authorization: Basic " + base64.b64encode(f"rover:{TOKEN}".encode()).decode()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class GatewayHarness:
    path: Path
    internet: FakeInternet
    gateway: Gateway
    refused: list[RefusedHost] = field(default_factory=list[RefusedHost])

    async def send(self, text: str | bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(text if isinstance(text, bytes) else text.encode())
        return reader, writer

    async def ask(self, line: str, *headers: str) -> tuple[str, str]:
        """Head and body of the answer to one request."""
        lines = [f"{line} HTTP/1.1", "Host: x", BASIC, *headers, "Connection: close", "", ""]
        reader, writer = await self.send("\r\n".join(lines))
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        return head, body

    async def tunnel(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{BASIC}\r\n\r\n"
        reader, writer = await self.send(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 Connection established\r\n"), head
        return reader, writer


@asynccontextmanager
async def gate(
    path: Path,
    policy: NetworkPolicy | None = None,
    proxy: Callable[[str], UpstreamProxy | None] = lambda _: None,
    sent: dict[str, int] | None = None,
    own: tuple[str, ...] = (),
) -> AsyncGenerator[GatewayHarness]:
    record: dict[str, int] = {} if sent is None else sent
    internet = FakeInternet()
    refused: list[RefusedHost] = []
    lease = GatewayGrant(
        task_id=TASK, attempt=1, socket_path=path, token=TOKEN,
        providers=frozenset({"anthropic"}),
        credentials=lambda _: None, on_bell=lambda _: None, on_answer=lambda *_: None,
        network=policy or NetworkPolicy(), own_hosts=own, upstream_proxy=proxy,
        on_refused=lambda _, host: refused.append(host),
        sent=lambda: dict(record), on_sent=lambda _, counts: record.update(counts),
    )  # fmt: skip
    gateway = Gateway(network=internet)
    await gateway.open(lease)
    try:
        yield GatewayHarness(path, internet, gateway, refused)
    finally:
        await gateway.aclose()


@asynccontextmanager
async def server(serve: Serve) -> AsyncGenerator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(guarded, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work(), 300)

    asyncio.run(bounded())


def test_an_allowed_host_is_reached_at_the_address_that_was_checked(path: Path) -> None:
    async def work() -> None:
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            reader, writer = await here.tunnel("PyPI.org.:443")
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert here.internet.looked_up == ["pypi.org"]
            assert here.internet.connected == [(PUBLIC, 443)]
            assert here.refused == []
            writer.close()

    run(work)


def test_a_half_that_ends_leaves_the_other_open(path: Path) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read()
        writer.write(b"you said " + asked)

    async def work() -> None:
        async with gate(path) as here, server(late) as port:
            here.internet.host("pypi.org", 443, port)
            reader, writer = await here.tunnel("pypi.org:443")
            writer.write(b"everything")
            writer.write_eof()
            assert await reader.read() == b"you said everything"
            writer.close()

    run(work)


def test_no_byte_is_lost_in_either_direction(path: Path) -> None:
    """Eight tunnels at once, a few megabytes each way."""
    data = random.Random(4).randbytes(3 * 1024**2)

    async def one(here: GatewayHarness) -> str:
        reader, writer = await here.tunnel("pypi.org:443")

        async def write() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(write())
        got = await reader.read()
        await sending
        writer.close()
        return hashlib.sha256(got).hexdigest()

    async def work() -> None:
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            sums = await asyncio.gather(*(one(here) for _ in range(8)))
            assert set(sums) == {hashlib.sha256(data).hexdigest()}

    run(work)


@pytest.mark.parametrize(
    "header",
    [
        "X-Api-Key: " + TOKEN,
        "Proxy-Authorization: Bearer " + TOKEN,
        "Proxy-Authorization: Basic !!!",
        "Proxy-Authorization: Basic " + base64.b64encode(b"rover:wrong").decode(),
        "Proxy-Authorization: Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode(),
    ],
)
def test_nothing_is_looked_up_without_the_token_and_the_connection_stays(
    path: Path, header: str
) -> None:
    """407, as curl and Java expect it: the second try comes on the same connection."""

    async def work() -> None:
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            start = "CONNECT pypi.org:443 HTTP/1.1\r\nHost: x\r\n"
            reader, writer = await here.send(f"{start}{header}\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.startswith("http/1.1 407 ")
            assert 'proxy-authenticate: basic realm="rover"' in head
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            await reader.readexactly(length)
            assert here.internet.looked_up == []
            writer.write(f"{start}{BASIC}\r\n\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.close()

    run(work)


def test_a_refusal_says_why_and_what_would_allow_it_where_clients_show_it(path: Path) -> None:
    """Most of them print no more than the status line of what a CONNECT is answered with."""

    async def work() -> None:
        async with gate(path) as here:
            head, body = await here.ask("CONNECT example.org:443")
            line = head.split("\r\n")[0]
            assert line.startswith("HTTP/1.1 403 Forbidden (Rover: example.org is not on the")
            assert '"example.org" in network.allow of config.yaml, or network: open' in line
            assert "example.org is not on the allow-list" in json.loads(body)["error"]["message"]
            (refused,) = here.refused
            assert refused.host == "example.org:443"
            assert refused.remedy == (
                '"example.org" in network.allow of config.yaml, or network: open, ' + IF_ALLOWED
            )
            assert here.gateway.refusals(TASK)[0].target == "example.org:443"
            assert here.internet.looked_up == []

    run(work)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("CONNECT", "169.254.169.254:80"),
        ("CONNECT", "127.0.0.1:443"),
        ("CONNECT", "2130706433:443"),
        ("CONNECT", "[::1]:443"),
        ("CONNECT", "user@example.org:443"),
        ("GET", "http://169.254.169.254/latest/meta-data/"),
        ("GET", "http://0x7f000001/"),
        ("GET", "https://example.org/"),
        ("POST", "http://example.org/"),
    ],
)
def test_no_way_to_an_address_or_around_the_name_even_in_open(
    path: Path, method: str, target: str
) -> None:
    async def work() -> None:
        async with gate(path, NetworkPolicy(mode=NetworkMode.OPEN)) as here:
            head, _ = await here.ask(f"{method} {target}", "Content-Length: 0")
            assert head.startswith("HTTP/1.1 403 ")
            assert here.internet.looked_up == []
            assert here.internet.connected == []

    run(work)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.7"],
        ["169.254.169.254"],
        [PUBLIC, "192.168.1.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::a00:1"],
        ["2002:7f00:1::"],
        ["fe80::1%3"],
    ],
)
@pytest.mark.parametrize("mode", [NetworkMode.ALLOWLIST, NetworkMode.OPEN])
def test_a_name_that_leads_to_a_private_address_is_refused_at_once(
    path: Path, addresses: list[str], mode: NetworkMode
) -> None:
    async def work() -> None:
        async with gate(path, NetworkPolicy(mode=mode, allow=("rebind.example.org",))) as here:
            here.internet.names["rebind.example.org"] = addresses
            head, _ = await here.ask("CONNECT rebind.example.org:443")
            assert head.startswith("HTTP/1.1 403 ")
            assert "is not a public address" in head
            assert here.internet.connected == []
            assert "never connects" in here.refused[0].reason

    run(work)


@pytest.mark.parametrize(
    ("entry", "asked", "address", "passes"),
    [
        ("nexus.corp.example:8443", "nexus.corp.example:8443", "10.1.2.3", True),
        ("nexus.corp.example", "nexus.corp.example:443", "fd12:3456::9", True),
        ("10.1.2.3:8443", "10.1.2.3:8443", "10.1.2.3", True),
        ("[fd12:3456::9]", "[fd12:3456::9]:443", "fd12:3456::9", True),
        ("nexus.corp.example", "nexus.corp.example:443", "100.64.7.7", True),
        # Another port, another host, and a domain whose names somebody else may give away.
        ("nexus.corp.example:8443", "nexus.corp.example:443", "10.1.2.3", False),
        ("*.corp.example", "nexus.corp.example:443", "10.1.2.3", False),
        ("10.1.2.3", "10.1.2.4:443", "10.1.2.4", False),
        ("nexus.corp.example", "10.1.2.3:443", "10.1.2.3", False),
        # What no entry opens.
        ("nexus.corp.example", "nexus.corp.example:443", "127.0.0.1", False),
        ("nexus.corp.example", "nexus.corp.example:443", "169.254.169.254", False),
        ("nexus.corp.example", "nexus.corp.example:443", "fd00:ec2::254", False),
        ("nexus.corp.example", "nexus.corp.example:443", "100.100.100.200", False),
        ("nexus.corp.example", "nexus.corp.example:443", "::ffff:10.1.2.3", False),
        ("nexus.corp.example", "nexus.corp.example:443", "0.0.0.0", False),
        ("127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", False),
        ("[::1]:8080", "[::1]:8080", "::1", False),
        ("169.254.169.254:80", "169.254.169.254:80", "169.254.169.254", False),
        ("[fd00:ec2::254]:80", "[fd00:ec2::254]:80", "fd00:ec2::254", False),
    ],
)
def test_only_what_the_users_own_list_spells_out_may_be_private(
    path: Path, entry: str, asked: str, address: str, passes: bool
) -> None:
    """Case 22. On 4ed2e71 every private address was refused, whoever named it."""

    async def work(own: tuple[str, ...], *, opens: bool) -> GatewayHarness:
        host = asked.rpartition(":")[0]
        policy = NetworkPolicy(allow=(entry, host))
        async with server(echo) as port, gate(path, policy, own=own) as here:
            here.internet.names[host] = [address]
            here.internet.places[address, int(asked.rpartition(":")[2])] = port
            if opens:
                _, writer = await here.tunnel(asked)
                writer.close()
            else:
                head, _ = await here.ask(f"CONNECT {asked}")
                assert head.startswith("HTTP/1.1 403 "), head
            assert [a for a, _ in here.internet.connected] == ([address] if opens else [])
            return here

    asyncio.run(work((entry,), opens=passes))
    # The same entry of a project, or of a repository's remotes.
    here = asyncio.run(work((), opens=False))
    if passes:
        remedy = f'"{asked.removesuffix(":443")}" in network.allow of config.yaml'
        assert here.refused[0].remedy == remedy


def test_a_host_of_the_users_that_moves_is_judged_at_each_request(path: Path) -> None:
    """Rebinding: neither this machine nor loopback is reached by a name that may be private."""

    async def work() -> None:
        own = ("nexus.corp.example",)
        async with server(echo) as port, gate(path, NetworkPolicy(allow=own), own=own) as here:
            here.internet.host("nexus.corp.example", 443, port, "10.1.2.3")
            _, writer = await here.tunnel("nexus.corp.example:443")
            writer.close()
            here.internet.own.add("10.1.2.9")
            for address in ("127.0.0.1", "10.1.2.9", "169.254.169.254"):
                here.internet.names["nexus.corp.example"] = ["10.1.2.3", address]
                head, _ = await here.ask("CONNECT nexus.corp.example:443")
                assert head.startswith("HTTP/1.1 403 "), head
            assert here.internet.connected == [("10.1.2.3", 443)]

    run(work)


def test_a_name_is_looked_up_once_for_each_request(path: Path) -> None:
    """Rebinding: what was checked is what is connected to, and the next request is judged anew."""

    async def work() -> None:
        async with (
            gate(path, NetworkPolicy(mode=NetworkMode.OPEN)) as here,
            server(echo) as port,
        ):
            here.internet.host("a.example.org", 443, port)
            _, writer = await here.tunnel("a.example.org:443")
            here.internet.names["a.example.org"] = ["127.0.0.1"]
            assert here.internet.looked_up == ["a.example.org"]
            assert here.internet.connected == [(PUBLIC, 443)]
            head, _ = await here.ask("CONNECT a.example.org:443")
            assert head.startswith("HTTP/1.1 403 ")
            writer.close()

    run(work)


def test_the_machine_of_rover_is_not_reached_by_its_public_address(path: Path) -> None:
    async def work() -> None:
        async with gate(path, NetworkPolicy(mode=NetworkMode.OPEN)) as here:
            here.internet.host("me.example.org", 443, 1)
            here.internet.own.add(PUBLIC)
            head, _ = await here.ask("CONNECT me.example.org:443")
            assert "the machine that Rover runs on" in head
            assert here.internet.connected == []

    run(work)


def test_the_next_address_is_tried_and_a_dead_host_is_a_502(path: Path) -> None:
    async def work() -> None:
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            here.internet.names["pypi.org"] = ["8.8.8.8", PUBLIC]
            _, writer = await here.tunnel("pypi.org:443")
            writer.close()
            here.internet.names["github.com"] = ["8.8.8.8"]
            head, _ = await here.ask("CONNECT github.com:443")
            assert head.startswith("HTTP/1.1 502 ")
            head, _ = await here.ask("CONNECT gitlab.com:443")
            assert head.startswith("HTTP/1.1 502 ")
            assert "Name or service not known" in head
            assert here.refused == []

    run(work)


def test_plain_http_leaves_without_log_ins_and_each_redirect_is_judged(
    path: Path,
) -> None:
    """A redirect is the client's to follow: to the gateway it is a request like any other."""
    seen: list[str] = []

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.append(request)
        if " /moved " in request:
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n"
                b"Content-Length: 0\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
            )
        else:
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000)
        await writer.drain()

    async def work() -> None:
        async with gate(path) as here, server(mirror) as port:
            here.internet.host("deb.debian.org", 80, port)
            head, _ = await here.ask(
                "GET http://deb.debian.org/moved", "Authorization: Basic secret",
                "Cookie: a=secret", "X-Token: my " + TOKEN, "X-Hop: secret",
                "Connection: x-hop", "Keep-Alive: secret", "Accept: text/plain",
            )  # fmt: skip
            assert head.startswith("HTTP/1.1 302 ")
            assert "x-hop" not in head.lower()
            assert seen[0].startswith("GET /moved HTTP/1.1\r\nhost: deb.debian.org\r\n")
            assert "accept: text/plain" in seen[0]
            assert "secret" not in seen[0]
            assert TOKEN not in seen[0]
            assert "proxy" not in seen[0].lower()
            head, _ = await here.ask("GET http://169.254.169.254/")
            assert head.startswith("HTTP/1.1 403 ")
            head, body = await here.ask("GET http://deb.debian.org/long")
            assert head.startswith("HTTP/1.1 200 ")
            assert body.count("x") == 100_000
            assert here.internet.connected == [(PUBLIC, 80), (PUBLIC, 80)]

    run(work)


def test_a_plain_host_that_does_not_speak_http_is_a_502(path: Path) -> None:
    async def noise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n\r\n")
        await writer.drain()

    async def work() -> None:
        async with gate(path) as here, server(noise) as port:
            here.internet.host("deb.debian.org", 80, port)
            head, _ = await here.ask("GET http://deb.debian.org/")
            assert head.startswith("HTTP/1.1 502 ")

    run(work)


@pytest.mark.parametrize("mode", [NetworkMode.NONE, NetworkMode.PROVIDERS])
def test_without_a_proxy_mode_every_host_is_refused(path: Path, mode: NetworkMode) -> None:
    async def work() -> None:
        async with gate(path, NetworkPolicy(mode=mode)) as here:
            head, _ = await here.ask("CONNECT pypi.org:443")
            assert "network: allowlist, or open" in head
            bell = await here.send(
                f"POST /rover/v1/bell HTTP/1.1\r\nHost: x\r\nX-Api-Key: {TOKEN}\r\n"
                "Content-Length: 0\r\n\r\n"
            )
            assert (await bell[0].readline()).startswith(b"HTTP/1.1 204")
            bell[1].close()

    run(work)


def test_none_does_not_even_reach_the_model_api(path: Path) -> None:
    async def work() -> None:
        async with gate(path, NetworkPolicy(mode=NetworkMode.NONE)) as here:
            head, body = await here.ask("GET /anthropic/v1/models", f"X-Api-Key: {TOKEN}")
            assert head.startswith("HTTP/1.1 403 ")
            assert "network policy" in body

    run(work)


def test_a_silent_tunnel_is_ended_and_a_busy_one_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = 40.0
    monkeypatch.setattr(egress_module, "IDLE_SECONDS", idle)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        real, ahead = loop.time, 0.0
        # The clock of all timers of the loop.
        monkeypatch.setattr(loop, "time", lambda: real() + ahead)
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            reader, writer = await here.tunnel("pypi.org:443")
            for _ in range(5):
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                ahead += idle / 2
            ahead += idle
            assert await reader.read() == b""
            writer.close()

    run(work)


def test_an_attempt_cannot_pass_more_than_its_share(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress_module, "MAX_BYTES", 100_000)

    async def work() -> None:
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            reader, writer = await here.tunnel("pypi.org:443")
            writer.write(os.urandom(200_000))
            got = 0
            try:
                while data := await reader.read(65536):
                    got += len(data)
            except ConnectionError:
                pass
            assert got < 100_000
            head, _ = await here.ask("CONNECT pypi.org:443")
            assert "as much as it may" in head
            assert {r.host for r in here.refused} == {"pypi.org:443"}
            writer.close()

    run(work)


def test_tunnels_leave_room_for_the_model_api(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "MAX_TUNNELS", 2)

    async def work() -> None:
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            writers = [(await here.tunnel("pypi.org:443"))[1] for _ in range(2)]
            head, _ = await here.ask("CONNECT pypi.org:443")
            assert head.startswith("HTTP/1.1 503 ")
            for writer in writers:
                writer.close()

    run(work)


def test_the_users_own_proxy_is_used_by_name_and_with_its_own_login(path: Path) -> None:
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if "github.com" in asked[-1]:
            writer.write(b"HTTP/1.1 403 No\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n")
        await echo(reader, writer)

    async def work() -> None:
        async with server(proxy) as port:
            environment = {
                "https_proxy": f"http://me:p%40ss@127.0.0.1:{port}",
                "NO_PROXY": "x.example.org, .gitlab.com",
            }
            route = lambda name: UpstreamProxy.of(environment, name)  # noqa: E731
            async with gate(path, proxy=route) as here:
                reader, writer = await here.tunnel("pypi.org:443")
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                writer.close()
                assert asked[0].startswith("CONNECT pypi.org:443 HTTP/1.1\r\n")
                login = base64.b64encode(b"me:p@ss").decode()
                assert f"Proxy-Authorization: Basic {login}\r\n" in asked[0]
                assert TOKEN not in asked[0]
                assert here.internet.looked_up == []
                head, _ = await here.ask("CONNECT github.com:443")
                assert "your proxy answered 403" in head
                head, _ = await here.ask("CONNECT example.org:443")
                assert head.startswith("HTTP/1.1 403 ")
                assert len(asked) == 2
                await here.ask("CONNECT gitlab.com:443")
                assert here.internet.looked_up == ["gitlab.com"]

    run(work)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, UpstreamProxy("p", 3128)),
        ({"all_proxy": "p:3128"}, UpstreamProxy("p", 3128)),
        ({"HTTPS_PROXY": "https://p"}, UpstreamProxy("p", 443, tls=True)),
        ({"HTTPS_PROXY": "socks5://p:1080"}, None),
        ({"HTTPS_PROXY": "http://p:notaport"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "pypi.org"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": ".org"}, None),
    ],
)
def test_the_users_proxy_is_read_from_the_usual_variables(
    environment: dict[str, str], found: UpstreamProxy | None
) -> None:
    assert UpstreamProxy.of(environment, "pypi.org") == found


def test_what_follows_a_connect_at_once_is_the_tunnels(path: Path) -> None:
    async def work() -> None:
        async with gate(path) as here, server(echo) as port:
            here.internet.host("pypi.org", 443, port)
            reader, writer = await here.send(
                f"CONNECT pypi.org:443 HTTP/1.1\r\nHost: x\r\n{BASIC}\r\n\r\nearly"
            )
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(5) == b"early"
            writer.close()

    run(work)


def test_the_end_of_a_lease_ends_its_tunnels(path: Path) -> None:
    gone = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    async def work() -> None:
        async with gate(path) as here, server(wait) as port:
            here.internet.host("pypi.org", 443, port)
            reader, writer = await here.tunnel("pypi.org:443")
            await here.gateway.close(TASK)
            assert await reader.read() == b""
            await gone.wait()
            writer.close()

    run(work)
