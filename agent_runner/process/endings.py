"""How a command ended: by itself, or because somebody ended it. Pure.

An end that somebody else made says nothing of what the command was doing. It is never a result: a
loop would take it for one and go on with half of the work.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

LIMIT = "limits.memory in .rover/config.yaml, or sandbox_memory_bytes in the user's config.yaml"
"""What raises the memory that a sandbox may use."""

_MAX_SAID = 300
# What people, service managers and the kernel's memory killer send. Others (SEGV, ABRT, BUS, ...)
# are what a program brings upon itself.
_SENT = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM})


@dataclass(frozen=True)
class Ending:
    """`code` is negative for a signal, as in subprocess. `exact`: it is what the first process of
    its sandbox saw, or where there is no such process, what the runner itself did; else it is the
    wrapper's, in which a signal cannot be told from an exit status.

    `lost`: that process said nothing, so that the command's own end is not known. `oom`: the
    kernel killed something of the sandbox, or of the machine, for want of memory meanwhile.
    """

    code: int
    exact: bool = True
    lost: bool = False
    oom: bool = False


def killed(ending: Ending, *, sandboxed: bool) -> str:
    """In words, how somebody ended it; empty where the end is the command's own."""
    if ending.lost:
        return "the sandbox of a command ended before the command did"
    code = ending.code
    if ending.oom and code != 0:
        return "a command ran out of memory, and the kernel killed a process of it"
    if -code in _SENT:
        return (
            f"a command was killed ({signal.Signals(-code).name}), and not for its time: by a "
            "person, by the system, or for want of memory"
        )
    if not sandboxed or code <= 128:
        return ""
    # A shell's word for what its last command died of, or the wrapper's for its only one.
    if code - 128 == signal.SIGKILL:
        return (
            f"a command ended with status {code}: something in it was killed (SIGKILL). If it "
            "does that itself, let it say so with another status: '... || exit 1'"
        )
    if not ending.exact and code - 128 in _SENT:
        return f"a command was killed ({signal.Signals(code - 128).name})"
    return ""


def read_report(data: bytes) -> int | None:
    """What init.py told of its child: its exit status, or a signal's number as a negative one.
    None: nothing, or not all of it."""
    line, end, _ = data.partition(b"\n")
    try:
        return int(line) if end else None
    except ValueError:
        return None


def oom_kills(texts: Sequence[str]) -> int:
    """Processes that were killed for want of memory, by the counts of control groups (either
    version) or of the kernel (/proc/vmstat)."""
    counts = [line.split() for text in texts for line in text.splitlines()]
    return sum(int(c[1]) for c in counts if len(c) == 2 and c[0] == "oom_kill" and c[1].isdecimal())


def last_words(stderr: bytes) -> str:
    """The last that a wrapper printed, for people."""
    return stderr.decode("utf-8", "replace").strip()[-_MAX_SAID:]
