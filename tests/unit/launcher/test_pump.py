"""What the launcher does with bytes, with a test that plays the daemon."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rover_mcp import __version__
from rover_mcp.launcher.session_replay import Frames
from tests.support.stub_daemon import StubDaemon
from tests.unit.launcher.conftest import Launch


def test_the_preamble_tells_who_and_where(launch: Launch, stub: StubDaemon, tmp_path: Path) -> None:
    launch(cwd=tmp_path, ANTHROPIC_API_KEY="k", AWS_SECRET_ACCESS_KEY="not for us")
    hello = stub.accept().hello
    assert hello["rover"] == 1
    assert hello["version"] == __version__
    assert hello["cwd"] == str(tmp_path)
    assert hello["name"] == "launcher"
    assert len(bytes.fromhex(hello["client_id"])) == 16
    assert hello["env"]["ANTHROPIC_API_KEY"] == "k"
    assert "AWS_SECRET_ACCESS_KEY" not in hello["env"]


def test_frames_pass_untouched_in_both_directions(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    for line in (
        b'{"jsonrpc": "2.0",  "id":1,"method":"ping"}\r\n',
        b"{no json\n",
        b"\xff\xfe\x00 binary\n",
        b"[" * 5000 + b"\n",
        b'[{"id":1}]\n',
        b'{"id":{"a":1},"method":7}\n',
    ):
        launcher.raw(line)
        assert daemon.raw() == line
    daemon.sock.sendall(b'{"x":  1}\n\xff\n')
    assert launcher.read_raw() == b'{"x":  1}'
    assert launcher.read_raw() == b"\xff"


def test_blank_lines_are_left_out(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    launcher.raw(b"\n\r\n  \n{}\n")
    assert daemon.raw() == b"{}\n"


def test_ten_megabytes_pass_both_ways(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    text = "x" * 10_000_000
    launcher.request(1, "tools/call", text=text)
    request = daemon.read()
    assert request["params"]["text"] == text
    # Nobody reads the client's side until all is sent: neither side may lose or block the other.
    daemon.sock.settimeout(None)
    sender = threading.Thread(target=daemon.answer, args=(request,), kwargs={"text": text})
    sender.start()
    assert launcher.read()["result"]["text"] == text
    sender.join()


def test_a_line_without_an_end_is_dropped_with_an_error() -> None:
    frames = Frames(limit=10)
    assert frames.feed(b"12345678901") == []
    assert frames.overflowed
    assert frames.feed(b"still the same") == []
    assert frames.feed(b" line\nnext\n") == [b"next\n"]


def test_frames_come_out_however_the_stream_is_cut() -> None:
    stream = b"a\nbb\n\nccc\n"
    for size in range(1, len(stream) + 1):
        frames = Frames()
        out = [f for i in range(0, len(stream), size) for f in frames.feed(stream[i : i + size])]
        assert out == [b"a\n", b"bb\n", b"ccc\n"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_with_status_0(
    launch: Launch, stub: StubDaemon, number: int
) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    launcher.request(1, "slow")
    daemon.read()
    launcher.process.send_signal(number)
    assert launcher.process.wait(300) == 0


def test_the_end_of_stdin_ends_it_at_once_with_status_0(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    launcher.request(1, "slow")
    daemon.read()
    launcher.stdin.close()
    assert launcher.process.wait(300) == 0
    assert daemon.raw() == b""


def test_the_end_of_stdin_ends_it_while_it_still_waits_for_a_daemon(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    stub.accept()
    launcher.stdin.close()
    assert launcher.process.wait(300) == 0


def test_what_came_before_the_end_is_delivered(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    launcher.notify("one")
    daemon.read()
    launcher.raw(b'{"method":"two"}\n' * 1000)
    launcher.stdin.close()
    assert sum(1 for _ in iter(daemon.raw, b"")) == 1000


def test_a_client_that_closes_its_stdout_ends_it(launch: Launch, stub: StubDaemon) -> None:
    launcher = launch()
    stub.accept().welcome()
    launcher.stdout.close()
    assert launcher.process.wait(300) == 0


def test_a_client_that_does_not_read_loses_nothing_and_costs_nothing(
    launch: Launch, stub: StubDaemon
) -> None:
    launcher = launch()
    daemon = stub.accept().welcome()
    daemon.sock.settimeout(0.2)
    frame = b'{"n":"' + b"y" * 8000 + b'"}\n'
    sent = 0
    try:
        while sent < 100_000_000:
            sent += daemon.sock.send(frame[sent % len(frame) :])
    except TimeoutError:
        pass
    assert sent < 10_000_000, "the launcher's memory is bounded"
    pid, end = launcher.process.pid, time.monotonic() + 300
    while _ticks_of_a_while(pid) > 1:
        assert time.monotonic() < end, "it never rests"
    received = 0
    while received < sent // len(frame):
        assert launcher.read_raw() == frame[:-1]
        received += 1


def _ticks_of_a_while(pid: int) -> int:
    before = _cpu_ticks(pid)
    time.sleep(0.2)  # the measure is what it does in a while in which nothing happens
    return _cpu_ticks(pid) - before


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_stdin_and_stdout_may_be_sockets_or_files(stub: StubDaemon, home: Path) -> None:
    """Node gives its children socket pairs; a person may redirect from a file."""
    source = home / "input"
    source.write_bytes(b'{"method":"hello"}\n')
    ours, theirs = socket.socketpair()
    with ours, theirs, source.open("rb") as stdin:
        process = subprocess.Popen(
            [sys.executable, "-m", "rover_mcp.launcher.main", "--home", str(home)],
            stdin=stdin,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        assert process.wait(300) == 0
        assert ours.recv(10) == b""


def test_help_version_and_unknown_options(launch: Launch) -> None:
    shown = launch("--version")
    assert shown.read_raw().decode() == __version__
    assert shown.process.wait(300) == 0
    shown = launch("--help")
    assert b"usage: rover-mcp" in shown.read_raw()
    assert shown.process.wait(300) == 0
    for wrong in (["--fast"], ["--home"]):
        shown = launch(*wrong)
        assert shown.process.wait(300) == 2
        assert b"usage: rover-mcp" in shown.stderr.read()


def test_what_it_imports_stays_small() -> None:
    """The budget is time; what may not be imported is what costs it."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import rover_mcp.launcher.main\n"
        "print(' '.join(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    heavy = {"typing", "pathlib", "subprocess", "dataclasses", "asyncio", "argparse", "pydantic"}
    assert not loaded & heavy
    assert {m.partition(".")[0] for m in loaded if "rover" in m} == {"rover_mcp"}
