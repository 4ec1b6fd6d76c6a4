"""`make test`: all tests, in several pytest processes that take the test files from one queue.

`python -m tests.workers` prints every line as it comes, marked with the worker that it is from, and
names a test that runs for long. The exit status is not 0 if a worker fails. Ctrl-C ends all workers
in good order; a second one kills them. At the end, the slowest files are named. With `--record`, it
writes tests/durations.json, each file's share of the machine, by which the next run takes the longest
files first.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from types import FrameType

from tests.support.forked_workers import BEGAN, read_report
from tests.support.shared_queue import Group, write_queue

ROOT = Path(__file__).parents[1]
DURATIONS = Path(__file__).with_name("durations.json")
COUNT = (os.cpu_count() or 1) + 1
"""Workers. Each test starts several processes: three workers keep two cores busy for nine tenths of the
time. With five, twelve processes waited for the cores on average, and tests that wait became slow."""
_PYTEST = (
    sys.executable, "-m", "pytest", "-q", "-o", "console_output_style=classic",
    "-p", "tests.support.forked_workers", "-p", "tests.support.shared_queue",
    "-p", "tests.support.progress",
    "--continue-on-collection-errors",
)  # fmt: skip
_SHARES_THE_STAGE = re.compile(r"\b(stage: AttackedHost|attack_run: AttackRun|open_setting:)")
"""In a file of tests/attacks: it uses the attacked host, of which one is set up per process."""
_LONGEST_GROUP = 150.0
"""Seconds: what takes longer is set up again in other workers, for one must not be the last by far."""
_LOOK_EVERY = 1.0
_SILENT = "ended without a word"
_LONG = 60.0
"""Seconds after which a test that still runs is named, and again after each further time."""
_LAST_LINES = 10.0
"""Seconds for a worker's last lines: a process that a test left behind may hold its output open."""
_FILE_ENDED = re.compile(r"\[ *\d+%\] (?P<file>\S+\.py): \d.* (?P<seconds>[\d.]+) s")


