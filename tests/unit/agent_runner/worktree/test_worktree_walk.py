"""How a work tree is filled, by several processes at once, and how a snapshot looks at it: once,
and with the same result as git add."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.spec import WrapCommand
from agent_runner.worktree.worktree import Worktree
from tests.support.runs import RunFolders, git
from tests.support.trees import do, snap

MANY = 150
"""Files from which on git uses several processes."""

LONG_AGO = 1_600_000_000

BROKEN = b"DIRC" + b"\0" * 40
"""What git takes for no index."""

KILLED = """#!/bin/sh
[ "$1" != checkout--worker ] || {{ echo >> {counted}; kill -KILL $$; }}
exec {git} "$@"
"""

WALKS = ({"status"}, {"add"}, {"ls-files", "--others"})


def with_base(root: Path, trace: str, *variables: str) -> tuple[Path, Worktree]:
    place = RunFolders(root, "", attempt=1)
    base = place.root / "base"
    for path in ("a", "b", "link", "dir/one", "dir/two", "file", "gone", "both", "mode"):
        (base / path).parent.mkdir(exist_ok=True)
        (base / path).write_text(f"{path}\n" * 20)
    git(base, "add", "-A")
    git(base, "commit", "-qm", "more")
    prefix = ["env", "-C", str(place.work), "GIT_CONFIG_NOSYSTEM=1", f"GIT_TRACE2_EVENT={trace}"]
    prefix += variables
    isolation = WrapCommand(prefix=prefix, forwarder=[])
    spec = place.spec(base_commit=git(base, "rev-parse", "HEAD"), isolation=isolation)
    worktree = Worktree(spec, make_commands(spec))
    do(worktree.prepare)
    return place.work, worktree


def test_a_clone_is_complete_although_its_writers_are_killed(tmp_path: Path) -> None:
    """V1, speed: one process writes them all then."""
    place = RunFolders(tmp_path / "task", "", attempt=1)
    base, programs, counted = place.root / "base", tmp_path / "core", tmp_path / "counted"
    for number in range(MANY):
        (base / f"file{number}").write_text(f"{number}\n")
    git(base, "add", "-A")
    git(base, "commit", "-qm", "many")
    real = Path(git(base, "--exec-path"))
    shutil.copytree(real, programs, symlinks=True, ignore=shutil.ignore_patterns("git"))
    (programs / "git").write_text(KILLED.format(counted=counted, git=shutil.which("git")))
    (programs / "git").chmod(0o755)
    prefix = ["env", "-C", str(place.work), f"GIT_EXEC_PATH={programs}"]
    isolation = WrapCommand(prefix=prefix, forwarder=[])
    spec = place.spec(base_commit=git(base, "rev-parse", "HEAD"), isolation=isolation)
    do(Worktree(spec, make_commands(spec)).prepare)
    several = int(subprocess.check_output(["nproc"])) > 1
    assert counted.exists() == several
    assert git(place.work, "status", "--porcelain") == ""
    assert len(list(place.work.glob("file*"))) == MANY


def test_files_in_another_encoding_are_written_in_it(tmp_path: Path) -> None:
    """V2: git's own processes that write files lost the encoding, and wrote them as they are."""
    place = RunFolders(tmp_path / "task", "", attempt=1)
    base = place.root / "base"
    for number in range(MANY):
        folder = base / f"folder{number}"
        folder.mkdir()
        (folder / ".gitattributes").write_text("*.u16 text working-tree-encoding=UTF-16LE\n")
        (folder / "a.u16").write_bytes("text\n".encode("utf-16-le"))
        (folder / "file").write_text(f"{number}\n")
    git(base, "add", "-A")
    git(base, "commit", "-qm", "many")
    spec = place.spec(base_commit=git(base, "rev-parse", "HEAD"))
    do(Worktree(spec, make_commands(spec)).prepare)
    written = {path.read_bytes() for path in place.work.glob("*/*.u16")}
    assert written == {"text\n".encode("utf-16-le")}


def test_a_snapshot_walks_the_tree_once(tmp_path: Path) -> None:
    """Speed: for a changed, a new and a deleted file."""
    trace = tmp_path / "trace"
    work, worktree = with_base(tmp_path / "task", str(trace))
    first = snap(worktree)
    (work / "a").write_text("other")
    (work / "new").write_text("new")
    (work / "gone").unlink()
    trace.unlink()
    taken = snap(worktree, first)
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    started = [set(event["argv"]) for event in events if event["event"] == "start"]
    assert [argv for argv in started if any(walk <= argv for walk in WALKS)] == [
        next(argv for argv in started if "status" in argv)
    ]
    assert git(work, "diff-tree", "-r", "--name-status", first.tree, taken.tree).split() == [
        "M", "a", "D", "gone", "A", "new",
    ]  # fmt: skip


def all_racy(work: Path) -> None:
    """As after a fast check-out: by its time alone, no file is known to be as the index has it."""
    for path in git(work, "ls-files").splitlines():
        os.utime(work / path, (LONG_AGO, LONG_AGO))
    git(work, "update-index", "--refresh")
    os.utime(work / ".git/index", (LONG_AGO, LONG_AGO))


