"""The loopback port that leads to the gateway's socket."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from agent_runner.process import forward
from agent_runner.process.forward import Forwarder, connect_unix
from agent_runner.process.spawn import gateway_forwarder
from agent_runner.spec import GatewaySpec, RunSpec

FORWARD = [sys.executable, "-I", "-S", forward.__file__]


@pytest.fixture
def upper_socket(tmp_path: Path) -> Iterator[Path]:
    """A server that reads to the end, then answers in upper case and ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen(64)

    def serve(connection: socket.socket) -> None:
        with connection:
            received = b""
            while data := connection.recv(65536):
                received += data
            connection.sendall(received.upper())

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield tmp_path / "s"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(300)


def ask(port: int, content: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        sender = threading.Thread(
            target=lambda: (connection.sendall(content), connection.shutdown(socket.SHUT_WR))
        )
        sender.start()
        received = b""
        while data := connection.recv(65536):
            received += data
        sender.join()
        return received


def test_many_streams_pass_byte_exact_and_half_closed(upper_socket: Path) -> None:
    """The end of a request does not end its answer; streams do not mix."""
    forwarder = Forwarder(str(upper_socket), 0)
    contents = [hashlib.sha256(bytes([n])).hexdigest().encode() * 5000 for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda content: ask(forwarder.port, content), contents))
    forwarder.close()
    assert answers == [content.upper() for content in contents]


def test_a_gateway_that_is_down_closes_the_connection(tmp_path: Path) -> None:
    forwarder = Forwarder(str(tmp_path / "nothing"), 0)
    with socket.create_connection(("127.0.0.1", forwarder.port), timeout=300) as connection:
        assert connection.recv(1) == b""
    forwarder.close()


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    """unix(7): 107 bytes; a data folder may be deeper."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    descriptor = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{descriptor}/s")
        listener.listen()
        with connect_unix(str(folder / "s")) as connection:
            assert connection.getpeername()
    os.close(descriptor)


def test_the_child_reaches_the_socket_and_its_status_comes_back(upper_socket: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = f"""
import socket
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall(b"abc")
    connection.shutdown(socket.SHUT_WR)
    raise SystemExit(7 if connection.recv(10) == b"ABC" else 1)
"""
    child = [sys.executable, "-I", "-S", "-c", script]
    result = subprocess.run([*FORWARD, str(upper_socket), str(port), "--", *child], check=False)
    assert result.returncode == 7


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
)
def test_exit_status_is_the_childs(tmp_path: Path, script: str, code: int) -> None:
    argv = [*FORWARD, str(tmp_path / "s"), "0", "--", "sh", "-c", script]
    assert subprocess.run(argv, check=False).returncode == code


def test_sigterm_is_passed_on_to_the_child(tmp_path: Path) -> None:
    script = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.02; done"
    argv = [*FORWARD, str(tmp_path / "s"), "0", "--", "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "told\n"
        assert process.wait(300) == 5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 125, "usage"),
        (["s", "notaport", "--", "true"], 125, "usage"),
        (["s", "0", "--", "no-such-program"], 127, "command not found: no-such-program"),
        (["s", "99999", "--", "true"], 125, "cannot listen"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments: list[str], code: int, message: str) -> None:
    result = subprocess.run([*FORWARD, *arguments], capture_output=True, text=True, check=False)
    assert (result.returncode, message in result.stderr) == (code, True)


def test_the_runner_forwards_only_where_it_shares_the_agents_network(
    bare: RunSpec, switched: RunSpec, upper_socket: Path
) -> None:
    """Docker: in the runner. bubblewrap: inside each sandbox."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gateway = GatewaySpec(socket=upper_socket, port=port, token="t")

    async def work() -> None:
        async with gateway_forwarder(switched.model_copy(update={"gateway": gateway})):
            assert await anyio.to_thread.run_sync(ask, port, b"abc") == b"ABC"
        for spec in (switched, bare):
            async with gateway_forwarder(spec.model_copy(update={"gateway": gateway})):
                pass
        with pytest.raises(ConnectionRefusedError):
            await anyio.to_thread.run_sync(ask, port, b"abc")

    anyio.run(work)
