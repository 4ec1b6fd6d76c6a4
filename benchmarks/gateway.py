"""The gateway beside a direct connection: the same answers, the same client, in one run. The goals:
first byte within 5 ms, a model's stream within 10 %, 100 streams without a lost byte.

Provider, gateway, forwarder and the bare relay are processes of their own. The client is the
standard library's, one thread for a stream. The gateway keeps its books in a real database.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agent_runner.process.forward import connect_unix
from benchmarks.gateway_parts import ANSWERS, CERTIFICATE, END, HERE, START, TOKEN, process
from benchmarks.tables import interleaved

STREAMS = 100
TITLES: Mapping[str, tuple[str, int]] = {
    "model": ("A fast model's stream, 2,000 events a second", 3),
    "line": ("All that 1 Gbit/s carries, 125 MB/s, chunks of 32 kB", 7),
    "small": ("As fast as the machine can, events of 140 bytes, each a chunk", 15),
    "large": ("The same, chunks of 32 kB", 15),
}
"""What is measured, and in how many rounds."""


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


Ways = Mapping[str, Way]


def _tcp(port: int) -> Callable[[], http.client.HTTPConnection]:
    def connect() -> http.client.HTTPConnection:
        return _at_once(http.client.HTTPConnection(HERE, port))

    return connect


def _tls(port: int) -> Callable[[], http.client.HTTPConnection]:
    def connect() -> http.client.HTTPConnection:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return _at_once(http.client.HTTPSConnection(HERE, port, context=context))

    return connect


def _at_once(connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _show(what: str, unit: str, medians: Mapping[str, float], goal: str) -> None:
    print(f"\n{what}\n")
    print(f"| way | {unit} | beside direct | goal |\n|---|---|---|---|")
    direct = next(iter(medians.values()))
    for number, (name, value) in enumerate(medians.items()):
        beside = f"+{value - direct:.2f} ms" if unit == "ms" else f"{value / direct:.2f}"
        print(f"| {name} | {value:.2f} | {beside} | {goal} |" if number else
              f"| {name} | {value:.2f} | | |")  # fmt: skip


def _first_bytes(ways: Ways, rounds: int = 300) -> None:
    first = interleaved({k: lambda w=w: w.ask("first")[0] for k, w in ways.items()}, rounds)
    medians = {name: statistics.median(t) * 1000 for name, t in first.items()}
    _show(f"First byte (median of {rounds})", "ms", medians, "+5 ms")


def _rates(ways: Ways, name: str) -> None:
    title, rounds = TITLES[name]
    subjects = {k: lambda w=w: w.ask(name)[1] for k, w in ways.items()}
    times = interleaved(subjects, rounds)
    size = ANSWERS[name].size
    rates = {k: size / statistics.median(t) / 1e6 for k, t in times.items()}
    goal = "0.90" if name == "model" else ""
    _show(f"{title} (median of {rounds})", "MB/s", rates, goal)


def _measure(title: str, ways: Ways) -> None:
    print(f"\n## {title}")
    for way in ways.values():
        way.ask("small")
    _first_bytes(ways)
    for name in TITLES:
        _rates(ways, name)


def _hundred(way: Callable[[], Way]) -> None:
    answer = ANSWERS["small"]
    expected = hashlib.sha256(START + answer.event * answer.events + END).hexdigest()

    def one(_: int) -> bool:
        digest = hashlib.sha256()
        way().ask("small", digest.update)
        return digest.hexdigest() == expected

    begin = time.perf_counter()
    with ThreadPoolExecutor(STREAMS) as pool:
        whole = sum(pool.map(one, range(STREAMS)))
    seconds = time.perf_counter() - begin
    print(
        f"\n{STREAMS} streams at once through gateway and forwarder: {whole} with the right hash, "
        f"{STREAMS * answer.size / 1e6:.0f} MB in {seconds:.1f} s"
    )


def main() -> None:
    """Print the section of the table."""
    with ExitStack() as stack:
        start = stack.enter_context
        folder = Path(start(tempfile.TemporaryDirectory(prefix="rover-bench-", dir=Path.cwd())))
        plain, secure = map(int, start(process("provider", str(folder))).split())
        trusted = {"SSL_CERT_FILE": str(folder / CERTIFICATE)}
        start(process("gateway", str(folder), "plain", f"http://{HERE}:{plain}"))
        start(process("gateway", str(folder), "tls", f"https://{HERE}:{secure}", **trusted))
        start(process("relay", str(folder / "relay.sock"), str(plain)))
        inside = int(start(process("forwarder", str(folder / "plain.sock"))))
        _measure(
            "Without TLS",
            {
                "direct": Way(_tcp(plain)),
                "bare relay": Way(lambda: _Unix(folder / "relay.sock")),
                "gateway": Way(lambda: _Unix(folder / "plain.sock"), "/anthropic"),
                "gateway and forwarder": Way(_tcp(inside), "/anthropic"),
            },
        )
        _measure(
            "With TLS to the provider, as real ones have it",
            {
                "direct": Way(_tls(secure)),
                "gateway": Way(lambda: _Unix(folder / "tls.sock"), "/anthropic"),
            },
        )
        _hundred(lambda: Way(_tcp(inside), "/anthropic"))


if __name__ == "__main__":
    sys.exit(main())
