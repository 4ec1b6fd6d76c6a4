"""The program that runs a shell on a terminal, for a client at the other end of a socket."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.process import terminal_host
from agent_runner.process.terminal_host import LONGEST, SIZE, STATUS, TerminalFrames, frame

TEXT = Path(terminal_host.__file__).read_text("utf-8")


class Host:
    """The program as the runner starts it: only its text, and the socket as standard output."""

    def __init__(self, *argv: str, rows: int = 24, columns: int = 80) -> None:
        self.link, theirs = socket.socketpair()
        self.link.settimeout(300)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", TEXT, str(rows), str(columns), *argv],
            stdin=subprocess.DEVNULL, stdout=theirs.fileno(),
        )  # fmt: skip
        theirs.close()
        self._frames = TerminalFrames()
        self.printed: dict[bytes, bytes] = {b"d": b"", b"e": b""}
        self.status: int | None = None

    def read(self, until: bytes = b"") -> bool:
        """Read until this was printed, or the program has ended; whether it was printed."""
        while self.status is None and not (until and until in self.printed[b"d"]):
            data = self.link.recv(65536)
            assert data, "the connection ended before the program's status came"
            for kind, content in self._frames.add(data):
                if kind == b"x":
                    self.status = STATUS.unpack(content)[0]
                else:
                    self.printed[kind] += content
        return until in self.printed[b"d"]

    def close(self) -> None:
        self.link.close()
        self.process.wait(timeout=300)


@given(st.lists(st.tuples(st.sampled_from([b"d", b"e", b"x"]), st.binary(max_size=50))), st.data())
def test_frames_come_out_however_the_stream_is_cut(
    sent: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(frame(kind, content) for kind, content in sent)
    frames, taken = TerminalFrames(), list[tuple[bytes, bytes]]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        taken += frames.add(stream[:size])
        stream = stream[size:]
    assert taken == sent


def test_a_frame_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        TerminalFrames().add(terminal_host.HEAD.pack(b"d", LONGEST + 1))


@pytest.mark.parametrize(
    ("argv", "status"),
    [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137),
     (["/nowhere/at-all"], 127)],
)  # fmt: skip
@pytest.mark.parametrize("rows", [24, 0])
def test_the_status_is_the_programs(argv: list[str], status: int, rows: int) -> None:
    host = Host(*argv, rows=rows)
    host.read()
    assert host.status == status
    host.close()


def test_the_program_has_a_terminal_of_the_clients_size() -> None:
    host = Host("sh", "-c", "tty; stty size; read line; stty size", rows=31, columns=97)
    assert host.read(b"31 97")
    assert host.printed[b"d"].startswith(b"/dev/pts/")
    host.link.sendall(frame(b"r", SIZE.pack(40, 120)) + frame(b"d", b"\n"))
    assert host.read(b"40 120")
    host.close()


def test_an_interrupt_reaches_what_runs_in_the_shell() -> None:
    host = Host("sh", "-c", "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 1; done")
    assert host.read(b"ready")
    host.link.sendall(frame(b"d", b"\x03"))
    assert host.read(b"caught")
    host.read()
    assert host.status == 4
    host.close()


def test_without_a_terminal_the_streams_stay_apart() -> None:
    host = Host("sh", "-c", "cat; echo bad >&2; test -t 0 || echo none", rows=0)
    host.link.sendall(frame(b"d", b"typed\n") + frame(b"c"))
    host.read()
    assert host.printed == {b"d": b"typed\nnone\n", b"e": b"bad\n"}
    host.close()


def test_a_program_in_the_background_does_not_hold_the_end_up() -> None:
    host = Host("sh", "-c", "trap '' HUP; sleep 600 & echo $!; exit 5")
    host.read()
    assert host.status == 5
    subprocess.run(["kill", "-9", host.printed[b"d"].decode().strip()], check=True)
    host.close()


def test_the_program_is_hung_up_when_the_client_goes() -> None:
    host = Host("sh", "-c", "echo up; sleep 600")
    assert host.read(b"up")
    host.link.close()
    assert host.process.wait(timeout=300) == 129


def test_the_program_does_not_get_the_socket() -> None:
    listed = "import os; print(sorted(os.readlink(f'/proc/self/fd/{n}') for n in range(9) "
    listed += "if os.path.exists(f'/proc/self/fd/{n}')))"
    for rows in (24, 0):
        host = Host(sys.executable, "-c", listed, rows=rows)
        host.read()
        assert b"socket" not in host.printed[b"d"]
        host.close()
