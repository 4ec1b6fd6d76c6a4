"""References read as files: what git would say, or nothing, so that git is asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rover_mcp.git.branch_merge import tip
from rover_mcp.git.loose_refs import loose_ref, loose_refs
from rover_mcp.git.repository_view import opened
from tests.integration.git.conftest import git

MAIN = "refs/heads/main"


def test_a_branch_is_read_as_git_reads_it_and_again_once_it_moved(repo: Path) -> None:
    assert loose_ref(repo / ".git", MAIN) == git(repo, "rev-parse", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "next")
    assert loose_ref(repo / ".git", MAIN) == git(repo, "rev-parse", "main")


def test_a_packed_branch_is_left_to_git(repo: Path) -> None:
    git(repo, "pack-refs", "--all")
    assert loose_ref(repo / ".git", MAIN) is None
    with opened(repo) as view:
        assert tip(view, "main") == git(repo, "rev-parse", "main")


def test_a_symbolic_branch_is_left_to_git(repo: Path) -> None:
    git(repo, "symbolic-ref", "refs/heads/other", MAIN)
    assert loose_ref(repo / ".git", "refs/heads/other") is None
    with opened(repo) as view:
        assert tip(view, "other") == git(repo, "rev-parse", "main")


@pytest.mark.parametrize("name", ["refs/heads/../../config", "refs/heads/none", "", "a\0b"])
def test_what_is_no_reference_is_not_read(repo: Path, name: str) -> None:
    (repo / ".git/config").write_text("0" * 40 + "\n")
    assert loose_ref(repo / ".git", name) is None


def test_a_pipe_in_the_place_of_a_branch_is_not_waited_for(repo: Path) -> None:
    os.mkfifo(repo / ".git/refs/heads/pipe")
    assert loose_ref(repo / ".git", "refs/heads/pipe") is None


FOLDER = "refs/rover/task/snapshots"


@pytest.fixture
def bare(repo: Path) -> Path:
    git(repo, "clone", "-q", "--bare", ".", "bare")
    (repo / "bare/packed-refs").unlink()
    for number in (1, 2):
        git(repo / "bare", "update-ref", f"{FOLDER}/{number}", git(repo, "rev-parse", "main"))
    return repo / "bare"


def test_a_folder_of_references_is_read_without_locks(
    bare: Path,
) -> None:
    commit = git(bare, "rev-parse", f"{FOLDER}/1")
    (bare / FOLDER / "3.lock").touch()
    assert loose_refs(bare, FOLDER) == {"1": commit, "2": commit}
    assert loose_refs(bare, "refs/rover/other/snapshots") == {}


def packed(bare: Path) -> None:
    git(bare, "pack-refs", "--all")


def cut(bare: Path) -> None:
    (bare / FOLDER / "2").write_text("0123")


def without_head(bare: Path) -> None:
    (bare / "HEAD").unlink()


def without_objects(bare: Path) -> None:
    (bare / "objects").rename(bare / "elsewhere")


def a_file_for_the_folder(bare: Path) -> None:
    (bare / FOLDER).rename(bare / "elsewhere")
    (bare / FOLDER).touch()


@pytest.mark.parametrize(
    "change",
    [packed, cut, without_head, without_objects, a_file_for_the_folder],
    ids=lambda change: change.__name__,
)
def test_references_that_are_not_plain_files_are_left_to_git(
    bare: Path, change: Callable[[Path], None]
) -> None:
    change(bare)
    assert loose_refs(bare, FOLDER) is None
