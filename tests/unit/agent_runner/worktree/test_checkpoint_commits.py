"""Checkpoint commits and their collapse before delivery, with real git."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent_runner.worktree.script_runner import WorktreeError
from agent_runner.worktree.worktree import Worktree
from tests.support.runs import RunFolders, git
from tests.support.trees import BRANCH, do, make, snap


@pytest.fixture
def tree(tmp_path: Path) -> tuple[RunFolders, Worktree]:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    return place, worktree


def checkpoint(place: RunFolders, worktree: Worktree, name: str) -> bool:
    (place.work / name).write_text(name)
    return do(lambda: worktree.commit(f"after {name}"))


def own_commit(place: RunFolders, name: str, message: str = "") -> str:
    (place.work / name).write_text(name)
    git(place.work, "add", "-A")
    git(place.work, "commit", "-q", "-m", message or f"own {name}")
    return git(place.work, "rev-parse", "HEAD")


def finish(worktree: Worktree) -> bool:
    return do(lambda: worktree.finish("The task\n\nMade by Rover.\n"))


def subjects(place: RunFolders) -> list[str]:
    return git(place.work, "log", "--reverse", "--format=%s", BRANCH).splitlines()


def names(place: RunFolders) -> list[str]:
    return git(place.work, "ls-tree", "-r", "--name-only", BRANCH).split()


def test_a_checkpoint_commit_holds_the_tree_and_is_marked(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """G8: untracked files too, and nothing is left to commit."""
    place, worktree = tree
    assert checkpoint(place, worktree, "a")
    assert git(place.work, "status", "--porcelain", "-b") == "## rover/7-mend"
    assert git(place.work, "log", "-1", "--format=%B", BRANCH) == (
        "after a\n\nRover-Checkpoint: true\n"
    ).rstrip("\n")
    assert not do(lambda: worktree.commit("again")), "there is nothing to commit"
    assert subjects(place) == ["base", "after a"]


@pytest.mark.parametrize(
    "message", ["", "two\n\nSigned-off-by: x <x@y>", "a\0b", "x" * 50_000, "$(id) `id` %s"]
)
def test_whatever_the_template_gave_the_commit_is_marked(
    tree: tuple[RunFolders, Worktree], message: str
) -> None:
    """G8: the message holds outputs, which are untrusted text."""
    place, worktree = tree
    (place.work / "a").write_text("a")
    assert do(lambda: worktree.commit(message))
    trailer = "%(trailers:key=Rover-Checkpoint,valueonly)"
    assert git(place.work, "log", "-1", f"--format={trailer}").strip() == "true"
    assert finish(worktree)
    assert subjects(place) == ["base", "The task"]


def test_checkpoint_commits_become_one_and_the_tree_is_the_same(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """G8."""
    place, worktree = tree
    for name in ("a", "b", "c"):
        assert checkpoint(place, worktree, name)
    (place.work / "d").write_text("d")
    before = snap(worktree)
    assert finish(worktree)
    assert subjects(place) == ["base", "The task"]
    assert git(place.work, "rev-parse", f"{BRANCH}^{{tree}}") == before.tree
    assert git(place.work, "status", "--porcelain", "-b") == "## rover/7-mend"
    assert names(place) == [".gitignore", "README", "a", "b", "c", "d"]


def test_the_agent_s_own_commits_stay_in_their_order_with_their_authors(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """G8: those before the first checkpoint keep their ids."""
    place, worktree = tree
    first = own_commit(place, "a")
    checkpoint(place, worktree, "b")
    own_commit(place, "c", "own c\n\nbody - ä\n")
    checkpoint(place, worktree, "d")
    own_commit(place, "e")
    assert finish(worktree)
    assert subjects(place) == ["base", "own a", "own c", "own e"]
    assert git(place.work, "rev-parse", f"{BRANCH}~2") == first
    assert git(place.work, "log", "-1", "--format=%an|%ae|%b", f"{BRANCH}~1") == (
        "A|a@example.invalid|body - ä"
    )
    changed = git(place.work, "show", "--format=", "--name-only", f"{BRANCH}~1").split()
    assert changed == ["b", "c"], "the dropped commit's change is in the next one"
    assert names(place) == [".gitignore", "README", "a", "b", "c", "d", "e"]
    git(place.work, "fsck", "--strict")


def test_a_result_without_checkpoint_commits_is_not_rewritten(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """G8: nothing to collapse, whatever the history looks like."""
    place, worktree = tree
    git(place.work, "checkout", "-q", "-b", "side")
    own_commit(place, "a")
    git(place.work, "checkout", "-q", "rover/7-mend")
    own_commit(place, "b")
    git(place.work, "merge", "-q", "--no-edit", "side")
    tip = git(place.work, "rev-parse", BRANCH)
    assert finish(worktree)
    assert git(place.work, "rev-parse", BRANCH) == tip


@pytest.mark.parametrize("how", ["merged", "diverged", "unrelated"])
def test_a_history_that_is_not_linear_is_kept_with_a_warning(
    tree: tuple[RunFolders, Worktree], how: str
) -> None:
    """G8: with the final tree all the same."""
    place, worktree = tree
    checkpoint(place, worktree, "a")
    kept = git(place.work, "rev-parse", BRANCH)
    if how == "unrelated":
        git(place.work, "checkout", "-q", "--orphan", "fresh")
        git(place.work, "commit", "-q", "-m", "fresh")
        git(place.work, "branch", "-f", "rover/7-mend", "fresh")
        checkpoint(place, worktree, "b")
    else:
        git(place.work, "checkout", "-q", "-b", "side", place.base_commit)
        own_commit(place, "b")
        if how == "merged":
            git(place.work, "checkout", "-q", "rover/7-mend")
            git(place.work, "merge", "-q", "--no-edit", "side")
    want = sorted(p.name for p in place.work.iterdir() if p.name != ".git")
    assert not finish(worktree)
    assert names(place) == want
    if how != "unrelated":
        assert kept in git(place.work, "rev-list", BRANCH).split()


def test_a_history_that_the_agent_disguised_is_read_as_it_is(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """G8: replaced objects and grafts do not count."""
    place, worktree = tree
    checkpoint(place, worktree, "a")
    checkpoint(place, worktree, "b")
    git(place.work, "replace", "HEAD", place.base_commit)
    (place.work / ".git/info").mkdir(exist_ok=True)
    (place.work / ".git/info/grafts").write_text(git(place.work, "rev-parse", "HEAD") + "\n")
    assert finish(worktree)
    raw = git(place.work, "--no-replace-objects", "log", "--format=%s", BRANCH)
    assert raw.splitlines() == ["The task", "base"]


def test_locks_that_a_killed_git_left_do_not_stop_the_end(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """F7: files or folders, of the index, the head, the branch and the next snapshot."""
    place, worktree = tree
    (place.work / "a").write_text("a")
    inside = place.work / ".git"
    for name in ("index", "packed-refs", "config", "refs/heads/rover/7-mend"):
        (inside / f"{name}.lock").touch()
    (inside / "HEAD.lock").mkdir()
    (inside / "refs/rover/snapshots").mkdir(parents=True)
    (inside / "refs/rover/snapshots/1.lock").touch()
    assert finish(worktree)
    assert names(place) == [".gitignore", "README", "a"]
    assert snap(worktree).sequence == 1


def test_a_lock_that_another_git_holds_is_waited_for_and_not_taken_away(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """G8: an agent that runs beside the step is not disturbed."""
    place, worktree = tree
    lock = place.work / ".git/index.lock"
    lock.touch()
    snap(worktree)
    assert lock.exists()
    freed = threading.Timer(0.2, lock.unlink)
    freed.start()
    assert checkpoint(place, worktree, "a")
    freed.join()
    lock.touch()
    os.utime(lock, (1_700_000_000, 1_700_000_000))
    assert checkpoint(place, worktree, "b"), "nobody holds one for so long"
    assert not lock.exists()


def test_a_checkpoint_commit_that_is_not_possible_loses_nothing(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """C10, G8."""
    place, worktree = tree
    hold = place.work / ".git/refs/heads/rover/7-mend.lock"
    hold.touch()
    (place.work / "a").write_text("a")
    with pytest.raises(WorktreeError, match="could not make a checkpoint commit"):
        do(lambda: worktree.commit("m"))
    assert (place.work / "a").read_text() == "a"
    assert finish(worktree)
    assert subjects(place) == ["base", "The task"]


def test_snapshots_are_numbered_from_the_given_number(
    tree: tuple[RunFolders, Worktree],
) -> None:
    """C10: a number is used once, also by an attempt that knows of no earlier one."""
    place, worktree = tree
    first, _ = do(lambda: worktree.snapshot(None, 7))
    assert (first.sequence, first.bundle) == (7, "000007.bundle")
    (place.work / "a").write_text("a")
    second, _ = do(lambda: worktree.snapshot(first, 3))
    assert second.sequence == 8
