"""Looks up names and makes connections, through the user's own proxy if the environment names one.

Tests replace all of it by a `Network` of their own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from rover_mcp.config.certificate_authorities import outgoing_context

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 15.0
# getaddrinfo(3) blocks and cannot be cancelled. A name server that does not answer blocks one of
# these threads, and none of those that others wait for.
RESOLVERS = 8
STREAM_BYTES = 256 * 1024
UNASSIGNED = ("192.0.2.1", "2001:db8::1")  # RFC 5737, RFC 3849
HOSTS_FILE = Path("/etc/hosts")
MAX_PROXY_HEAD = 16 * 1024


class Network(Protocol):
    """What the gateway needs of a network. Each method raises OSError if it fails."""

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        """All addresses of a name."""
        ...

    def is_own(self, address: str) -> bool:
        """Whether it is an address of this machine."""
        ...

    async def connect(self, address: str, port: int) -> Streams: ...


class Internet:
    """The network of this machine."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        work = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, name, port)
        async with asyncio.timeout(RESOLVE_SECONDS):
            return await work

    def is_own(self, address: str) -> bool:
        # bind(2) succeeds for this machine's own addresses only, unless net.ipv4.ip_nonlocal_bind
        # lets any address be bound: then an address that no machine has can be bound too.
        return _can_bind(address) and not _can_bind(UNASSIGNED[":" in address])

    async def connect(self, address: str, port: int) -> Streams:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(address, port, limit=STREAM_BYTES)


def _in_hosts_file(name: str) -> bool:
    try:
        text = HOSTS_FILE.read_text("utf-8", "replace").lower()
    except OSError:
        return False
    return name in text and any(
        name in line.partition("#")[0].split()[1:] for line in text.splitlines() if name in line
    )


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _look_up(name: str, port: int) -> list[str]:
    # The trailing dot keeps the resolver from appending the host's search domains, which would
    # reach another host than the one that was judged. Names in the hosts file have no such dot.
    query = name if _in_hosts_file(name) else f"{name}."
    records = socket.getaddrinfo(query, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in records))


@dataclass(frozen=True)
class UpstreamProxy:
    """The proxy that the user's own environment names."""

    host: str
    port: int
    tls: bool = False
    authorization: str = field(default="", repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str], name: str) -> UpstreamProxy | None:
        """The way to the host `name`: HTTPS_PROXY or ALL_PROXY, if NO_PROXY does not except it.
        None: no proxy is named, or one that cannot be used (only http:// and https:// ones can)."""
        # Programs differ in the case that they read, so users set either.
        variables = {key.upper(): value for key, value in environment.items() if value}
        url = variables.get("HTTPS_PROXY") or variables.get("ALL_PROXY")
        if url is None or _excepted(name, variables.get("NO_PROXY", "")):
            return None
        return _parse_proxy(url)

    async def connect(self, destination: str) -> Streams:
        """A connection through the proxy.

        Raises:
            OSError: the proxy cannot be reached, or refuses.
        """
        # The proxy's own certificate is often one of a company's authority, which the user names.
        context = outgoing_context() if self.tls else None
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                self.host, self.port, limit=STREAM_BYTES, ssl=context
            )
            try:
                await self._ask(reader, writer, destination)
            except BaseException:
                writer.close()
                raise
        return reader, writer

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, destination: str
    ) -> None:
        head = f"CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n"
        if self.authorization:
            head += f"Proxy-Authorization: {self.authorization}\r\n"
        writer.write(f"{head}\r\n".encode())
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ConnectionResetError("your proxy did not answer as a proxy does") from error
        status = answer.split(b"\r\n", 1)[0].split(b" ")[1:2]
        if len(answer) > MAX_PROXY_HEAD or not status or not status[0].startswith(b"2"):
            code = status[0].decode("latin-1")[:10] if status else "nothing"
            raise ConnectionRefusedError(f"your proxy answered {code}")


def _excepted(name: str, no_proxy: str) -> bool:
    # ".example.org", "*.example.org" and "example.org" all mean the domain and what is beneath it:
    # NO_PROXY has no standard, and this is what most programs agree on.
    entries = [entry.strip().lower().lstrip("*").lstrip(".") for entry in no_proxy.split(",")]
    return no_proxy.strip() == "*" or any(
        entry and (name == entry or name.endswith(f".{entry}")) for entry in entries
    )


def _parse_proxy(url: str) -> UpstreamProxy | None:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url if "://" in url else f"http://{url}")
        tls = parts.scheme == "https"
        if parts.hostname and parts.scheme in ("http", "https"):
            login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            basic = "Basic " + base64.b64encode(login.encode()).decode()
            authorization = basic if parts.username else ""
            port = parts.port or (443 if tls else 80)
            return UpstreamProxy(parts.hostname, port, tls, authorization)
    return None
