"""What users' own repositories and settings ask of a task's clone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_runner.worktree.worktree import IGNORED
from tests.support.runs import git
from tests.support.trees import do, make, snap


@pytest.mark.parametrize("again", [False, True], ids=["new", "made again"])
def test_what_the_user_alone_ignores_stays_out(tmp_path: Path, again: bool) -> None:
    """C10: patterns that stand in no .gitignore of the repository count in the clone, for the
    agent's own git too, also after the repository was lost and made again."""
    place, worktree = make(tmp_path)
    (place.spec().paths.spec / IGNORED).write_text(".env\nprivate/")
    do(worktree.prepare)
    if again:
        shutil.rmtree(place.work / ".git")
        do(worktree.prepare)
    (place.work / ".env").write_text("TOKEN=abc")
    (place.work / "private").mkdir()
    (place.work / "private/x").write_text("x")
    (place.work / "new").write_text("new")
    assert git(place.work, "status", "--porcelain") == "?? new"
    taken = snap(worktree)
    names = git(place.work, "ls-tree", "-r", "--name-only", taken.tree).split()
    assert "new" in names
    assert not {".env", "private/x"} & set(names)
