"""`make test`: the two halves of the suite at once, since half of what each does is wait.

`python -m tests.halves` prints every line as it comes, marked with the half that it is from, and
names a test that runs for long. The exit status is not 0 where a half fails. Ctrl-C ends both in
good order; a second one kills them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[1]
HALVES: Mapping[str, Sequence[str]] = {
    "daemons": (
        "tests/e2e", "tests/protocol", "tests/scenarios", "tests/clients",
        "tests/integration/control", "tests/contracts",
    ),
    "parts": (
        "tests/crash", "tests/unit", "tests/conformance", "tests/integration", "tests/attacks",
        "tests/matrix", "--ignore=tests/integration/control",
    ),
}  # fmt: skip
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "tests.support.progress")
_LONG = 60.0
"""Seconds after which a test that still runs is named, and again after each further time."""
_LAST_LINES = 10.0
"""Seconds for a half's last lines: a process that a test left behind may hold its output open."""


class Half:
    """One pytest, in a session of its own so that Ctrl-C reaches it once, through us."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.last = "ended without a word"
        self.failures: list[str] = []
        self._running = folder / name
        self._running.touch()
        self._process = subprocess.Popen(
            [
                *_PYTEST,
                "-o",
                "console_output_style=classic",
                "--running",
                self._running,
                *arguments,
            ],
            cwd=ROOT,
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
        """Its exit status, as a shell says it; None where it still runs after that time."""
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
        # One write, so that no line of the other half gets into it.
        sys.stdout.write(f"{self.name:7} | {line}\n")
        sys.stdout.flush()

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        in_summary = False
        for line in self._process.stdout:
            text = line.rstrip()
            self.say(text)
            if text:
                self.last = text
            in_summary = in_summary or "short test summary info" in text
            if in_summary and text.startswith(("FAILED ", "ERROR ")):
                self.failures.append(text)


class Watch:
    """Names each test that runs for long, once per period."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._named: dict[str, tuple[str, int]] = {}

    def look(self, half: Half, now: float) -> None:
        test, since = half.running()
        periods = int((now - since) / self._period)
        if test and periods and self._named.get(half.name) != (test, periods):
            self._named[half.name] = (test, periods)
            half.say(f"... {now - since:.0f} s in {test}")


def run(halves: Mapping[str, Sequence[str]], *, long: float = _LONG) -> int:
    """Run these pytests side by side; the exit status of all of them together."""
    signals: list[int] = []
    started: list[Half] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        for half in started:
            if len(signals) == 1:
                half.interrupt()
            else:
                half.kill()

    # A handler of our own is not inherited, and an ignored SIGINT would be.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="rover-halves-") as folder:
        for name, arguments in halves.items():
            if not signals:
                started.append(Half(name, arguments, Path(folder)))
        statuses = _wait_for(started, Watch(long))
    for half in started:
        for line in (*half.failures, half.last):
            half.say(line)
    return 128 + signals[0] if signals else max(statuses, default=1)


def _wait_for(halves: Sequence[Half], watch: Watch) -> list[int]:
    statuses: dict[str, int] = {}
    while len(statuses) < len(halves):
        for half in halves:
            if half.name in statuses:
                continue
            status = half.wait(1.0)
            if status is None:
                watch.look(half, time.time())
            else:
                statuses[half.name] = status
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
    return run(HALVES)


if __name__ == "__main__":
    sys.exit(main())
