"""Judges by the kernel's counters whether a process and its descendants make progress.

A time limit would end what is only slow: a large repository, a busy disk, a loaded machine. So
a command without a natural limit is given up only if none of its processes moves any more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

SAMPLES = 16
"""Looks that have to be alike. A power of two, so that their intervals add up exactly."""

# proc_pid_stat(5), counted from the field behind the name: parent, faults, times, start.
_PARENT, _MINOR, _MAJOR, _USER, _SYSTEM, _START = 1, 7, 9, 11, 12, 19


@dataclass(frozen=True)
class ProgressLimits:
    """The seconds after which a command is given up.

    `still`: it used no processor time. It is stopped, or waits for something that does not come (a
    pipe in place of a file, a disk that is gone); with a slow disk a process runs between two
    waits. `spinning`: it only computes: it touches no new memory, waits for nothing, starts nothing
    and prints nothing, as a regular expression does that takes for ever to match.
    """

    still: float = 120.0
    spinning: float = 3600.0

    @property
    def interval(self) -> float:
        """Seconds between two samples."""
        return self.still / SAMPLES


@dataclass(frozen=True)
class ProgressSample:
    """The counters at one moment. `ran` differs if a process ran since the last sample, `moved` if
    it also did something."""

    ran: object
    moved: object


@dataclass
class ProgressWatch:
    """Judges a series of samples that are `limits.interval` apart. Pure.

    It counts samples instead of time, because this process or the machine may have been stopped
    meanwhile.
    """

    limits: ProgressLimits
    last: ProgressSample | None = None
    same: int = 0
    computing: int = 0

    def add(self, sample: ProgressSample) -> str:
        """Take the next sample. Returns in words why to give up, or an empty text."""
        last, self.last = self.last or sample, sample
        moved = sample.moved != last.moved
        self.computing = 0 if moved else self.computing + 1
        self.same = 0 if moved or sample.ran != last.ran else self.same + 1
        limits = self.limits
        if self.same * limits.interval >= limits.still:
            return f"it did nothing at all for {limits.still:g} s"
        if self.computing * limits.interval >= limits.spinning:
            return f"it computed for {limits.spinning:g} s without doing anything else"
        return ""


def sample_progress(first: int, printed: int = 0) -> ProgressSample:
    """Look at the process `first` and its descendants. `printed` is the size of its output so far.

    Where the kernel shows no processes (macOS) only output counts as progress, and silence does
    not count as standing still.
    """
    if not sys.platform.startswith("linux"):
        return ProgressSample(time.monotonic(), printed)
    ran: dict[int, tuple[str, ...]] = {}
    moved: dict[int, tuple[str, ...]] = {}
    for pid, stat in _family(first).items():
        ran[pid] = (stat[_USER], stat[_SYSTEM], _scheduled(pid))
        moved[pid] = (stat[_START], stat[_MINOR], stat[_MAJOR], _waits(pid))
    return ProgressSample(ran, (moved, printed))


def _family(first: int) -> Mapping[int, list[str]]:
    """The fields of proc_pid_stat(5) of the process and of its descendants."""
    every: dict[int, list[str]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal() and (stat_line := _read(folder / "stat")):
            every[int(folder.name)] = stat_line.rpartition(")")[2].split()
    children: dict[int, list[int]] = {}
    for pid, stat in every.items():
        children.setdefault(int(stat[_PARENT]), []).append(pid)
    family: dict[int, list[str]] = {}
    left = [first]
    while left:
        pid = left.pop()
        if pid in every and pid not in family:
            family[pid] = every[pid]
            left += children.get(pid, ())
    return family


def _scheduled(pid: int) -> str:
    """The nanoseconds that its main thread ran: the times in stat are only in hundredths of a
    second."""
    return _read(PROC / f"{pid}/schedstat").partition(" ")[0]


def _waits(pid: int) -> str:
    """How often it gave up the processor voluntarily."""
    lines = _read(PROC / f"{pid}/status").splitlines()
    return next((line for line in lines if line.startswith("voluntary_ctxt_switches")), "")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
