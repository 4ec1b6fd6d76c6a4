"""The diff counts untracked files and survives whatever an agent made (N1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.errors import NotFound, UserFixable
from rover_mcp.git.commit_diff import Diff
from rover_mcp.git.hub import Hub
from tests.integration.git.conftest import BRANCH, TASK, SandboxClone, git


@pytest.fixture
def diff_of(tmp_path: Path, repo: Path, sandbox: Callable[[], SandboxClone]):
    def run(change: Callable[[Path], None], *paths: str, **options: Any) -> Diff:
        hub = Hub(tmp_path / "hub")
        hub.update(repo, git(repo, "rev-parse", "HEAD"))
        clone = sandbox()
        change(clone.path)
        snapshot = clone.snapshot(1)
        hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
        return hub.diff(TASK, clone.base, snapshot.commit, paths or None, **options)

    return run


def test_changed_new_and_deleted_files_count(diff_of, repo: Path) -> None:
    (repo / "old.txt").write_text("x\ny\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "old")

    def change(tree: Path) -> None:
        (tree / "a.txt").write_text("two\nthree\n")
        (tree / "untracked.txt").write_text("new\n")
        (tree / "old.txt").unlink()

    diff = diff_of(change)
    assert (diff.totals.files, diff.totals.added, diff.totals.removed) == (3, 3, 3)
    assert [(f.path, f.status, f.added, f.removed) for f in diff.files] == [
        ("a.txt", "modified", 2, 1),
        ("old.txt", "deleted", 0, 2),
        ("untracked.txt", "added", 1, 0),
    ]
    assert "+three" in diff.patch
    assert not diff.truncated


def test_a_rename_is_one_file(diff_of, repo: Path) -> None:
    (repo / "long.txt").write_text("".join(f"{n}\n" for n in range(50)))
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "long")
    diff = diff_of(lambda tree: (tree / "long.txt").rename(tree / "renamed.txt"))
    assert [(f.old_path, f.path, f.status) for f in diff.files] == [
        ("long.txt", "renamed.txt", "renamed")
    ]


def test_hostile_names_stay_names(diff_of) -> None:
    names = ["-rf", "a\nb", ":(top)x", '"q"\t', "\x1b[31mred", "ünï"]

    def change(tree: Path) -> None:
        for name in names:
            (tree / name).write_text("x\n")
        (tree / os.fsdecode(b"\xff\xfe")).write_text("x\n")

    diff = diff_of(change)
    assert {f.path for f in diff.files} == {*names, "\\xff\\xfe"}
    assert "\x1b" not in diff.patch


def test_chosen_paths_are_literal(diff_of) -> None:
    def change(tree: Path) -> None:
        for name in ("*.txt", "b.txt", "--output=x"):
            (tree / name).write_text("x\n")

    diff = diff_of(change, "*.txt", "--output=x")
    assert {f.path for f in diff.files} == {"*.txt", "--output=x"}


def test_binary_and_huge_files_are_counted_not_shown(diff_of) -> None:
    def change(tree: Path) -> None:
        (tree / "bin").write_bytes(b"\0\1\2" * 100)
        (tree / "huge").write_text("x\n" * 11 * 1024**2)

    diff = diff_of(change)
    assert {f.path: f.binary for f in diff.files} == {"bin": True, "huge": True}
    assert len(diff.patch) < 1000


def test_a_long_patch_is_cut_and_said_with_whole_totals(diff_of) -> None:
    diff = diff_of(lambda tree: (tree / "a.txt").write_text("x\n" * 5000), patch_limit=1000)
    assert diff.truncated
    assert len(diff.patch) == 1000
    assert diff.totals.added == 5000


def test_attributes_and_drivers_of_an_agent_change_nothing(diff_of) -> None:
    def change(tree: Path) -> None:
        (tree / ".gitattributes").write_text("* diff=evil -text\n")
        (tree / "a.txt").write_text("two\n")

    assert "+two" in diff_of(change).patch


def test_totals_alone_can_be_asked_for(diff_of) -> None:
    diff = diff_of(lambda tree: (tree / "a.txt").write_text("two\n"), patch_limit=0)
    assert (diff.patch, diff.totals.files) == ("", 1)


def test_an_unknown_commit_is_refused(tmp_path: Path, repo: Path) -> None:
    hub = Hub(tmp_path / "hub")
    hub.update(repo, git(repo, "rev-parse", "HEAD"))
    with pytest.raises(NotFound):
        hub.diff(TASK, git(repo, "rev-parse", "HEAD"), "1" * 40)
    with pytest.raises(UserFixable):
        hub.diff(TASK, "--output=/tmp/x", "1" * 40)


def test_some_files_come_first_in_the_list_and_in_the_patch(diff_of) -> None:
    """Whatever their names are to git, and however many others there are."""
    early = {"z*[a]\\.run", "#z.run", "!z.run", "zz/ü.run", "z\nz.run"}

    def change(tree: Path) -> None:
        (tree / "zz").mkdir()
        for name in early:
            (tree / name).write_text("run\n")
        for n in range(2100):
            (tree / f"a{n}").write_text("other\n")

    diff = diff_of(change, first=lambda f: f.path.endswith(".run"))
    assert {f.path for f in diff.files[:5]} == early
    assert (len(diff.files), diff.totals.files, diff.truncated) == (2000, 2105, True)
    # git's list of what comes first has a name a line, so the one with two lines is not in it.
    assert diff.patch[: diff.patch.index("+other")].count("+run") == 4
