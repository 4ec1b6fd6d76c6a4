"""A runner that the tests' daemons have forked is like one that is started, for all that others see
of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agent_runner.process.late_spec import FIFO
from rover_mcp.sandbox.attempt_folder import AttemptFolder
from tests.e2e.processes import wait_until
from tests.support.forked_runners import SUPERVISOR, forking
from tests.support.preloaded_daemons import preloaded


def started(argv: list[str]) -> int:
    """As a user's daemon starts it."""
    return subprocess.run(argv, env={}, check=False).returncode


def forked(argv: list[str]) -> int:
    return forking(preloaded())(argv, env={}).returncode


def launch(root: Path, start: Callable[[list[str]], int]) -> AttemptFolder:
    """A supervisor and a runner that waits for its spec."""
    folder = root / "attempt"
    folder.mkdir()
    (root / "spec").mkdir()
    os.mkfifo(root / "spec" / FIFO)
    argv = [sys.executable, "-P", "-m", "agent_runner", "run", "--spec", str(root / "spec")]
    code = str(Path(__file__).parents[3])
    plan = {
        "argv": [*argv, "--wait", "600"],
        "env": {"PATH": os.defpath, "PYTHONPATH": code, "PYTHONUNBUFFERED": "1"},
        "limits": {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 1000},
    }
    (folder / "launch.json").write_text(json.dumps(plan))
    assert start([*SUPERVISOR, str(folder)]) == 0
    return AttemptFolder(folder)


def process_of(attempt: AttemptFolder, who: str) -> int:
    return json.loads((attempt.path / "state.json").read_text())[who][0]


def facts(attempt: AttemptFolder) -> dict[str, object]:
    """What the kernel tells of supervisor and runner, once that waits."""
    runner, supervisor = process_of(attempt, "runner"), process_of(attempt, "supervisor")

    def waits() -> bool:
        return any(name.endswith(f"/{FIFO}") for name in opened(runner))

    wait_until(waits, "the runner waits for its spec")
    of_both = {
        f"{what} {pid == runner}": Path(f"/proc/{pid}/{what}").read_bytes().rstrip(b"\0")
        for what in ("cmdline", "environ", "limits")
        for pid in (runner, supervisor)
    }
    status = Path(f"/proc/{runner}/status").read_text()
    return {
        **of_both,
        "parent": f"PPid:\t{supervisor}\n" in status,
        "session": (os.getsid(runner) == runner, os.getpgid(runner) == runner),
        "folder": str(Path(f"/proc/{runner}/cwd").readlink()),
        "files": sorted(name for name in opened(runner) if not name.startswith("anon_inode")),
        "signals": [
            masked(line) for line in status.splitlines() if line.startswith(("SigBlk", "SigIgn"))
        ],
    }


def masked(line: str) -> int:
    """The signals of a line of `status`, without 32 and 33: they belong to the C library, which lets no
    program ask for them."""
    return int(line.split()[1], 16) & ~(0b11 << 31)


def opened(pid: int) -> list[str]:
    found: list[str] = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        # What it has closed in the meantime.
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return found


def test_a_forked_runner_looks_like_one_that_is_started(tmp_path: Path) -> None:
    seen: list[dict[str, object]] = []
    for name, start in (("a", started), ("b", forked)):
        root = tmp_path / name
        root.mkdir()
        attempt = launch(root, start)
        try:
            told = facts(attempt)
        finally:
            attempt.stop(60)
        seen.append({key: _without(root, value) for key, value in told.items()})
    assert seen[0] == seen[1]


def _without(root: Path, value: object) -> str:
    return repr(value).replace(str(root), "ROOT")


@pytest.mark.parametrize("start", [started, forked])
def test_its_end_is_recorded_and_its_lock_is_free(
    tmp_path: Path, start: Callable[[list[str]], int]
) -> None:
    attempt = launch(tmp_path, start)
    assert attempt.alive()
    facts(attempt)
    attempt.stop(60)
    assert attempt.exit().code == 128 + signal.SIGTERM
    assert not attempt.alive()


@pytest.mark.parametrize("start", [started, forked])
def test_it_ends_with_its_supervisor(tmp_path: Path, start: Callable[[list[str]], int]) -> None:
    attempt = launch(tmp_path, start)
    facts(attempt)
    os.kill(process_of(attempt, "supervisor"), signal.SIGKILL)
    attempt.wait()
    assert attempt.exit().code is None
