"""What agents do to their clone, and the system to git: it costs no work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunLimits, RunSpec, SwitchUser, WrapCommand
from agent_runner.worktree.git_reports import MAX_LACKING
from agent_runner.worktree.script_runner import WorktreeError, WorktreeInterrupted
from agent_runner.worktree.worktree import Target, Worktree
from tests.support.runs import RunFolders, git
from tests.support.trees import BRANCH, do, make, snap
from tests.unit.agent_runner.conftest import in_own_thread, worker_uid


def test_what_a_snapshot_lacks_is_named(tmp_path: Path) -> None:
    """C10: a repository whose name git has to quote, with a commit or without, and the files that
    somebody put into the folder of a submodule."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    link = f"160000,{place.base_commit},sub"
    (place.work / ".gitmodules").write_text('[submodule "s"]\n\tpath = sub\n\turl = ../s\n')
    git(place.work, "update-index", "--add", "--cacheinfo", link)
    (place.work / "sub").mkdir()
    assert do(lambda: worktree.snapshot(None))[1] == []
    (place.work / "sub/new").write_text("n")
    for name in ("empty\x1b\nrover same", 'with "quotes"'):
        inner = place.work / name
        inner.mkdir()
        git(inner, "init", "-q")
        (inner / "f").write_text("f")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "m")
    taken, lacking = do(lambda: worktree.snapshot(None))
    assert lacking == [r"empty\033\nrover same", "sub", r"with \"quotes\""]
    assert git(place.work, "ls-tree", "--name-only", taken.tree).split() == [
        ".gitignore",
        ".gitmodules",
        "README",
        "sub",
    ]
    for number in range(2 * MAX_LACKING):
        inner = place.work / f"more\t{number}"
        inner.mkdir()
        git(inner, "init", "-q")
        git(inner, "commit", "-q", "--allow-empty", "-m", "m")
    lacking = do(lambda: worktree.snapshot(taken))[1]
    assert len(lacking) == MAX_LACKING + 1
    assert lacking[-1].endswith(" more")


def test_a_filter_of_the_agent_s_neither_runs_nor_changes_what_is_recorded(
    tmp_path: Path,
) -> None:
    """C10: byte for byte, in the snapshot, its restore and the result; a filter that hangs or
    fails holds nothing up."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work = place.work
    ran = tmp_path / "ran"
    for name in ("lfs", "a.b c"):
        for kind in ("clean", "smudge", "process"):
            git(work, "config", f"filter.{name}.{kind}", f"touch {ran}; exit 1")
        git(work, "config", f"filter.{name}.required", "true")
    (work / ".gitattributes").write_text("big filter=lfs\nother filter=a.b c\n*.txt text\n")
    (work / "big").write_bytes(bytes(range(256)))
    (work / "other").write_text("content\n")
    taken = snap(worktree)
    assert git(work, "cat-file", "-s", f"{taken.commit}:big") == "256"
    (work / "big").write_text("spoilt")
    do(lambda: worktree.reset(Target.of(taken), keep_as="1-2"))
    assert (work / "big").read_bytes() == bytes(range(256))
    assert do(lambda: worktree.commit("c"))
    assert do(lambda: worktree.finish("T"))
    assert git(work, "cat-file", "-s", f"{BRANCH}:big") == "256"
    assert not ran.exists()


@pytest.mark.parametrize("name", [".git/index", "d/.gitignore", ".gitattributes"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_in_the_place_of_a_file_of_gits_holds_nothing_up(
    tmp_path: Path, name: str, linked: bool
) -> None:
    """It would be opened, and waited for until git is given up."""
    place, worktree = make(tmp_path, RunLimits(git_stall=0.8))
    do(worktree.prepare)
    odd = place.work / name
    odd.parent.mkdir(exist_ok=True)
    odd.unlink(missing_ok=True)
    if linked:
        os.mkfifo(place.work / "pipe")
        odd.symlink_to(place.work / "pipe")
    else:
        os.mkfifo(odd)
    (place.work / "d").mkdir(exist_ok=True)
    (place.work / "d" / "kept.txt").write_text("kept\n")
    taken = snap(worktree)
    assert git(place.work, "show", f"{taken.commit}:d/kept.txt") == "kept"


def removed(place: RunFolders) -> None:
    shutil.rmtree(place.work / ".git")


def begun_anew(place: RunFolders) -> None:
    removed(place)
    git(place.work, "init", "-q")
    git(place.work, "add", "-A")
    git(place.work, "commit", "-qm", "my project")


def headless(place: RunFolders) -> None:
    (place.work / ".git/HEAD").write_text("nonsense\n")


@pytest.mark.parametrize("harm", [removed, begun_anew, headless])
def test_a_repository_that_a_step_removed_or_replaced_interrupts_the_run(
    tmp_path: Path, harm: Callable[[RunFolders], None]
) -> None:
    """C10: the run pauses, and the next attempt makes the repository again around the files."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / "new.txt").write_text("new\n")
    harm(place)
    with pytest.raises(WorktreeInterrupted, match="resume_task makes the repository again"):
        do(lambda: worktree.finish("Done"))
    assert do(worktree.prepare).repaired
    do(lambda: worktree.finish("Done"))
    assert git(place.work, "show", f"{BRANCH}:new.txt") == "new"


