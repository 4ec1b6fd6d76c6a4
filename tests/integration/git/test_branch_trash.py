"""A task's branch that is deleted with it, and given back, in a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.errors import Conflict
from rover_mcp.git import branch_trash
from rover_mcp.git.branch_trash import ASIDE
from rover_mcp.git.repository_view import opened
from tests.support.repos import git, make_repository

TASK = "a" * 32
BRANCH = "rover/3-fix"


@pytest.fixture(params=["loose", "packed", "linked"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    repo = make_repository(tmp_path / "repo")
    git(repo, "branch", BRANCH)
    git(repo, "worktree", "add", "-q", "--detach", str(tmp_path / "side"), BRANCH)
    (tmp_path / "side" / "work.txt").write_text("work\n")
    git(tmp_path / "side", "add", "-A")
    git(tmp_path / "side", "commit", "-qm", "work")
    git(repo, "update-ref", f"refs/heads/{BRANCH}", git(tmp_path / "side", "rev-parse", "HEAD"))
    if request.param == "packed":
        git(repo, "pack-refs", "--all")
    if request.param == "linked":
        return tmp_path / "side"
    git(repo, "worktree", "remove", str(tmp_path / "side"))
    return repo


def refs(repo: Path) -> str:
    return git(repo, "for-each-ref", "--format=%(refname) %(objectname)")


def test_a_branch_goes_and_comes_back_as_it_was(repo: Path) -> None:
    """N13."""
    before, at = refs(repo), git(repo, "rev-parse", BRANCH)
    with opened(repo) as view:
        for _ in range(2):
            branch_trash.put_aside(view, BRANCH, at, TASK)
            assert f"refs/heads/{BRANCH}" not in refs(repo)
        git(repo, "gc", "-q", "--prune=now")
        assert branch_trash.put_back(view, BRANCH, TASK) is True
        assert branch_trash.put_back(view, BRANCH, TASK) is False
    assert refs(repo) == before
    assert git(repo, "show", f"{BRANCH}:work.txt") == "work"


def test_dropping_leaves_nothing_behind(repo: Path) -> None:
    at = git(repo, "rev-parse", BRANCH)
    with opened(repo) as view:
        branch_trash.put_aside(view, BRANCH, at, TASK)
        for _ in range(2):
            branch_trash.drop(view, TASK)
    assert ASIDE not in refs(repo)
    assert BRANCH not in refs(repo)


def test_a_branch_that_moved_or_is_checked_out_stays(repo: Path, tmp_path: Path) -> None:
    at, before = git(repo, "rev-parse", BRANCH), refs(repo)
    with opened(repo) as view:
        with pytest.raises(Conflict) as moved:
            branch_trash.put_aside(view, BRANCH, git(repo, "rev-parse", f"{BRANCH}~"), TASK)
        assert moved.value.code == "branch_moved"
        git(repo, "worktree", "add", "-q", str(tmp_path / "look"), BRANCH)
        assert branch_trash.branch_facts(view, BRANCH, TASK, at, at).work_tree == tmp_path / "look"
        with pytest.raises(Conflict) as used:
            branch_trash.put_aside(view, BRANCH, at, TASK)
        assert used.value.code == "branch_checked_out"
    assert refs(repo) == before


def test_another_branch_of_its_name_is_not_overwritten(repo: Path) -> None:
    at = git(repo, "rev-parse", BRANCH)
    with opened(repo) as view:
        branch_trash.put_aside(view, BRANCH, at, TASK)
        git(repo, "branch", BRANCH, f"{at}~")
        before = refs(repo)
        with pytest.raises(Conflict) as taken:
            branch_trash.put_back(view, BRANCH, TASK)
    assert taken.value.code == "branch_exists"
    assert refs(repo) == before


def test_what_only_the_branch_has_is_counted(repo: Path, tmp_path: Path) -> None:
    """Neither a commit of the task nor one that another branch or a tag has is foreign."""
    at, base = git(repo, "rev-parse", BRANCH), git(repo, "rev-parse", f"{BRANCH}~")
    with opened(repo) as view:
        known = branch_trash.branch_facts(view, BRANCH, TASK, at, base)
        assert (known.tip, known.foreign, known.only_here) == (at, 0, True)
        other = branch_trash.branch_facts(view, BRANCH, TASK, None, base)
        assert (other.foreign, other.only_here) == (1, True)
        git(repo, "tag", "kept", BRANCH)
        tagged = branch_trash.branch_facts(view, BRANCH, TASK, None, base)
        assert (tagged.foreign, tagged.only_here) == (0, False)
        missing = branch_trash.branch_facts(view, "rover/4-none", TASK, None, base)
        assert missing.tip is None
