"""All that a task causes to be stored counts against one limit: real git, bash and journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.models import ExitCode, PauseReason, RunStatus
from agent_runner.spec import Disk
from tests.support.flows import HEAD
from tests.support.runs import RunFolders

GROWS = (
    HEAD
    + """steps:
- id: again
  type: loop
  max_iterations: 30
  steps:
  - {id: fill, type: command, command: "head -c 2000000 /dev/urandom > big; date +%N >> kept"}
  - {id: clear, type: command, command: "rm big"}
"""
)
EMPTY = (
    HEAD
    + """steps:
- id: many
  type: command
  command: 'mkdir d; for n in {1..600}; do : > d/$n; done'
- {id: next, type: command, command: "true"}
"""
)


@pytest.fixture(autouse=True)
def _whoever_else_frees_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is measured at each look, also where another process has freed as much as was written."""
    monkeypatch.setattr("agent_runner.worktree.disk_watch.LONGEST", 0.0)


def disk(place: RunFolders, **limits: int) -> Disk:
    folders, records = (place.work, place.root / "home"), (place.run_folder,)
    values = {"limit_bytes": 10**12, "floor_bytes": 0, **limits}
    return Disk(folders=folders, records=records, **values)


def test_bundles_that_grow_pause_the_task_and_the_work_is_kept(tmp_path: Path) -> None:
    """U8: a random file in each iteration, deleted again, filled the disk without a limit."""
    place = RunFolders(tmp_path, GROWS)
    assert place.start(disk=disk(place, limit_bytes=20_000_000)) is ExitCode.PAUSED
    state = place.state
    assert state.status is RunStatus.PAUSED
    assert state.pause is not None
    assert state.pause.reason is PauseReason.BUDGET
    assert "more than its limit of 19 MiB" in state.pause.message
    assert "sandbox_disk_bytes" in state.pause.message
    assert state.snapshot is not None
    stored = sum(f.stat().st_size for f in place.run_folder.rglob("*") if f.is_file())
    assert stored < 20_000_000
    kept = (place.work / "kept").read_text()
    assert place.start(disk=disk(place, limit_bytes=20_000_000)) is ExitCode.PAUSED
    # A first step may end before the first look, so one more line is possible, never one less.
    assert (place.work / "kept").read_text().startswith(kept)


def test_empty_files_pause_the_task_and_the_reason_names_their_number(tmp_path: Path) -> None:
    """U8: a million empty files fill a disk without bytes."""
    place = RunFolders(tmp_path, EMPTY)
    assert place.start(disk=disk(place, limit_files=500)) is ExitCode.PAUSED
    pause = place.state.pause
    assert pause is not None
    assert "files and folders" in pause.message
    assert "limit of 500 (sandbox_files" in pause.message
    assert place.start(disk=disk(place, limit_files=5000)) is ExitCode.COMPLETED