class Worker:
    """One pytest, in a session of its own so that Ctrl-C reaches it once, through us. `output` is for
    what it prints; close it once the process has it."""

    def __init__(self, name: str, running: Path) -> None:
        self.name = name
        self.last = _SILENT
        self.failures: list[str] = []
        self.durations: dict[str, float] = {}
        self.pid = 0
        """0 before it begins, and after it has ended."""
        self._running = running
        self._running.touch()
        self._read_end, self.output = os.pipe()
        self._relay = threading.Thread(target=self._pass_on, daemon=True)
        self._relay.start()

    def signal(self, number: int) -> None:
        """Interrupt it, or kill it with its whole session."""
        with suppress(ProcessLookupError):
            if self.pid and number == signal.SIGKILL:
                os.killpg(self.pid, number)
            elif self.pid:
                os.kill(self.pid, number)

    def ended(self) -> None:
        """Print what is left to print."""
        self.pid = 0
        self._relay.join(_LAST_LINES)

    def running(self) -> tuple[str, float]:
        """The test that runs and since when; an empty id between two tests."""
        return self._running.read_text(), self._running.stat().st_mtime

    def say(self, line: str) -> None:
        # One write, so that no line of another worker gets into it.
        sys.stdout.write(f"{self.name} | {line}\n")
        sys.stdout.flush()

    def _pass_on(self) -> None:
        in_summary = False
        with open(self._read_end, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
            for line in lines:
                text = line.rstrip()
                self.say(text)
                if text:
                    self.last = text
                if ended := _FILE_ENDED.fullmatch(text):
                    self.durations[ended["file"]] = float(ended["seconds"])
                in_summary = in_summary or "short test summary info" in text
                if in_summary and text.startswith(("FAILED ", "ERROR ")):
                    self.failures.append(text)


class Team:
    """The workers, and the pytest that collects all tests once and that they are forked from."""

    def __init__(self, count: int, queue: Path, folder: Path) -> None:
        running = queue.with_name("running")
        names = ["collect", *map(str, range(1, count + 1))]
        self.collector, *self.workers = (
            Worker(name, running.with_name(f"{running.name}-{name}")) for name in names
        )
        self._statuses: dict[str, int] = {}
        self._signals: list[int] = []
        read_end, reports = os.pipe()
        self._reports = open(read_end, encoding="ascii")  # noqa: PTH123, SIM115
        outputs = [worker.output for worker in self.workers]
        given = ",".join(map(str, outputs))
        self._process = subprocess.Popen(
            # In this form pytest takes no path for one of a test, whose project it looks for.
            [*_PYTEST, f"--running={running}", f"--queue={queue}",
             f"--outputs={given}", f"--reports={reports}"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self.collector.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[*outputs, reports],
        )  # fmt: skip
        self.collector.pid = self._process.pid
        for descriptor in (*outputs, self.collector.output, reports):
            os.close(descriptor)

    def stop(self) -> None:
        """Interrupt all; the second time, kill them."""
        self._signals.append(signal.SIGKILL if self._signals else signal.SIGINT)
        for worker in (self.collector, *self.workers):
            worker.signal(self._signals[-1])

    def wait(self, watch: SlowTestReporter) -> int:
        """Until all have ended, however; the worst exit status, as a shell says it."""
        ready = select.poll()
        ready.register(self._reports, select.POLLIN)
        while True:
            if not ready.poll(_LOOK_EVERY * 1000):
                for worker in self.workers:
                    watch.look(worker, time.time())
            elif line := self._reports.readline():
                self._note(*read_report(line))
            else:
                break
        status = self._process.wait()
        for worker in (self.collector, *self.workers):
            worker.ended()
        if len(self._statuses) < len(self.workers):
            return status or 1
        return max(s if s >= 0 else 128 - s for s in self._statuses.values())

    def _note(self, number: int, what: str, value: int) -> None:
        worker = self.workers[number - 1]
        if what == BEGAN:
            worker.pid = value
            # It may have begun while all were interrupted.
            for wanted in self._signals:
                worker.signal(wanted)
        else:
            self._statuses[worker.name] = value
            worker.ended()


class SlowTestReporter:
    """Names each test that runs for long, once per period."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._named: dict[str, tuple[str, int]] = {}

    def look(self, worker: Worker, now: float) -> None:
        test, since = worker.running()
        periods = int((now - since) / self._period)
        if test and periods and self._named.get(worker.name) != (test, periods):
            self._named[worker.name] = (test, periods)
            worker.say(f"... {now - since:.0f} s in {test}")


def grouped(files: Iterable[str], durations: Mapping[str, float]) -> list[Group]:
    """The files by groups, the longest first. Files that share what is set up once in a process
    and takes long are in one group, or in a few where that would be too long."""
    shared: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for file in files:
        shared[_group_of(file)].append((durations.get(file) or _guess(file), file))
    groups = (group for timed in shared.values() for group in _parts(timed))
    return sorted(groups, key=lambda group: -group.seconds)


def _parts(timed: Sequence[tuple[float, str]]) -> Iterator[Group]:
    """As few groups as do not take too long, and of about the same length."""
    total = sum(seconds for seconds, _ in timed)
    parts: list[tuple[float, list[str]]] = [(0, []) for _ in range(ceil(total / _LONGEST_GROUP))]
    for seconds, file in sorted(timed, reverse=True):
        parts.sort(key=lambda part: part[0])
        parts[0] = (parts[0][0] + seconds, [*parts[0][1], file])
    return (Group(seconds, sorted(files)) for seconds, files in parts if files)


def _guess(file: str) -> float:
    """How long a file takes that has not been timed: not so late that all wait for it."""
    return 1.0 if file.startswith("tests/unit/") else 15.0


def _group_of(file: str) -> str:
    folder = str(Path(file).parent)
    if folder in ("tests/contracts/store", "tests/integration/control"):
        return folder  # one PostgreSQL
    if folder == "tests/attacks" and _SHARES_THE_STAGE.search((ROOT / file).read_text()):
        return folder
    return file


def run(
    groups: Sequence[Group], count: int, *, root: Path = ROOT, long: float = _LONG
) -> tuple[int, Mapping[str, float]]:
    """Run these groups by so many workers; their exit status together, and each file's seconds."""
    signals: list[int] = []
    with tempfile.TemporaryDirectory(prefix="rover-workers-") as folder:
        queue = Path(folder) / "queue"
        write_queue(queue, groups)
        team = Team(count, queue, root)

        def stop(number: int, _frame: FrameType | None) -> None:
            signals.append(number)
            team.stop()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        status = team.wait(SlowTestReporter(long))
    everybody = (team.collector, *team.workers)
    for worker in team.workers if team.collector.last == _SILENT else everybody:
        for line in (*worker.failures, worker.last):
            worker.say(line)
    durations = {file: s for worker in everybody for file, s in worker.durations.items()}
    return 128 + signals[0] if signals else status, durations


def slowest(durations: Mapping[str, float], most: int = 10) -> list[str]:
    """The files that took longest, to be looked at first when the suite has become slow."""
    timed = sorted(durations.items(), key=lambda one: -one[1])[:most]
    return [f"slowest | {seconds:5.0f} s {file}" for file, seconds in timed]


def main() -> int:
    from rover_mcp.domain.errors import RoverError
    from tests.support.docker_env import cache_folder
    from tests.support.preloaded_daemons import VARIABLE, preloaded
    from tests.support.real_claude import claude_binary

    os.environ.setdefault("ROVER_AGENT_CACHE", str(cache_folder() / "agents"))
    try:
        # Before the clock of any test runs.
        claude_binary(lambda line: print(line, flush=True))
    except RoverError as error:
        print(f"{error}\n{error.hint or ''}".rstrip(), file=sys.stderr)
        return 1
    os.environ[VARIABLE] = preloaded()
    files = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("tests/**/test_*.py"))
    status, durations = run(grouped(files, json.loads(DURATIONS.read_text())), COUNT)
    print("\n".join(slowest(durations)))
    if "--record" in sys.argv[1:]:
        # The part of the machine that a file had: with others at work, its time says much more.
        had = {f: s * (os.cpu_count() or 1) / COUNT for f, s in sorted(durations.items())}
        kept = {f: max(1, round(s)) for f, s in had.items() if s >= 2 or _guess(f) > 2}
        DURATIONS.write_text(json.dumps(kept, indent=1) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
