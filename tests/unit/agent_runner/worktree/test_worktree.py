"""The task's clone: snapshots, restoring, finishing, with real git."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.spec import Restore, RunLimits
from agent_runner.worktree.script_runner import WorktreeError
from agent_runner.worktree.worktree import Target, Worktree
from tests.support.runs import git
from tests.support.trees import BRANCH, do, make, snap


def test_a_new_clone_borrows_the_base_and_holds_its_files(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    prepared = do(worktree.prepare)
    assert (place.work / "README").read_text() == "base\n"
    assert git(place.work, "status", "--porcelain", "-b") == "## rover/7-mend"
    assert git(place.work, "count-objects") == "0 objects, 0 kilobytes"
    assert git(place.work, "config", "user.email") == "agent@rover.invalid"
    assert not prepared.existed
    assert do(worktree.prepare).existed


def test_a_snapshot_holds_untracked_files_and_not_ignored_ones(
    tmp_path: Path,
) -> None:
    """C10: index, branch and ignored files stay as they are."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work = place.work
    (work / "new").write_text("n")
    (work / "x.ignored").write_text("i")
    (work / "staged").write_text("s")
    git(work, "add", "staged")
    (work / "README").unlink()
    before = git(work, "status", "--porcelain")
    taken = snap(worktree)
    assert git(work, "status", "--porcelain") == before
    assert git(work, "ls-tree", "--name-only", taken.tree).split() == [
        ".gitignore",
        "new",
        "staged",
    ]
    assert taken.head == place.base_commit == git(work, "rev-parse", BRANCH)
    assert (work / "x.ignored").exists()
    assert git(work, "rev-parse", "refs/rover/snapshots/1") == taken.commit


def test_an_unchanged_tree_gives_the_same_snapshot_and_no_bundle(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    first = snap(worktree)
    assert snap(worktree, first) == first
    assert [p.name for p in (place.run_folder / "bundles").iterdir()] == ["000001.bundle"]


def test_each_bundle_holds_only_what_is_new_and_all_together_everything(tmp_path: Path) -> None:
    """C8."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work = place.work
    (work / "big").write_bytes(bytes(range(256)) * 4000)
    first = snap(worktree)
    (work / "small").write_text("s")
    git(work, "add", "small")
    git(work, "-c", "user.name=x", "commit", "-q", "-m", "own commit")
    second = snap(worktree, first)
    hub = tmp_path / "hub"
    git(tmp_path, "clone", "-q", "--bare", str(place.root / "base"), str(hub))
    for taken in (first, second):
        bundle = place.run_folder / "bundles" / taken.bundle
        git(hub, "fetch", "-q", str(bundle), "+refs/rover/*:refs/rover/*")
    git(hub, "fsck", "--strict")
    assert git(hub, "rev-parse", f"{second.commit}^{{tree}}") == second.tree
    assert git(hub, "cat-file", "-t", second.head) == "commit"
    assert (place.run_folder / "bundles" / second.bundle).stat().st_size < 2000


def test_a_snapshot_over_the_limit_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    """What grows has a limit, and says so there."""
    place, worktree = make(tmp_path, RunLimits(bundle_bytes=1000))
    do(worktree.prepare)

    (place.work / "big").write_bytes(os.urandom(50_000))
    with pytest.raises(WorktreeError, match="larger than the limit of 1000 bytes"):
        snap(worktree)
    assert list((place.run_folder / "bundles").iterdir()) == []


def test_what_an_agent_left_in_its_clone_does_not_stop_the_snapshot(tmp_path: Path) -> None:
    """C10: a failing hook, garbage for an index, a lock that nobody holds."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    hooks = place.work / ".git" / "own-hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "reference-transaction").chmod(0o755)
    git(place.work, "config", "core.hooksPath", str(hooks))
    (place.work / ".git" / "index").write_bytes(b"garbage")
    (place.work / ".git" / "HEAD.lock").touch()
    (place.work / "new").write_text("n")
    taken = snap(worktree)
    assert git(place.work, "show", f"{taken.commit}:new") == "n"


