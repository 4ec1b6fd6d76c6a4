"""The runner on a disk that is full, or refuses: a whole run, with real git and bash."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from agent_runner.crashpoints import VARIABLE, CrashPoint
from agent_runner.journal.journal import FILE_NAME, Journal
from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.record_lines import RecordType
from agent_runner.models import ExitCode, RunStatus
from agent_runner.process.spawn import make_commands
from agent_runner.run.attempt import Run
from rover_mcp.config.settings import RetrySettings
from rover_mcp.control.decide import Fail, Finish, decide
from rover_mcp.sandbox.protocol import SandboxExit
from tests.crash.outcome import outcome
from tests.crash.test_runner_points import run as run_process
from tests.support.disk import FaultyDisk, spread
from tests.support.runs import RunFolders, git

CODES = [errno.ENOSPC, errno.EIO, errno.EROFS]
SMALL = "size=192k"
HEAD = 'version: "1.0"\nname: w\nsteps:\n'
SHORT = (
    HEAD
    + """
  - {id: a, type: command, command: "echo a > a; cat a"}
  - id: twice
    type: loop
    max_iterations: 2
    steps:
      - {id: b, type: agent, prompt: b}
  - {id: c, type: command, command: "cat a b"}
"""
)
SCRIPT = "steps: {b: [{edits: [{path: b, content: b}]}]}"
FILL = "head -c 1M /dev/zero > {run}/filler; head -c 9000 /dev/zero | tr '\\\\0' x"


def start(place: RunFolders, disk: FaultyDisk) -> ExitCode:
    """An attempt in this process, its journal on that disk."""
    spec = place.write_spec()

    async def run() -> ExitCode:
        path = place.run_folder / FILE_NAME
        journal = Journal.open(path, place.clock, write=disk.write, sync=disk.sync)
        try:
            commands = make_commands(spec)
            return await Run(spec, journal, commands, place.evidence, clock=place.clock).execute()
        finally:
            journal.close()

    return anyio.run(run)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolders, int]:
    """A run on a good disk, and how many writes and flushes it made."""
    place, disk = RunFolders(tmp_path_factory.mktemp("calm") / "task", SHORT, SCRIPT), FaultyDisk()
    assert start(place, disk) is ExitCode.COMPLETED
    return place, disk.count


def is_the_same(place: RunFolders, calm: RunFolders) -> None:
    found = outcome(place.run_folder / FILE_NAME)
    found.check_equals(outcome(calm.run_folder / FILE_NAME))
    head = place.state.snapshot
    expected = calm.state.snapshot
    assert head is not None
    assert expected is not None
    assert head.tree == expected.tree


def test_a_run_goes_on_over_a_failure_of_any_write_or_flush(
    tmp_path: Path, calm: tuple[RunFolders, int]
) -> None:
    """C3: the run is not disturbed, its journal is whole, and the failure is told in it."""
    for number, code in spread(calm[1] - 2, CODES):
        place = RunFolders(tmp_path / str(number), SHORT, SCRIPT)
        assert start(place, FaultyDisk(code, [number])) is ExitCode.COMPLETED, number
        is_the_same(place, calm[0])
        assert any(errno.errorcode[code] in w for w in place.state.warnings), number


def test_a_disk_that_stays_broken_loses_no_finished_step(
    tmp_path: Path, calm: tuple[RunFolders, int]
) -> None:
    """E2, C9: exit 1; nothing resumes automatically; on a good disk the run then ends as any."""
    for number, code in spread(calm[1], CODES):
        place = RunFolders(tmp_path / str(number), SHORT, SCRIPT)
        disk = FaultyDisk(code, range(number, 10_000))
        assert start(place, disk) is ExitCode.FAILED, number
        assert len(read_journal(place.run_folder / FILE_NAME).records) >= disk.flushed
        decision = decide(
            SandboxExit(1), place.state, attempt=1, auto_retries=0, auto_resume=True,
            retry=RetrySettings(), now=datetime.now(UTC), random=0,
        )  # fmt: skip
        assert isinstance(decision, Fail | Finish), number
        if place.state.status is not RunStatus.COMPLETED:
            assert isinstance(decision, Fail)
            assert start(place, FaultyDisk()) is ExitCode.COMPLETED, number
        is_the_same(place, calm[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A task whose run folder is a file system of its own, of some kilobytes."""
    root = tmp_path / "task"
    yield root
    subprocess.run(["umount", "-l", str(root / "run")], check=True)


def mounted(root: Path, workflow: str, script: str | None = None) -> RunFolders:
    place = RunFolders(root, workflow.replace("{run}", str(root / "run")), script)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", SMALL, "tmpfs", str(place.run_folder)], check=True
    )
    return place


def test_a_run_continues_on_a_full_disk_and_its_journal_is_complete(
    small_disk: Path,
) -> None:
    """C3: a real file system that has no room for three steps, and then has again."""
    steps = [
        f"- {{id: fill, type: command, command: {FILL!r}}}",
        "- {id: one, type: command, command: echo one > one; cat one}",
        "- {id: two, type: command, command: echo two > two; cat one two}",
        "- {id: free, type: command, command: rm {run}/filler}",
        "- {id: last, type: command, command: cat one two}",
    ]
    place = mounted(small_disk, HEAD + "\n".join(f"  {s}" for s in steps))
    assert run_process(place) == ExitCode.COMPLETED
    found = outcome(place.run_folder / FILE_NAME)
    assert set(found.finished.values()) == {1}
    assert found.steps == len(steps)
    assert place.state.steps[-1].outputs["stdout"] == "one\ntwo"
    assert any("ENOSPC" in w for w in place.state.warnings)
    snapshot = place.state.snapshot
    assert snapshot is not None
    assert git(place.work, "show", f"{snapshot.head}:two") == "two"


def test_a_disk_that_stays_full_fails_the_run_and_keeps_what_was_finished(
    small_disk: Path,
) -> None:
    """E2, C1, C9: exit 1, and with room again it goes on from the last step that is stored."""
    steps = [
        "- {id: one, type: command, command: echo one >> one; cat one}",
        f"- {{id: fill, type: command, command: {FILL!r}}}",
        "- {id: last, type: command, command: cat one}",
    ]
    place = mounted(small_disk, HEAD + "\n".join(f"  {s}" for s in steps))
    assert run_process(place) == ExitCode.FAILED
    kinds = [r.type for r in read_journal(place.run_folder / FILE_NAME).records]
    assert RecordType.STEP_COMPLETE in kinds
    assert RecordType.WORKFLOW_COMPLETE not in kinds
    (place.run_folder / "filler").unlink()
    place.workflow = place.workflow.replace("head -c 1M /dev/zero", "true")
    assert run_process(place) == ExitCode.COMPLETED
    assert place.state.steps[-1].outputs["stdout"] == "one"


def test_the_name_of_a_crash_point_reaches_no_agent_and_no_command(tmp_path: Path) -> None:
    """C8: what the runner starts has an environment without it, also in its parents' eyes."""
    workflow = (
        HEAD
        + "  - {id: a, type: agent, prompt: a}\n  - {id: c, type: command, command: env; cat agent}"
    )
    place = RunFolders(tmp_path / "task", workflow, "steps: {a: [{run: env > agent}]}")
    assert run_process(place, f"{CrashPoint.RUN_ENDED}:99") == ExitCode.COMPLETED
    assert "PATH=" in place.state.steps[1].outputs["stdout"]
    assert VARIABLE not in place.state.steps[1].outputs["stdout"]
    assert VARIABLE not in os.environ
