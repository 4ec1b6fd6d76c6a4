"""What processes listen on, from the kernel's own tables of their network namespaces."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

LISTENS, ACCEPTS = "0A", 0x10000


def descendants(roots: Iterable[int]) -> set[int]:
    """The processes and all that they started and that still live."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listeners(pids: Iterable[int]) -> tuple[set[str], set[str]]:
    """Hosts and ports of TCP and UDP, and paths of unix sockets ("@..." where it has none)."""
    hosts: set[str] = set()
    paths: set[str] = set()
    for pid in pids:
        with suppress(OSError):
            inodes = _sockets(pid)
            hosts |= set(_internet(pid, inodes))
            paths |= set(_unix(pid, inodes))
    return hosts, paths


def _sockets(pid: int) -> set[str]:
    found: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found


def _internet(pid: int, inodes: set[str]) -> Iterator[str]:
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (kind.startswith("udp") or fields[3] == LISTENS):
                yield _address(fields[1])


def _address(text: str) -> str:
    host, _, port = text.partition(":")
    words = [host[i : i + 8] for i in range(0, len(host), 8)]
    raw = b"".join(struct.pack("<I", int(word, 16)) for word in words)
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, raw)} {int(port, 16)}"


def _unix(pid: int, inodes: set[str]) -> Iterator[str]:
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in inodes and int(fields[3], 16) & ACCEPTS:
            yield fields[7] if len(fields) > 7 else "@"