@pytest.mark.parametrize("committed", [False, True])
def test_a_repository_inside_the_tree_does_not_stop_the_snapshot(
    tmp_path: Path, committed: bool
) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    inner = place.work / "inner dir"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "f").write_text("f")
    if committed:
        git(inner, "add", "f")
        git(inner, "commit", "-q", "-m", "m")
    (place.work / "other").write_text("o")
    taken, lacking = do(lambda: worktree.snapshot(None))
    names = git(place.work, "ls-tree", "-r", "--name-only", taken.tree).splitlines()
    assert names == [".gitignore", "README", "inner dir/f", "other"]
    assert lacking == []


def test_a_reset_restores_tree_and_branch_and_keeps_what_was_there(tmp_path: Path) -> None:
    """F7, C10: thrown away is nothing."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work = place.work
    (work / "a").write_text("a")
    (work / "x.ignored").write_text("i")
    taken = snap(worktree)
    (work / "a").write_text("spoilt")
    (work / "junk").write_text("junk")
    (work / "README").unlink()
    git(work, "checkout", "-q", "-b", "elsewhere")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "spoilt")
    assert do(lambda: worktree.reset(Target.of(taken), keep_as="1-2")) is True
    assert sorted(p.name for p in work.iterdir()) == [
        ".git",
        ".gitignore",
        "README",
        "a",
        "x.ignored",
    ]
    assert (work / "a").read_text() == "a"
    assert git(work, "status", "--porcelain", "-b") == "## rover/7-mend\n?? a"
    assert git(work, "show", "refs/rover/kept/1-2:junk") == "junk"
    assert do(lambda: worktree.reset(Target.of(taken), keep_as="1-3")) is False


def test_a_lost_clone_is_restored_from_a_bundle(tmp_path: Path) -> None:
    """C10, I6."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / "a").write_text("a")
    taken = snap(worktree)
    bundle = place.run_folder / "bundles" / taken.bundle
    bundle.rename(place.root / "spec/restore.bundle")
    git(tmp_path, "clone", "-q", str(place.root / "base"), str(tmp_path / "fresh"))
    for path in place.work.iterdir():
        path.rename(tmp_path / f"gone{path.name}")
    do(worktree.prepare)
    target = Target(taken.commit, taken.head)
    do(lambda: worktree.reset(target, keep_as="", restore=True))
    assert (place.work / "a").read_text() == "a"
    assert git(place.work, "status", "--porcelain", "-b") == "## rover/7-mend\n?? a"


def test_a_restore_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    """V1: the clone counts as whole once the restore says so, and not before."""
    place, earlier = make(tmp_path)
    do(earlier.prepare)
    (place.work / "a").write_text("a")
    taken = snap(earlier)
    bundle = place.run_folder / "bundles" / taken.bundle
    bundle.rename(place.root / "spec/restore.bundle")
    place.work.rename(tmp_path / "gone")
    place.work.mkdir()
    spec = place.spec(restore=Restore(commit=taken.commit, head=taken.head))
    worktree = Worktree(spec, make_commands(spec))
    target = Target(taken.commit, taken.head)
    assert not do(worktree.prepare).existed
    (place.work / "README").unlink()
    assert not do(worktree.prepare).existed
    do(lambda: worktree.reset(target, keep_as="", restore=True))
    assert do(worktree.prepare).existed
    assert git(place.work, "status", "--porcelain") == "?? a"


def test_commits_that_were_not_taken_up_again_are_still_to_be(tmp_path: Path) -> None:
    """V1: the same where the files were kept."""
    place, earlier = make(tmp_path)
    do(earlier.prepare)
    (place.work / "a").write_text("a")
    do(lambda: earlier.finish("mine"))
    taken = snap(earlier)
    bundle = place.run_folder / "bundles" / taken.bundle
    bundle.rename(place.root / "spec/restore.bundle")
    (place.work / ".git").rename(tmp_path / "gone")
    spec = place.spec(restore=Restore(commit=taken.commit, head=taken.head))
    worktree = Worktree(spec, make_commands(spec))
    assert do(worktree.prepare).repaired
    assert do(worktree.prepare).repaired
    do(lambda: worktree.adopt(taken.head))
    assert do(worktree.prepare).existed
    assert git(place.work, "log", "-1", "--format=%s") == "mine"


