"""`make test`: all tests, in several pytest processes that take the test files from one queue.

`python -m tests.workers` prints every line as it comes, marked with the worker that it is from, and
names a test that runs for long. The exit status is not 0 if a worker fails. Ctrl-C ends all workers
in good order; a second one kills them. With `--record`, it writes tests/durations.json, by which
the next run takes the longest files first.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from tests.support.shared_queue import Group, write_queue

ROOT = Path(__file__).parents[1]
DURATIONS = Path(__file__).with_name("durations.json")
COUNT = (os.cpu_count() or 1) + 1
"""Workers. A good part of what a test does is wait for processes and sandboxes."""
_PYTEST = (
    sys.executable, "-m", "pytest", "-q", "-o", "console_output_style=classic",
    "-p", "tests.support.shared_queue", "-p", "tests.support.progress",
    "--continue-on-collection-errors",
)  # fmt: skip
_SHARES_THE_STAGE = re.compile(r"\b(stage: Stage|assault: Assault|open_setting:)")
"""In a file of tests/attacks: it uses the attacked host, of which one is set up per process."""
_LONG = 60.0
"""Seconds after which a test that still runs is named, and again after each further time."""
_LAST_LINES = 10.0
"""Seconds for a worker's last lines: a process that a test left behind may hold its output open."""
_FILE_ENDED = re.compile(r"\[ *\d+%\] (?P<file>\S+\.py): \d.* (?P<seconds>[\d.]+) s")


class Worker:
    """One pytest, in a session of its own so that Ctrl-C reaches it once, through us."""

    def __init__(self, name: str, queue: Path, folder: Path) -> None:
        self.name = name
        self.last = "ended without a word"
        self.failures: list[str] = []
        self.durations: dict[str, float] = {}
        self._running = queue.with_name(f"running-{name}")
        self._running.touch()
        self._process = subprocess.Popen(
            # In this form pytest takes neither path for one of a test, whose project it looks for.
            [*_PYTEST, f"--running={self._running}", f"--queue={queue}"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            encoding="utf-8",
            errors="replace",
        )
        self._relay = threading.Thread(target=self._pass_on, daemon=True)
        self._relay.start()

    def wait(self, seconds: float) -> int | None:
        """Its exit status, as a shell says it; None if it still runs after that time."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._relay.join(_LAST_LINES)
        return status if status >= 0 else 128 - status

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def running(self) -> tuple[str, float]:
        """The test that runs and since when; an empty id between two tests."""
        return self._running.read_text(), self._running.stat().st_mtime

    def say(self, line: str) -> None:
        # One write, so that no line of another worker gets into it.
        sys.stdout.write(f"{self.name} | {line}\n")
        sys.stdout.flush()

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        in_summary = False
        for line in self._process.stdout:
            text = line.rstrip()
            self.say(text)
            if text:
                self.last = text
            if ended := _FILE_ENDED.fullmatch(text):
                self.durations[ended["file"]] = float(ended["seconds"])
            in_summary = in_summary or "short test summary info" in text
            if in_summary and text.startswith(("FAILED ", "ERROR ")):
                self.failures.append(text)


class Watch:
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
    and takes long are in one group."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        groups[_group_of(file)].append(file)
    timed = (Group(sum(durations.get(f) or _guess(f) for f in g), g) for g in groups.values())
    return sorted(timed, key=lambda group: -group.seconds)


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
    workers: list[Worker] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        for worker in workers:
            if len(signals) == 1:
                worker.interrupt()
            else:
                worker.kill()

    # A handler of our own is not inherited, and an ignored SIGINT would be.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="rover-workers-") as folder:
        queue = Path(folder) / "queue"
        write_queue(queue, groups)
        for number in range(1, count + 1):
            if not signals:
                workers.append(Worker(str(number), queue, root))
        statuses = _wait_for(workers, Watch(long))
    for worker in workers:
        for line in (*worker.failures, worker.last):
            worker.say(line)
    durations = {file: s for worker in workers for file, s in worker.durations.items()}
    return 128 + signals[0] if signals else _together(statuses), durations


def _together(statuses: Sequence[int]) -> int:
    """The worst status."""
    return max(statuses, default=1)


def _wait_for(workers: Sequence[Worker], watch: Watch) -> list[int]:
    statuses: dict[str, int] = {}
    while len(statuses) < len(workers):
        for worker in workers:
            if worker.name in statuses:
                continue
            status = worker.wait(1.0 / len(workers))
            if status is None:
                watch.look(worker, time.time())
            else:
                statuses[worker.name] = status
    return list(statuses.values())


def main() -> int:
    from rover_mcp.domain.errors import RoverError
    from tests.support.docker_env import cache_folder
    from tests.support.real_claude import claude_binary

    os.environ.setdefault("ROVER_AGENT_CACHE", str(cache_folder() / "agents"))
    try:
        # Before the clock of any test runs.
        claude_binary(lambda line: print(line, flush=True))
    except RoverError as error:
        print(f"{error}\n{error.hint or ''}".rstrip(), file=sys.stderr)
        return 1
    files = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("tests/**/test_*.py"))
    status, durations = run(grouped(files, json.loads(DURATIONS.read_text())), COUNT)
    if "--record" in sys.argv[1:]:
        kept = {
            f: max(1, round(s)) for f, s in sorted(durations.items()) if s >= 2 or _guess(f) > 2
        }
        DURATIONS.write_text(json.dumps(kept, indent=1) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
