"""The processes of the gateway's benchmark: provider, gateway, forwarder, and a bare relay.

The relay copies bytes between the client and the provider, with no HTTP at all and one blocking
thread per direction: the least that a second process can do. What is lost beside it is ours, what
it loses itself is the machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent_runner.process.forward import CHUNK_BYTES, Forwarder
from rover_mcp.daemon.usage_recording import write_entries
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant, ProviderAccess
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store
from tests.support.certificates import server_context

TOKEN = "bench"
HERE = "127.0.0.1"
CERTIFICATE = "certificate.pem"
EVENT = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}\n\n'
)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-sonnet-4-5",'
    b'"usage":{"input_tokens":1000,"output_tokens":1}}}\n\n'
)
END = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":5000}}\n\n'


@dataclass(frozen=True)
class Answer:
    """What the provider streams: so many events of so many bytes of text, each a chunk of its
    own, in batches that come `pause` seconds apart by the clock."""

    events: int
    text: int
    batch: int
    pause: float

    @property
    def event(self) -> bytes:
        return EVENT % (b"x" * self.text)

    def batches(self) -> Iterator[bytes]:
        """The body as it goes over the wire."""
        batch = _chunk(self.event) * self.batch
        yield _chunk(START)
        for _ in range(self.events // self.batch):
            yield batch
        yield _chunk(END) + b"0\r\n\r\n"

    @property
    def size(self) -> int:
        return len(START) + len(END) + self.events * len(self.event)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


ANSWERS = {
    # What a first byte needs, and no more.
    "first": Answer(1, 20, 1, 0),
    # A very fast model: 2,000 events of four characters or so a second.
    "model": Answer(2000, 20, 20, 0.01),
    # 125 MB/s: all that a line of 1 Gbit/s carries, for half a second.
    "line": Answer(1920, 32_000, 8, 8 * 32_000 / 125e6),
    # As fast as the machine can: small events, and large ones.
    "small": Answer(20_000, 40, 200, 0),
    "large": Answer(1920, 32_000, 10, 0),
}


async def _provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            name = head.lower().partition(b"x-claude-bench: ")[2].partition(b"\r\n")[0].decode()
            answer = ANSWERS[name]
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
            due = loop.time()
            for batch in answer.batches():
                writer.write(batch)
                await writer.drain()
                if answer.pause:
                    due += answer.pause
                    await asyncio.sleep(due - loop.time())
    writer.close()


async def provider(folder: Path) -> None:
    """Serve until killed; the ports, without and with TLS, are told on standard output."""
    context = server_context(folder / CERTIFICATE)
    plain = await asyncio.start_server(_provide, HERE, 0)
    secure = await asyncio.start_server(_provide, HERE, 0, ssl=context)
    print(*(s.sockets[0].getsockname()[1] for s in (plain, secure)), flush=True)
    await asyncio.gather(plain.serve_forever(), secure.serve_forever())


async def gateway(folder: Path, name: str, url: str) -> None:
    """Serve one lease until killed."""
    store = Store(open_database(f"sqlite:///{folder / name}.db"))
    serving = Gateway(write=partial(write_entries, store))
    lease = GatewayGrant(
        task_id=name,
        attempt=1,
        socket_path=folder / f"{name}.sock",
        token=TOKEN,
        providers=frozenset({"anthropic"}),
        credentials=lambda _: ProviderAccess(url, "x-api-key", "sk-ant-bench-credential"),
        on_bell=lambda _: None,
        on_answer=lambda _task, _answer: None,
    )
    await serving.open(lease)
    print("ready", flush=True)
    await asyncio.Event().wait()


def forwarder(target: str) -> None:
    """As the runner does it in a container, until killed."""
    print(Forwarder(target, 0).port, flush=True)
    sys.stdin.read()


def relay(path: Path, port: int) -> None:
    """Serve until killed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            there = socket.create_connection((HERE, port))
            there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((client, there), (there, client)):
                threading.Thread(target=_copy, args=ends, daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    while count := source.recv_into(buffer):
        sink.sendall(buffer[:count])


@contextlib.contextmanager
def process(*arguments: str, **environment: str) -> Generator[str]:
    """A part of this module as a process; the line that it says first."""
    command = [sys.executable, "-m", "benchmarks.gateway_parts", *arguments]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        assert running.stdout
        yield running.stdout.readline().strip()
    finally:
        running.kill()
        running.communicate()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["provider", folder]:
            asyncio.run(provider(Path(folder)))
        case ["gateway", folder, name, url]:
            asyncio.run(gateway(Path(folder), name, url))
        case ["forwarder", target]:
            forwarder(target)
        case ["relay", path, port]:
            relay(Path(path), int(port))
        case _:
            sys.exit(64)
