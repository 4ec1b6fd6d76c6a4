"""What a task's base has since, from the references that a repository has."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from rover_mcp.domain.base_distance import BaseDistance
from rover_mcp.git.count_apart import base_distance
from rover_mcp.git.repository_view import opened
from tests.support.repos import git, make_repository

BRANCH = "rover/1-fix"
NUMBERS = itertools.count()


def commit(repo: Path, times: int = 1) -> str:
    for _ in range(times):
        # Each another one: of the same second and message they would be the same commits.
        git(repo, "commit", "-q", "--allow-empty", "-m", f"x {next(NUMBERS)}")
    return git(repo, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The task's branch has two commits of its own."""
    repo = make_repository(tmp_path / "repo")
    git(repo, "switch", "-q", "-c", BRANCH)
    commit(repo, 2)
    git(repo, "switch", "-q", "main")
    return repo


def distance(repo: Path, base: str = "main") -> BaseDistance:
    with opened(repo) as view:
        return base_distance(view, BRANCH, base, git(repo, "rev-parse", "main"))


def test_a_base_that_has_not_moved_is_not_named(repo: Path) -> None:
    assert distance(repo) == BaseDistance(2, {})


def test_the_local_branch_and_the_remotes_are_counted_apart(repo: Path) -> None:
    start = git(repo, "rev-parse", "main")
    git(repo, "update-ref", "refs/remotes/origin/main", commit(repo, 3))
    git(repo, "reset", "-q", "--hard", start)
    assert distance(repo) == BaseDistance(2, {"origin/main": 3})
    commit(repo)
    assert distance(repo) == BaseDistance(2, {"main": 1, "origin/main": 3})
    git(repo, "update-ref", "refs/remotes/origin/main", "main")
    assert distance(repo) == BaseDistance(2, {"main": 1}), "the same commits are named once"


def test_the_upstream_of_the_base_counts_and_not_any_origin(repo: Path) -> None:
    git(repo, "config", "branch.main.remote", "fork")
    git(repo, "config", "branch.main.merge", "refs/heads/trunk")
    start = git(repo, "rev-parse", "main")
    git(repo, "update-ref", "refs/remotes/fork/trunk", commit(repo))
    git(repo, "reset", "-q", "--hard", start)
    assert distance(repo) == BaseDistance(2, {"fork/trunk": 1})


def test_a_base_of_a_remote_is_found(repo: Path) -> None:
    git(repo, "update-ref", "refs/remotes/origin/main", commit(repo))
    assert distance(repo, "origin/main") == BaseDistance(2, {"origin/main": 1})


@pytest.mark.parametrize("base", ["gone", "v1.0", "--all", "refs/heads/../x", "a" * 40])
def test_a_base_that_is_no_branch_has_no_distance(repo: Path, base: str) -> None:
    assert distance(repo, base) == BaseDistance()


def test_a_remotes_name_in_the_configuration_is_data(repo: Path) -> None:
    git(repo, "config", "branch.main.remote", "--upload-pack=touch /tmp/x")
    assert distance(repo) == BaseDistance(2, {})
