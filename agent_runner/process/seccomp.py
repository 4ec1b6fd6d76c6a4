"""Builds the system call filter for everything that an agent starts: seccomp(2).

It closes what namespaces leave open. An AF_VSOCK socket reaches the hypervisor from any network
namespace; the kernel's keyrings hold the user's keys and ignore sandboxes; io_uring creates sockets
without the system calls that a filter sees; the others have been ways out of sandboxes, and builds
do not need them.

bubblewrap reads it as --seccomp. In a container the runner applies it to itself, and what it starts
inherits it, because what an engine's own filter refuses depends on the engine's age.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

# linux/seccomp.h, linux/bpf_common.h
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_X32: Final = 0x40000000

ALLOWED_FAMILIES: Final = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK"}
# getaddrinfo asks NETLINK_ROUTE for the addresses of this machine, and ss uses NETLINK_SOCK_DIAG.
# Other protocols lead to firewalls, audit and device events.
_NETLINK, _NETLINK_PROTOCOLS = 16, (0, 4)  # NETLINK_ROUTE, NETLINK_SOCK_DIAG
# Both put characters into a terminal's input, as if its user had typed them.
_PUSHES_INPUT: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

# EPERM for these: a program that is refused one of them can say so. Numbers of x86_64, and of the
# common table that arm64 and riscv64 use (unistd.h).
_REFUSED: Final[dict[str, tuple[int, int]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "userfaultfd": (323, 282),
}
# Answered with ENOSYS: programs that use io_uring fall back if the kernel does not have it.
_UNKNOWN: Final = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}
_SOCKET: Final = (41, 198)
_IOCTL: Final = (16, 29)
# linux/prctl.h
_PR_SET_SECCOMP, _MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
_STEP_BYTES: Final = 8


class UnknownMachine(Exception):
    """A kind of machine without a filter; the message names it."""


class _Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


@dataclass(frozen=True)
class _Machine:
    arch: int
    """AUDIT_ARCH_* of linux/audit.h"""
    column: int


_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 0),
    "aarch64": _Machine(0xC00000B7, 1),
    "riscv64": _Machine(0xC00000F3, 1),
}


def is_known(machine: str | None = None) -> bool:
    """Whether there is a filter for this kind of machine."""
    return (machine or platform.machine()) in _MACHINES


def program(machine: str | None = None) -> bytes:
    """The filter, as an array of struct sock_filter.

    Raises:
        UnknownMachine: there is none.
    """
    name = machine or platform.machine()
    if name not in _MACHINES:
        raise UnknownMachine(f"there is no system call filter for {name}")
    known = _MACHINES[name]
    refused = sorted(numbers[known.column] for numbers in _REFUSED.values())
    # The architecture first: numbers mean other calls on another one, and a 32-bit program on a
    # 64-bit kernel is another one.
    code = [_load(_ARCH), *_unless(known.arch, errno.ENOSYS), _load(_NUMBER)]
    if known.column == 0:
        # The other binary interface of the same machine has other numbers for the same calls.
        code += [_step(_AT_LEAST, _X32, 0, 1), _refuse(errno.ENOSYS)]
    for number in refused:
        code += _if(number, [_refuse(errno.EPERM)])
    for number in sorted(_UNKNOWN.values()):
        code += _if(number, [_refuse(errno.ENOSYS)])
    code += _if(_SOCKET[known.column], _socket())
    code += _if(_IOCTL[known.column], _ioctl())
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def confine() -> None:
    """Apply the filter to this thread and to all that it starts, irrevocably.

    Raises:
        OSError: the kernel refused.
        UnknownMachine: there is no filter.
    """
    code = program()
    steps = ctypes.create_string_buffer(code, len(code))
    filter_ = _Filter(len(code) // _STEP_BYTES, ctypes.cast(steps, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    # Without CAP_SYS_ADMIN the kernel accepts a filter only after this (seccomp(2)).
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filter_), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


@contextmanager
def filter_descriptor() -> Generator[int]:
    """A descriptor with the filter for one bwrap, which reads it to its end."""
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, program())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def with_filter(argv: list[str], descriptor: int) -> list[str]:
    """The argument list of a bwrap, with the filter added."""
    return [argv[0], "--seccomp", str(descriptor), *argv[1:]]


def _socket() -> list[bytes]:
    netlink = [_load(_argument(2))]
    for protocol in _NETLINK_PROTOCOLS:
        netlink += _if(protocol, [_step(_RETURN, _ALLOW)])
    code = [_load(_argument(0)), *_if(_NETLINK, [*netlink, _refuse(errno.EPROTONOSUPPORT)])]
    for family in ALLOWED_FAMILIES:
        code += _if(family, [_step(_RETURN, _ALLOW)])
    return [*code, _refuse(errno.EAFNOSUPPORT)]


def _ioctl() -> list[bytes]:
    code = [_load(_argument(1))]
    for request in _PUSHES_INPUT:
        code += _if(request, [_refuse(errno.EPERM)])
    return [*code, _step(_RETURN, _ALLOW)]


def _argument(position: int) -> int:
    # The lower half; all these machines are little-endian, and the kernel looks at no more.
    return _ARGUMENTS + 8 * position


def _load(offset: int) -> bytes:
    return _step(_LOAD, offset)


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _if(value: int, then: list[bytes]) -> list[bytes]:
    return [_step(_EQUAL, value, 0, len(then)), *then]


def _unless(value: int, number: int) -> list[bytes]:
    return [_step(_EQUAL, value, 1, 0), _refuse(number)]


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)
