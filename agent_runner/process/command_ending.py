"""Decides whether a command ended on its own or was killed. Pure.

That a command was killed says nothing of what it was doing, so it is never a result: a loop would
take it for one and continue with half of the work.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

LIMIT = "limits.memory in .rover/config.yaml, or sandbox_memory_bytes in the user's config.yaml"
"""The settings that raise the memory which a sandbox may use."""

_MAX_SAID = 300
# Sent by people, service managers and the kernel's memory killer. Others (SEGV, ABRT, BUS, ...) are
# a program's own fault.
_SENT = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM})


@dataclass(frozen=True)
class CommandEnding:
    """How a command ended. `code` is negative for a signal, as in subprocess. `exact`: it was seen
    by the first process in the sandbox, or without such a process by the runner; else it is the
    wrapper's status, in which a signal looks like an exit status.

    `lost`: that process reported nothing, so the command's own end is unknown. `oom`: meanwhile the
    kernel killed a process of the sandbox or of the machine for lack of memory.
    """

    code: int
    exact: bool = True
    lost: bool = False
    oom: bool = False


def killed(ending: CommandEnding, *, sandboxed: bool) -> str:
    """How something else ended the command, in words; empty if it ended on its own."""
    if ending.lost:
        return "the sandbox of a command ended before the command did"
    code = ending.code
    if ending.oom and code != 0:
        return "a command ran out of memory, and the kernel killed one of its processes"
    if -code in _SENT:
        return (
            f"a command was killed ({signal.Signals(-code).name}), but not by its time limit: by "
            "a person, by the system, or for lack of memory"
        )
    if not sandboxed or code <= 128:
        return ""
    # A shell reports so which signal ended its last command, and a wrapper which ended its only
    # one.
    if code - 128 == signal.SIGKILL:
        return (
            f"a command ended with status {code}: something in it was killed (SIGKILL). If it "
            "kills its own processes, let it end with another status: '... || exit 1'"
        )
    if not ending.exact and code - 128 in _SENT:
        return f"a command was killed ({signal.Signals(code - 128).name})"
    return ""


def read_report(data: bytes) -> int | None:
    """The end of a command by the report of init.py: its exit status, or a signal as a negative
    number. None: there is no report, or only a part of it."""
    line, end, _ = data.partition(b"\n")
    try:
        return int(line) if end else None
    except ValueError:
        return None


def oom_kills(texts: Sequence[str]) -> int:
    """The number of processes that were killed for lack of memory, by the counters of control
    groups (either version) or of the kernel (/proc/vmstat)."""
    counts = [line.split() for text in texts for line in text.splitlines()]
    return sum(int(c[1]) for c in counts if len(c) == 2 and c[0] == "oom_kill" and c[1].isdecimal())


def last_error_line(stderr: bytes) -> str:
    """The end of what a wrapper printed."""
    return stderr.decode("utf-8", "replace").strip()[-_MAX_SAID:]