def test_a_pipe_in_place_of_a_repositorys_head_is_reported_soon(tmp_path: Path) -> None:
    """Without it there is no repository; a resume makes it again."""
    place, worktree = make(tmp_path, RunLimits(git_stall=0.8))
    do(worktree.prepare)
    (place.work / ".git/HEAD").unlink()
    os.mkfifo(place.work / ".git/HEAD")
    with pytest.raises(WorktreeError, match="not a git repository"):
        snap(worktree)
    do(worktree.prepare)
    assert snap(worktree).commit


def bwrap(place: RunFolders) -> RunSpec:
    arguments = ["bwrap", "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    arguments += ["--die-with-parent", "--unshare-pid", "--dev-bind", "/", "/"]
    prefix = [*arguments, "--chdir", str(place.work), "--"]
    return place.spec(isolation=WrapCommand(prefix=prefix, forwarder=[]))


def other_user(place: RunFolders) -> RunSpec:
    for folder in (place.work, place.root / "home"):
        os.chown(folder, worker_uid(), worker_uid())
    return place.spec(isolation=SwitchUser(uid=worker_uid(), gid=worker_uid()))


@pytest.mark.parametrize("spec_of", [bwrap, other_user])
@pytest.mark.parametrize("what", [".", ".git", ".git/objects", ".git/refs/heads"])
def test_an_agent_that_locks_itself_out_does_not_lock_out_the_checkpoint(
    shared_folder: Path, spec_of: Callable[[RunFolders], RunSpec], what: str
) -> None:
    """C10: repaired with the agent's rights, in both isolations."""
    place = RunFolders(shared_folder / "task", "", attempt=1)
    spec = spec_of(place)

    async def work() -> None:
        worktree = Worktree(spec, make_commands(spec))
        await worktree.prepare()
        (place.work / "a").write_text("a")
        assert await worktree.commit("m")
        (place.work / what).chmod(0)
        taken, _ = await worktree.snapshot(None)
        (place.work / what).chmod(0)
        prepared = await worktree.prepare()
        assert (prepared.existed, prepared.repaired) == (True, False)
        (place.work / what).chmod(0)
        assert not await worktree.reset(Target.of(taken), keep_as="")
        (place.work / what).chmod(0)
        assert await worktree.finish("T")

    in_own_thread(work)
    assert git_as_root(place, "ls-tree", "--name-only", BRANCH).split()[-1] == "a"


def git_as_root(place: RunFolders, *arguments: str) -> str:
    return git(place.work, "-c", "safe.directory=*", "--git-dir=.git", *arguments)


def unreadable(place: RunFolders, kind: str) -> str:
    if kind == "file":
        (place.work / "closed").write_text("c")
        (place.work / "closed").chmod(0)
        return "closed"
    (place.work / "folder").mkdir()
    (place.work / "folder/in").write_text("c")
    (place.work / "folder").chmod(0)
    return "folder/"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_cannot_be_read_is_named_and_the_rest_is_recorded(tmp_path: Path, kind: str) -> None:
    """C10."""
    place = RunFolders(tmp_path / "task", "", attempt=1)
    spec = bwrap(place)

    async def work() -> None:
        worktree = Worktree(spec, make_commands(spec))
        await worktree.prepare()
        (place.work / "a").write_text("a")
        name = unreadable(place, kind)
        taken, lacking = await worktree.snapshot(None)
        assert lacking == [name]
        assert "a" in git(place.work, "ls-tree", "--name-only", taken.tree).split()

    in_own_thread(work)


def killing_git(place: RunFolders, times: int) -> RunSpec:
    """A git at whose first calls its caller gets a SIGKILL, as from the system."""
    bin_folder = place.root / "bin"
    bin_folder.mkdir()
    (bin_folder / "git").write_text(
        f'#!/bin/sh\necho x >> "{place.root}/calls"\n'
        f'[ "$(wc -l < "{place.root}/calls")" -gt {times} ] || {{ kill -9 $PPID; exit; }}\n'
        'exec /usr/bin/git "$@"\n'
    )
    (bin_folder / "git").chmod(0o755)
    return place.spec(environment={"PATH": f"{bin_folder}:/usr/bin:/bin"})


def test_a_git_that_was_killed_is_run_again(tmp_path: Path) -> None:
    """D8: that says nothing of the work tree."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    (place.work / "a").write_text("a")
    spec = killing_git(place, 1)
    taken = snap(Worktree(spec, make_commands(spec)))
    assert git(place.work, "show", f"{taken.commit}:a") == "a"
    assert (place.run_folder / "bundles" / taken.bundle).stat().st_size > 0


def test_a_git_that_is_killed_again_and_again_is_an_interruption(tmp_path: Path) -> None:
    """D8."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    spec = killing_git(place, 1000)
    with pytest.raises(WorktreeInterrupted):
        do(lambda: Worktree(spec, make_commands(spec)).finish("T"))
    assert issubclass(WorktreeInterrupted, WorktreeError)


@pytest.mark.parametrize("times", [1, 2])
def test_a_clone_that_was_interrupted_is_made_again(tmp_path: Path, times: int) -> None:
    """V1, F7. Succeeded at 700cc57: the branch was there before the files, so a clone whose files
    a kill had cut short was taken for complete, and those that were missing for deleted."""
    place = RunFolders(tmp_path / "task", "", attempt=1)
    bin_folder = place.root / "bin"
    bin_folder.mkdir()
    (bin_folder / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" read-tree "*) echo x >> "{place.root}/calls" ;;\n'
        '*) exec /usr/bin/git "$@" ;; esac\n'
        f'[ "$(wc -l < "{place.root}/calls")" -le {times} ] || exec /usr/bin/git "$@"\n'
        '/usr/bin/git "$@"; rm README; kill -9 $PPID\n'
    )
    (bin_folder / "git").chmod(0o755)
    spec = place.spec(environment={"PATH": f"{bin_folder}:/usr/bin:/bin"})
    worktree = Worktree(spec, make_commands(spec))
    if times > 1:
        with pytest.raises(WorktreeInterrupted):
            do(worktree.prepare)
    prepared = do(worktree.prepare)
    assert (prepared.existed, prepared.repaired) == (False, False)
    assert (place.work / "README").read_text() == "base\n"
    assert git(place.work, "status", "--porcelain") == ""
    assert do(worktree.prepare).existed


def test_a_branch_that_was_put_elsewhere_is_followed(tmp_path: Path) -> None:
    """C10: packed, behind another name, or HEAD as a commit."""
    place, worktree = make(tmp_path)
    do(worktree.prepare)
    work, ref = place.work, place.work / ".git" / BRANCH
    (work / "new").write_text("new")
    git(work, "add", "new")
    git(work, "commit", "-q", "-m", "own commit")
    first = snap(worktree)
    git(work, "pack-refs", "--all")
    assert not ref.exists()
    assert snap(worktree, first) == first
    git(work, "symbolic-ref", "HEAD", "refs/heads/other")
    git(work, "symbolic-ref", "refs/heads/other", BRANCH)
    assert snap(worktree, first) == first
    ref.unlink(missing_ok=True)
    git(work, "update-ref", BRANCH, place.base_commit)
    second = snap(worktree, first)
    assert (second.tree, second.head) == (first.tree, place.base_commit)
