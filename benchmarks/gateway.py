"""The gateway beside a direct connection: the same answers, the same client, in one run. DESIGN.md
section 9, issue 4: first byte within 5 ms, throughput within 10 %, 100 streams without a lost byte.

Provider, gateway and forwarder are processes of their own. The client is the standard library's,
one thread for a stream. The gateway keeps its books in a real database.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent_runner.forward import Forwarder, connect_unix
from benchmarks.tables import interleaved
from rover_mcp.daemon.booking import write_entries
from rover_mcp.gateway import Gateway, GatewayLease, ProviderAccess
from rover_mcp.store.migrations import open_database
from rover_mcp.store.store import Store

TOKEN = "bench"
ROUNDS = 15
STREAMS = 100
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
    own, in batches `pause` seconds apart."""

    events: int
    text: int
    batch: int
    pause: float

    def chunks(self) -> list[bytes]:
        body = [START, *(EVENT % (b"x" * self.text) for _ in range(self.events)), END]
        return [b"%x\r\n" % len(part) + part + b"\r\n" for part in body]

    @property
    def size(self) -> int:
        return len(START) + len(END) + self.events * len(EVENT % (b"x" * self.text))


ANSWERS = {
    # What a first byte needs, and no more.
    "first": Answer(1, 20, 1, 0),
    # A very fast model: 2,000 events of four characters or so a second.
    "model": Answer(2000, 20, 20, 0.01),
    # As fast as the machine can: small events, and large ones.
    "small": Answer(20_000, 40, 200, 0),
    "large": Answer(640, 32_000, 10, 0),
}


async def _provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            name = head.lower().partition(b"x-claude-bench: ")[2].partition(b"\r\n")[0].decode()
            answer, chunks = ANSWERS[name], CHUNKS[name]
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
            for start in range(0, len(chunks), answer.batch):
                writer.write(b"".join(chunks[start : start + answer.batch]))
                await writer.drain()
                if answer.pause:
                    await asyncio.sleep(answer.pause)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    writer.close()


CHUNKS: dict[str, list[bytes]] = {}


async def provider() -> None:
    """Serve until killed; the port is told on standard output."""
    CHUNKS.update({name: answer.chunks() for name, answer in ANSWERS.items()})
    server = await asyncio.start_server(_provide, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def gateway(folder: Path, url: str) -> None:
    """Serve one lease until killed."""
    store = Store(open_database(f"sqlite:///{folder / 'rover.db'}"))
    serving = Gateway(write=partial(write_entries, store))
    lease = GatewayLease(
        task_id="bench",
        attempt=1,
        socket_path=folder / "gateway.sock",
        token=TOKEN,
        providers=frozenset({"anthropic"}),
        credentials=lambda _: ProviderAccess(url, "x-api-key", "sk"),
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


@contextlib.contextmanager
def process(*arguments: str) -> Generator[str]:
    """A part of this module as a process; the line that it says first."""
    command = [sys.executable, "-m", "benchmarks.gateway", *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert running.stdout
        yield running.stdout.readline().strip()
    finally:
        running.kill()
        running.communicate()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gateway")
        self._path = path

    def connect(self) -> None:
        self.sock = connect_unix(str(self._path))


@dataclass
class Way:
    """One way to the provider, over a connection that is kept."""

    connect: Callable[[], http.client.HTTPConnection]
    prefix: str = ""
    _kept: http.client.HTTPConnection | None = None

    def ask(
        self, name: str, digest: Callable[[bytes], object] | None = None
    ) -> tuple[float, float]:
        """Seconds to the first byte of the answer's body and to its end."""
        if self._kept is None:
            self._kept = self.connect()
        begin = time.perf_counter()
        headers = {"x-api-key": TOKEN, "x-claude-bench": name}
        self._kept.request("POST", f"{self.prefix}/v1/messages", b"{}", headers)
        response = self._kept.getresponse()
        first, size = 0.0, 0
        while data := response.read1(64 * 1024):
            first = first or time.perf_counter() - begin
            size += len(data)
            if digest is not None:
                digest(data)
        whole = time.perf_counter() - begin
        assert size == ANSWERS[name].size, f"{size} bytes of {ANSWERS[name].size}"
        return first, whole


def _tcp(port: int) -> Callable[[], http.client.HTTPConnection]:
    def connect() -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    return connect


def _first_bytes(ways: dict[str, Way]) -> dict[str, list[float]]:
    return interleaved({k: lambda w=w: w.ask("first")[0] for k, w in ways.items()}, 20 * ROUNDS)


def _show(what: str, unit: str, medians: dict[str, float], goal: str) -> None:
    print(f"\n{what}\n")
    print(f"| way | {unit} | beside direct | goal |\n|---|---|---|---|")
    for name, value in medians.items():
        if name == "direct":
            print(f"| {name} | {value:.2f} | | |")
        elif unit == "ms":
            print(f"| {name} | {value:.2f} | +{value - medians['direct']:.2f} ms | {goal} |")
        else:
            print(f"| {name} | {value:.2f} | {value / medians['direct']:.2f} | {goal} |")


def _measure(ways: dict[str, Way]) -> None:
    for way in ways.values():
        way.ask("small")
    first = _first_bytes(ways)
    medians = {name: statistics.median(t) * 1000 for name, t in first.items()}
    _show(f"First byte (median of {20 * ROUNDS})", "ms", medians, "+5 ms")
    titles = {
        "model": "A fast model's stream, 2,000 events a second",
        "small": "As fast as the machine can, events of 100 bytes, each a chunk",
        "large": "The same, chunks of 32 kB",
    }
    for name, title in titles.items():
        rounds = 3 if name == "model" else ROUNDS
        subjects = {k: lambda w=w, n=name: w.ask(n)[1] for k, w in ways.items()}
        times = interleaved(subjects, rounds)
        size = ANSWERS[name].size
        rates = {k: size / statistics.median(t) / 1e6 for k, t in times.items()}
        _show(f"{title} (median of {rounds})", "MB/s", rates, "0.90")


def _at_once(way: Callable[[], Way]) -> None:
    expected = hashlib.sha256(START + EVENT % (b"x" * 40) * 20_000 + END).hexdigest()

    def one(_: int) -> bool:
        digest = hashlib.sha256()
        way().ask("small", digest.update)
        return digest.hexdigest() == expected

    begin = time.perf_counter()
    with ThreadPoolExecutor(STREAMS) as pool:
        whole = sum(pool.map(one, range(STREAMS)))
    seconds = time.perf_counter() - begin
    size = STREAMS * ANSWERS["small"].size / 1e6
    print(
        f"\n{STREAMS} streams at once through gateway and forwarder: {whole} with the right hash, "
        f"{size:.0f} MB in {seconds:.1f} s"
    )


def main() -> None:
    """Print the section of the table."""
    with (
        tempfile.TemporaryDirectory(prefix="rover-bench-", dir=Path.cwd()) as name,
        process("provider") as port,
        process("gateway", name, f"http://127.0.0.1:{port}"),
        process("forwarder", f"{name}/gateway.sock") as inside,
    ):
        through = Way(_tcp(int(inside)), "/anthropic")
        _measure(
            {
                "direct": Way(_tcp(int(port))),
                "gateway": Way(lambda: _Unix(Path(name) / "gateway.sock"), "/anthropic"),
                "gateway and forwarder": through,
            }
        )
        _at_once(lambda: Way(_tcp(int(inside)), "/anthropic"))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["provider"]:
            asyncio.run(provider())
        case ["gateway", folder, url]:
            asyncio.run(gateway(Path(folder), url))
        case ["forwarder", target]:
            forwarder(target)
        case _:
            main()