def looked_into(trace: Path) -> int:
    """Files that the last status could not tell unchanged by their time."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    status = next(e["sid"] for e in events if e["event"] == "start" and "status" in e["argv"])
    counts = [e for e in events if e.get("key") == "refresh/sum_lstat" and e["sid"] == status]
    return int(counts[0]["value"])


def test_files_that_nobody_changed_are_read_once(tmp_path: Path) -> None:
    """Speed: what one snapshot learned serves the next, until the index is another."""
    trace = tmp_path / "trace"
    work, worktree = with_base(tmp_path / "task", str(trace), "GIT_TEST_PRELOAD_INDEX=1")
    all_racy(work)
    counts: list[int] = []
    snapshot = None
    for number in range(4):
        (work / "new").write_text(f"{number}")
        if number == 3:
            git(work, "read-tree", "HEAD")
        trace.unlink()
        snapshot = snap(worktree, snapshot)
        counts.append(looked_into(trace))
    known = len(git(work, "ls-files").splitlines())
    assert counts == [known, 0, 0, known]


def test_a_snapshot_does_not_trust_what_it_learned_of_another_index(tmp_path: Path) -> None:
    """Speed: what the agent's git took in and out is followed, and a damaged file is no harm."""
    work, worktree = with_base(tmp_path / "task", "0")
    all_racy(work)
    (work / "a.ignored").write_text("ignored")
    first = snap(worktree)
    learned = work / ".git/rover-fresh"
    assert learned.exists()
    git(work, "add", "-f", "a.ignored")
    second = snap(worktree, first)
    git(work, "rm", "-q", "--cached", "a.ignored")
    os.utime(work / ".git/index", (LONG_AGO, LONG_AGO))
    assert snap(worktree, second).tree == first.tree
    index = (work / ".git/index").read_bytes()
    learned.write_bytes(BROKEN)
    (work / "a").write_text("other")
    third = snap(worktree, second)
    changed = git(work, "diff-tree", "-r", "--name-status", first.tree, third.tree)
    assert changed.split() == ["M", "a"]
    assert git(work, "diff-tree", "-r", "--name-only", first.tree, second.tree) == "a.ignored"
    assert (work / ".git/index").read_bytes() == index


def replaced_by_an_ignored_link(work: Path) -> None:
    shutil.rmtree(work / "dir")
    (work / "other").mkdir()
    (work / "other/one").write_text("dir/one\n" * 20)
    (work / "dir").symlink_to("other")
    (work / ".gitignore").write_text("dir\n")


def folder_and_file_swapped(work: Path) -> None:
    shutil.rmtree(work / "dir")
    (work / "dir").write_text("a file")
    (work / "file").unlink()
    (work / "file").mkdir()
    (work / "file/inner").write_text("inner")


def names_that_git_quotes(work: Path) -> None:
    for name in ('quo"ted', "tab\there", "line\nfeed", "back\\slash", " spaces ", "ünï"):
        (work / name).write_text(name)
        (work / "dir" / name).write_text(name)
    (work / "a").rename(work / 'a"')


def in_the_index_only(work: Path) -> None:
    (work / "planned").write_text("later")
    git(work, "add", "-N", "planned")
    git(work, "rm", "-q", "--cached", "b")
    (work / "a.ignored").write_text("forced")
    git(work, "add", "-f", "a.ignored")
    (work / "a.ignored").write_text("forced again")


def in_conflict(work: Path) -> None:
    git(work, "checkout", "-qb", "other")
    (work / "both").write_text("theirs")
    git(work, "commit", "-qam", "theirs")
    git(work, "checkout", "-q", "-")
    (work / "both").write_text("ours")
    git(work, "commit", "-qam", "ours")
    with pytest.raises(Exception, match="merge"):
        git(work, "merge", "-q", "other")


def with_settings_of_its_own(work: Path) -> None:
    for setting in ("status.showStash", "status.branch", "core.untrackedCache"):
        git(work, "config", setting, "true")
    for setting in ("status.renames", "status.relativePaths", "core.quotePath"):
        git(work, "config", setting, "false")
    git(work, "config", "status.showUntrackedFiles", "no")
    (work / "a").write_text("stashed")
    git(work, "stash", "-q")
    git(work, "status", "-unormal")
    (work / "dir/new").write_text("new")
    git(work, "update-index", "--assume-unchanged", "b")
    (work / "b").write_text("hidden")
    (work / "mode").chmod(0o755)


def without_its_commit(work: Path) -> None:
    (work / ".git/refs/heads/rover/7-mend").write_text("0123456789" * 4 + "\n")
    (work / "a").write_text("other")
    (work / "dir/new").write_text("new")


def with_a_broken_index(work: Path) -> None:
    (work / ".git/index").write_bytes(BROKEN)
    (work / "a").write_text("other")
    (work / "gone").unlink()


EDITS = (
    replaced_by_an_ignored_link,
    folder_and_file_swapped,
    names_that_git_quotes,
    in_the_index_only,
    in_conflict,
    with_settings_of_its_own,
)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_a_snapshot_is_what_git_add_makes(tmp_path: Path, edit: object) -> None:
    """Speed: without git add the tree is the same."""
    work, worktree = with_base(tmp_path / "task", "0")
    assert callable(edit)
    edit(work)
    taken = snap(worktree)
    git(work, "-c", "core.untrackedCache=false", "add", "-A")
    assert git(work, "diff-index", "--cached", "--name-status", taken.tree) == ""


@pytest.mark.parametrize("edit", [without_its_commit, with_a_broken_index])
def test_a_snapshot_is_taken_where_status_fails(tmp_path: Path, edit: object) -> None:
    """Speed: nothing of the work is missed."""
    work, worktree = with_base(tmp_path / "task", "0")
    first = snap(worktree)
    assert callable(edit)
    edit(work)
    taken = snap(worktree, first)
    (work / ".git/index").unlink(missing_ok=True)
    git(work, "read-tree", first.tree)
    git(work, "add", "-A")
    assert git(work, "diff-index", "--cached", "--name-status", taken.tree) == ""
