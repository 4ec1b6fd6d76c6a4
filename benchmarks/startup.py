"""Commands from their start to their end, beside those that people know.

What counts are ratios to `python -c pass` within one run. `list` is asked with a daemon at work,
and without one: then its time on the wall has the daemon's start to its first answer, and what
that takes of the processor has a line of its own."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rover_mcp.demo.demo_environment import end_daemon

ROUNDS, COLD_ROUNDS = 15, 5
ROVER = str(Path(sys.executable).with_name("rover"))
Took = tuple[float, float]
"""Milliseconds: of the processor, on the wall."""


def run(argv: list[str], environment: Mapping[str, str]) -> Took:
    """Run a program to its end, without its output."""
    begun = time.perf_counter()
    nowhere = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (0, 1, 2)]
    process = os.posix_spawn(argv[0], argv, environment, file_actions=nowhere)
    _, status, used = os.wait4(process, 0)
    took = time.perf_counter() - begun
    if status != 0:
        raise RuntimeError(f"{argv} ended with status {os.waitstatus_to_exitcode(status)}")
    return 1000 * (used.ru_utime + used.ru_stime), 1000 * took


def processor_of(pid: int) -> float:
    """The milliseconds of the processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="rover-startup-") as folder:
        home = Path(folder, "data")
        environment = {**os.environ, "ROVER_HOME": str(home)}

        def of(*argv: str) -> Callable[[], Took]:
            return lambda: run(list(argv), environment)

        def cold() -> tuple[Took, Took]:
            end_daemon(home)
            took = run([ROVER, "list"], environment)
            return took, (processor_of(int((home / "daemon.lock").read_text())), took[1])

        subjects = {
            "`python -c pass`": of(sys.executable, "-c", "pass"),
            "`rover --version`": of(ROVER, "--version"),
            "`rover --help`": of(ROVER, "--help"),
            "`rover list`, a daemon at work": of(ROVER, "list"),
            **{f"`{name} --version`": of(path, "--version") for name, path in _others()},
        }
        run([ROVER, "list"], environment)
        took: dict[str, list[Took]] = {name: [] for name in subjects}
        for _ in range(ROUNDS):
            for name, subject in subjects.items():
                took[name].append(subject())
        colds = [cold() for _ in range(COLD_ROUNDS)]
        took["`rover list`, no daemon"] = [command for command, _ in colds]
        took["the daemon that it starts, until then"] = [daemon for _, daemon in colds]
        end_daemon(home)
    _show(took)


def _others() -> list[tuple[str, str]]:
    found = {name: shutil.which(name) for name in ("gh", "docker")}
    for name in (name for name, path in found.items() if path is None):
        print(f"{name} is not on this machine, and is left out", file=sys.stderr)
    return [(name, path) for name, path in found.items() if path]


def _show(took: Mapping[str, list[Took]]) -> None:
    medians = {
        name: tuple(statistics.median(one[i] for one in every) for i in (0, 1))
        for name, every in took.items()
    }
    base = medians["`python -c pass`"]
    print("| | processor, ms | `python -c pass` = 1 | wall, ms | `python -c pass` = 1 |")
    print("|---|---|---|---|---|")
    for name, (processor, wall) in medians.items():
        cells = (f"{processor:.0f}", f"{processor / base[0]:.1f}")
        print(f"| {name} | {' | '.join(cells)} | {wall:.0f} | {wall / base[1]:.1f} |")
