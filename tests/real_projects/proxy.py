"""A proxy on loopback that leads to the package registries and nowhere else.

A machine may reach its registries at addresses of its own that the gateway takes for none that it
may connect to; a user of such a machine has a proxy (docs/network.md), and so do the projects.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

REGISTRIES = ("pypi.org", "files.pythonhosted.org", "registry.npmjs.org")
HEAD_BYTES = 16 * 1024


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or host not in REGISTRIES or port != "443":
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        far_reader, far_writer = await asyncio.open_connection(host, 443)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    except (OSError, ValueError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextmanager
def registry_proxy() -> Iterator[str]:
    """The proxy's address, for as long as the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started = asyncio.start_server(_serve, "127.0.0.1", 0, limit=HEAD_BYTES)
    server = asyncio.run_coroutine_threadsafe(started, loop).result()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
