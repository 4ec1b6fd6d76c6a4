"""V1: git in the clone is ended only where it does nothing, and then the run can go on later."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_runner.process.progress import ProgressLimits
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunLimits, WrapCommand
from agent_runner.worktree.script_runner import WorktreeInterrupted
from agent_runner.worktree.worktree import Worktree
from tests.support.runs import RunFolders, git
from tests.support.trees import do, make, snap

STALL = 5.0
"""Seconds: more than a busy disk lets a git wait."""
GIT = shutil.which("git")
STOPS = f"""#!/bin/sh
case " $* " in *" {{verb}} "*)
  if [ -s {{stops}} ]; then sed -i 1d {{stops}}; kill -STOP $$; fi
esac
exec {GIT} "$@"
"""


def stopping(tmp_path: Path, verb: str, times: int) -> tuple[RunFolders, Worktree]:
    """A clone whose git is stopped by somebody, so many times, whenever it is called with `verb`."""
    place, _ = make(tmp_path, RunLimits(git_stall=STALL, stop_grace=0.1))
    programs, stops = tmp_path / "bin", tmp_path / "stops"
    programs.mkdir()
    stops.write_text("once\n" * times)
    (programs / "git").write_text(STOPS.format(stops=stops, verb=verb))
    (programs / "git").chmod(0o755)
    path = f"PATH={programs}:/usr/bin:/bin"
    prefix = ["env", "-C", str(place.work), "GIT_CONFIG_NOSYSTEM=1", path]
    spec = place.spec(isolation=WrapCommand(prefix=prefix, forwarder=[]))
    return place, Worktree(spec, make_commands(spec))


@pytest.mark.parametrize("verb", ["read-tree", "status"])
def test_a_git_that_was_stopped_is_started_again(tmp_path: Path, verb: str) -> None:
    place, worktree = stopping(tmp_path, verb, 1)
    do(worktree.prepare)
    (place.work / "new").write_text("n")
    taken = snap(worktree)
    assert (tmp_path / "stops").read_text() == ""
    assert git(place.work, "diff-tree", "-r", "--name-only", place.base_commit, taken.tree) == "new"


def test_one_that_is_stopped_again_is_an_interruption(tmp_path: Path) -> None:
    """No failure: the clone is made whole by the next attempt."""
    place, worktree = stopping(tmp_path, "read-tree", 2)
    with pytest.raises(WorktreeInterrupted, match="it did nothing at all for"):
        do(worktree.prepare)
    assert not do(worktree.prepare).existed
    assert (place.work / "README").read_text() == "base\n"
    assert snap(worktree).tree == git(place.work, "rev-parse", f"{place.base_commit}^{{tree}}")


def test_what_is_slow_but_gets_on_is_not_ended(tmp_path: Path) -> None:
    """It sleeps most of the time, prints nothing, and takes longer than the limit."""
    place, _ = make(tmp_path)
    commands = make_commands(place.spec())
    slow = "i=0; while [ $i -lt 70 ]; do read -t 0.1 _ < <(tail -f /dev/null); i=$((i+1)); done"
    result = do(lambda: commands.run(["bash", "-c", slow], patience=ProgressLimits(still=STALL)))
    assert (result.code, result.stalled) == (0, "")


def test_what_computes_for_ever_is_ended(tmp_path: Path) -> None:
    place, _ = make(tmp_path)
    commands = make_commands(place.spec())
    patience = ProgressLimits(still=STALL, spinning=2)
    result = do(lambda: commands.run(["sh", "-c", "while :; do :; done"], patience=patience))
    assert "it computed for" in result.stalled
