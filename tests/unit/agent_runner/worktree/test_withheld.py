"""Files copied from the user's checkout are seen by the agent, and never leave the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.worktree.local_files import LocalFile, place
from agent_runner.worktree.worktree import Worktree
from tests.support.runs import git
from tests.support.trees import BRANCH, do, make, snap

SECRET = b"KEY=hunter2-hunter2\n"
NAMES = (".env", "config/local.json")


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, Worktree]:
    """A clone with both files in it."""
    place_, _ = make(tmp_path)
    spec = place_.spec().model_copy(update={"copies": NAMES})
    worktree = Worktree(spec, make_commands(spec))
    do(worktree.prepare)
    wrong = do(lambda: place(make_commands(spec), copies(), overwrite=False))
    assert wrong == []
    return place_.work, worktree


def copies() -> list[LocalFile]:
    return [
        LocalFile.model_construct(None, path=name, data=SECRET, executable=False) for name in NAMES
    ]


def commit(work: Path, message: str) -> str:
    git(work, "-c", "user.name=x", "commit", "-q", "-m", message)
    return git(work, "rev-parse", "HEAD")


def every_object(work: Path, *tips: str) -> str:
    """The names in all trees that can be reached from here since the base."""
    return git(work, "rev-list", "--objects", *tips)


def test_the_files_are_there_for_the_agent_alone_and_git_does_not_see_them(
    tree: tuple[Path, Worktree],
) -> None:
    work, _ = tree
    for name in NAMES:
        assert (work / name).read_bytes() == SECRET
        assert (work / name).stat().st_mode & 0o777 == 0o600
    assert git(work, "status", "--porcelain") == ""
    git(work, "add", "-A")
    assert git(work, "diff", "--cached", "--name-only") == ""


def test_what_an_agent_adds_all_the_same_is_in_no_snapshot_and_no_commit(
    tree: tuple[Path, Worktree],
) -> None:
    work, worktree = tree
    (work / "one").write_text("1")
    git(work, "add", "one")
    commit(work, "good")
    git(work, "add", "-f", *NAMES)
    bad = commit(work, "bad")
    (work / "two").write_text("2")
    git(work, "add", "two")
    commit(work, "later")
    taken = snap(worktree)
    names = every_object(work, taken.commit, taken.head)
    assert ".env" not in names
    assert "local.json" not in names
    assert git(work, "ls-tree", "--name-only", taken.tree).split() == [
        ".gitignore",
        "README",
        "one",
        "two",
    ]
    assert git(work, "log", "--format=%s", f"{BRANCH}~3..{BRANCH}").split() == [
        "later",
        "bad",
        "good",
    ]
    assert taken.head == git(work, "rev-parse", BRANCH) != bad
    assert worktree.withheld() == [".env", "config/local.json"]
    # The agent has them still, and its next commit does not.
    assert (work / ".env").read_bytes() == SECRET
    (work / "three").write_text("3")
    git(work, "add", "-A")
    assert commit(work, "next")
    assert ".env" not in git(work, "ls-tree", "-r", "--name-only", "HEAD")


def test_a_file_that_is_only_staged_is_withheld(tree: tuple[Path, Worktree]) -> None:
    work, worktree = tree
    git(work, "add", "-f", ".env")
    taken = snap(worktree)
    assert ".env" not in every_object(work, taken.commit)
    assert worktree.withheld() == [".env"]


def test_a_merge_and_another_branch_are_cleaned_too(tree: tuple[Path, Worktree]) -> None:
    work, worktree = tree
    git(work, "checkout", "-q", "-b", "side")
    git(work, "add", "-f", ".env")
    commit(work, "bad")
    git(work, "checkout", "-q", BRANCH.removeprefix("refs/heads/"))
    (work / "one").write_text("1")
    git(work, "add", "one")
    commit(work, "good")
    git(work, "-c", "user.name=x", "merge", "-q", "--no-edit", "side")
    git(work, "checkout", "-q", "side")
    taken = snap(worktree)
    assert ".env" not in every_object(work, taken.commit, taken.head)
    assert len(git(work, "rev-list", "--parents", "-n", "1", taken.head).split()) == 3


def test_the_exclusion_can_be_taken_away_and_a_folder_put_there(
    tree: tuple[Path, Worktree],
) -> None:
    work, worktree = tree
    (work / ".git" / "info" / "exclude").unlink()
    (work / ".env").unlink()
    (work / ".env").mkdir()
    (work / ".env" / "inner").write_bytes(SECRET)
    taken = snap(worktree)
    assert ".env" not in every_object(work, taken.commit)
    assert "local.json" not in every_object(work, taken.commit)


def test_the_result_holds_them_in_no_commit(tree: tuple[Path, Worktree]) -> None:
    work, worktree = tree
    git(work, "add", "-f", ".env")
    commit(work, "bad")
    do(lambda: worktree.commit("checkpoint"))
    (work / "one").write_text("1")
    do(lambda: worktree.finish("done"))
    taken = snap(worktree)
    assert ".env" not in every_object(work, taken.commit, taken.head)
    assert git(work, "show", "--format=", "--name-only", BRANCH).split() == ["one"]


def test_a_second_snapshot_finds_nothing_new(tree: tuple[Path, Worktree]) -> None:
    """The same commits become the same ones again, and what was sent is not sent again."""
    work, worktree = tree
    git(work, "add", "-f", ".env")
    commit(work, "bad")
    first = snap(worktree)
    assert snap(worktree, first) == first


def test_without_files_to_copy_history_is_left_as_it_is(tmp_path: Path) -> None:
    place_, worktree = make(tmp_path)
    do(worktree.prepare)
    (place_.work / ".env").write_text("x")
    git(place_.work, "add", "-f", ".env")
    head = commit(place_.work, "theirs")
    assert snap(worktree).head == head
    assert worktree.withheld() == []


def test_what_the_agent_changed_stays_and_a_restart_brings_the_file_back(
    tmp_path: Path, tree: tuple[Path, Worktree]
) -> None:
    work, worktree = tree
    commands = worktree._scripts._commands
    (work / ".env").write_text("changed")
    (work / NAMES[1]).unlink()
    assert do(lambda: place(commands, copies(), overwrite=False)) == []
    assert (work / ".env").read_text() == "changed"
    assert (work / NAMES[1]).read_bytes() == SECRET
    assert do(lambda: place(commands, copies(), overwrite=True)) == []
    assert (work / ".env").read_bytes() == SECRET


def test_nothing_is_written_through_a_symbolic_link(
    tmp_path: Path, tree: tuple[Path, Worktree]
) -> None:
    work, worktree = tree
    outside = tmp_path / "outside"
    outside.mkdir()
    (work / NAMES[1]).unlink()
    (work / "config").rmdir()
    (work / "config").symlink_to(outside)
    (work / ".env").unlink()
    (work / ".env").symlink_to(outside / "x")
    [wrong] = do(lambda: place(worktree._scripts._commands, copies(), overwrite=True))
    assert "config is a symbolic link" in wrong
    assert list(outside.iterdir()) == []
    assert not (work / ".env").is_symlink()
    assert "hunter2" not in wrong
