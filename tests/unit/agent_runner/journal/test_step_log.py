"""A step's log: worth less than the run."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

import pytest

from agent_runner.journal.step_log import StepLog
from agent_runner.models import ExitCode
from tests.support.runs import RunFolders

FLOW = """
version: "1.0"
name: w
steps:
  - {id: a, type: command, command: "seq 3"}
  - {id: b, type: command, command: "seq 3"}
"""


def test_lines_are_appended_over_attempts_up_to_the_cap(tmp_path: Path) -> None:
    """What grows has a limit, and says so there."""
    warnings: list[str] = []
    path = tmp_path / "logs/s.log"
    for text in ("one", "two", "x" * 100, "three"):
        with StepLog(path, 60, warnings.append) as log:
            log.line(text)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["one", "two"]
    assert lines[-1].startswith("[the log is full")
    assert "three" not in lines
    assert warnings == []


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/s.log").symlink_to(tmp_path / "elsewhere")
    warnings: list[str] = []
    with StepLog(tmp_path / "logs/s.log", 100, warnings.append) as log:
        log.line("x")
    assert not (tmp_path / "elsewhere").exists()
    assert "ELOOP" in warnings[0]


def test_a_full_disk_is_reported_once_and_lines_resume_with_free_space(tmp_path: Path) -> None:
    """C3: real refusals of the kernel, by a limit on the size of files."""
    warnings: list[str] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with StepLog(tmp_path / "logs/s.log", 10_000, warnings.append) as log:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
        try:
            for _ in range(3):
                log.line("dropped")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.line("kept")
    assert (tmp_path / "logs/s.log").read_text() == "dropkept\n"
    name = errno.errorcode[errno.EFBIG]
    assert warnings == [
        f"the steps' logs cannot be written ({name}); the run continues without them"
    ]


@pytest.mark.parametrize("how", ["no folder", "no file"])
def test_a_log_that_cannot_be_written_fails_no_step_and_warns_once(
    tmp_path: Path, how: str
) -> None:
    """C3, C9."""
    place = RunFolders(tmp_path / "task", FLOW)
    logs = place.run_folder / "logs"
    if how == "no folder":
        logs.write_text("in the way")
    else:
        for name in ("a.log", "b.log"):
            (logs / name).mkdir(parents=True)
    assert place.start() is ExitCode.COMPLETED
    assert place.state.steps[1].outputs["stdout"] == "1\n2\n3"
    told = [w for w in place.state.warnings if "logs cannot be written" in w]
    assert len(told) == 1
