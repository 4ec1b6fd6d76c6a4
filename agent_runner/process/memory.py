"""Reads from the kernel how often it killed for lack of memory, and what the limit is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agent_runner.process.command_ending import LIMIT, CommandEnding, killed, oom_kills

# Of a container's own group, of version 2 and of version 1.
OWN_GROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))
_MACHINE = Path("/proc/vmstat")
_COUNTS = ("memory.events", "memory.oom_control")
_LIMITS = ("memory.max", "memory.limit_in_bytes")
_UNLIMITED = 2**60  # version 1 has no word for it, but a number near 2**63


@dataclass(frozen=True)
class MemoryKills:
    """The number of processes that the kernel has killed for lack of memory so far."""

    sandbox: int
    machine: int


class Memory:
    """The memory of one sandbox. `groups` are the folders of its control groups."""

    def __init__(self, groups: Sequence[Path]) -> None:
        self._groups = groups

    def kills(self) -> MemoryKills:
        """The present counts."""
        files = (folder / name for folder in self._groups for name in _COUNTS)
        return MemoryKills(oom_kills(_texts(files)), oom_kills(_texts([_MACHINE])))

    def why(self, ending: CommandEnding, before: MemoryKills, *, sandboxed: bool) -> str:
        """Why a command was killed (see command_ending.py), with what is known of memory. `before`:
        the counts when it began."""
        now = self.kills()
        oom = now.sandbox > before.sandbox
        words = killed(replace(ending, oom=oom), sandboxed=sandboxed)
        if words and oom:
            limit = self.limit()
            most = f"may use {limit / 2**20:,.0f} MiB" if limit else "has no limit of its own"
            return f"{words}; its sandbox {most} ({LIMIT})"
        if words and now.machine > before.machine:
            return f"{words}; the machine ran out of memory meanwhile, which may be why"
        return words

    def limit(self) -> int | None:
        """The bytes that the sandbox may use; None: there is no limit, or it is not known."""
        for text in _texts(folder / name for folder in self._groups for name in _LIMITS):
            if text.strip().isdecimal() and int(text) < _UNLIMITED:
                return int(text)
        return None


def _texts(files: Iterable[Path]) -> list[str]:
    texts: list[str] = []
    for file in files:
        with suppress(OSError):
            texts.append(file.read_text("ascii"))
    return texts
