"""The filter of system calls: what it refuses, in processes of their own."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from agent_runner.process import seccomp

_TRY = """
import ctypes, os, socket, sys
from agent_runner.process import seccomp
seccomp.confine()
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    return 0 if libc.syscall(number, *args) >= 0 else ctypes.get_errno()
def make(family, kind=socket.SOCK_STREAM, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        return error.errno
    return 0
print({expression})
"""


def confined(expression: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _TRY.format(expression=expression)],
        cwd=Path(seccomp.__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_only_sockets_that_a_network_namespace_closes_can_be_made() -> None:
    families = "[make(f) for f in (1, 2, 10)], make(16, 3, 0), [make(f) for f in (40, 17, 38)]"
    refused = [errno.EAFNOSUPPORT] * 3
    assert confined(families) == f"[0, 0, 0] 0 {refused}"
    assert confined("make(16, 3, 12)") == str(errno.EPROTONOSUPPORT)


def test_keyrings_are_refused_and_io_uring_does_not_exist() -> None:
    numbers = seccomp._REFUSED  # pyright: ignore[reportPrivateUsage]
    column = 0 if seccomp.platform.machine() == "x86_64" else 1
    calls = {name: numbers[name][column] for name in ("keyctl", "bpf", "userfaultfd", "syslog")}
    assert confined(f"[call(n) for n in {list(calls.values())}]") == str([errno.EPERM] * 4)
    assert confined("call(425, 1, 0)") == str(errno.ENOSYS)


def test_a_build_can_use_what_it_needs() -> None:
    assert confined("os.fork() and os.wait()[1]").splitlines()[-1] == "0"
    assert confined("__import__('subprocess').run(['git', '--version']).returncode")[-1] == "0"


def test_a_machine_without_a_filter_is_named() -> None:
    assert not seccomp.is_known("pdp11")
    with pytest.raises(seccomp.UnknownMachine, match="pdp11"):
        seccomp.program("pdp11")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_a_filter_is_complete_and_ends_with_a_verdict(machine: str) -> None:
    code = seccomp.program(machine)
    assert len(code) % 8 == 0
    assert code[-8:-6] == b"\x06\x00"