def test_a_destroyed_repository_is_made_again_around_the_files(tmp_path: Path) -> None:
    """C10: damaged, not lost."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / "a").write_text("a")
    (place.work / ".git/HEAD").write_text("nonsense")
    assert do(worktree.prepare).repaired
    assert git(place.work, "status", "--porcelain", "-b") == "## rover/7-mend\n?? a"


@pytest.mark.parametrize("where", ["branch", "other branch", "detached", "diverged", "deleted"])
def test_the_result_is_on_the_branch_wherever_the_agent_left_it(tmp_path: Path, where: str) -> None:
    """F7: committed, with the tree as it is."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work = place.work

    def commit(name: str) -> None:
        (work / name).write_text(name)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", name)

    if where == "other branch":
        git(work, "checkout", "-q", "-b", "mine")
        commit("c")
    elif where == "detached":
        git(work, "checkout", "-q", "--detach")
        commit("c")
    elif where == "diverged":
        git(work, "checkout", "-q", "-b", "mine")
        commit("c")
        git(work, "checkout", "-q", "rover/7-mend")
        commit("d")
        git(work, "checkout", "-q", "mine")
    elif where == "deleted":
        git(work, "checkout", "-q", "--detach")
        git(work, "branch", "-q", "-D", "rover/7-mend")
    (work / "last").write_text("last")
    want = sorted(p.name for p in work.iterdir() if p.name != ".git")
    do(lambda: worktree.finish("Title\n\nbody\n"))
    assert git(work, "status", "--porcelain", "-b") == "## rover/7-mend"
    assert git(work, "ls-tree", "--name-only", BRANCH).split() == want
    assert git(work, "log", "-1", "--format=%s|%an|%ae|%b") == (
        "Title|Rover agent|agent@rover.invalid|body\n"
    ).rstrip("\n")


def test_a_clean_tree_gets_no_commit(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    do(lambda: worktree.finish("T"))
    assert git(place.work, "rev-parse", BRANCH) == place.base_commit


def test_what_git_says_is_checked(tmp_path: Path) -> None:
    """An agent's configuration cannot make up an id."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.root / "home").joinpath("git").write_text(
        "#!/bin/sh\necho 'rover snapshot ../../x y z' >&2\n"
    )
    spec = place.spec(environment={"PATH": str(place.root / "home") + ":/usr/bin:/bin"})
    (place.root / "home/git").chmod(0o755)
    with pytest.raises(WorktreeError, match=r"unusable answer|could not"):
        anyio.run(Worktree(spec, make_commands(spec)).snapshot, None)


def test_a_repository_configured_to_do_harm_still_gives_the_right_tree(tmp_path: Path) -> None:
    """`core.worktree` elsewhere, hooks, and a stale lock of a killed git."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    git(place.work, "config", "core.worktree", "/etc")
    (place.work / "a").write_text("a")
    (place.work / ".git/index.lock").write_text("")
    do(worktree.prepare)
    taken = snap(worktree)
    assert git(
        place.root, "--git-dir", str(place.work / ".git"), "ls-tree", "--name-only", taken.tree
    ).split() == [".gitignore", "README", "a"]


def test_a_change_of_the_same_size_in_the_checkouts_second_is_seen(
    tmp_path: Path,
) -> None:
    """C10: git's racy entries. The times are set, so that the test does not depend on the clock."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    git(place.work, "config", "core.trustctime", "false")
    readme, index, past = place.work / "README", place.work / ".git" / "index", 1_700_000_000
    os.utime(readme, (past, past))
    git(place.work, "update-index", "--refresh")
    os.utime(index, (past, past))
    readme.write_text("bare\n")
    os.utime(readme, (past, past))
    taken = snap(worktree)
    assert git(place.work, "show", f"{taken.commit}:README") == "bare"
