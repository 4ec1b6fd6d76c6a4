"""Files that git converts when it adds them: what nobody touched is in no diff (C10)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.worktree.script_runner import NAMES
from agent_runner.worktree.worktree import Target, Worktree
from tests.support.runs import GIT, git
from tests.support.trees import BRANCH, do, make, snap

ATTRIBUTES = """\
*.txt text
*.bat text eol=crlf
*.id ident
*.wide text working-tree-encoding=UTF-16LE
"""
ODD = 'näme "quoted"\twith tab.txt'
COMMITTED = {
    ".gitattributes": ATTRIBUTES.encode(),
    "crlf.txt": b"one\r\ntwo\r\n",
    "mixed.txt": b"one\r\ntwo\n",
    ODD: b"one\r\n",
    "folder/deep.txt": b"one\r\n",
    "whole.bat": b"one\r\n",
    "mixed.bat": b"one\r\ntwo\n",
    "expanded.id": b"$Id: of another version control $\n",
    "plain.txt": b"one\n",
    "plain.wide": b"one\n",
}
"""Blobs as a commit holds them: most are not as git would record them."""


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, Worktree, str]:
    """A clone, and its base commit."""
    place, _ = make(tmp_path)
    base = tmp_path / "task/base"
    for path, data in COMMITTED.items():
        argv = ["git", "hash-object", "-w", "--no-filters", "--stdin"]
        made = subprocess.run(argv, cwd=base, env=GIT, input=data, capture_output=True, check=True)
        blob = made.stdout.decode().strip()
        git(base, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    git(base, "commit", "-qm", "as they came")
    commit = git(base, "rev-parse", "HEAD")
    spec = place.spec(base_commit=commit)
    worktree = Worktree(spec, make_commands(spec))
    do(worktree.prepare)
    return place.work, worktree, commit


def changed(work: Path, base: str, tree: str) -> list[str]:
    found = git(work, "diff-tree", "-r", "-z", "--no-renames", "--name-only", base, tree)
    return [name for name in found.split("\0") if name]


def test_the_agents_git_sees_no_change_in_a_new_clone(tree: tuple[Path, Worktree, str]) -> None:
    work, _, base = tree
    assert git(work, "status", "--porcelain") == ""
    (work / "new").write_text("n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "mine")
    assert changed(work, base, "HEAD") == ["new"]


def test_what_was_rewritten_with_the_same_bytes_is_not_recorded(
    tree: tuple[Path, Worktree, str],
) -> None:
    work, worktree, base = tree
    for path in COMMITTED:
        data = (work / path).read_bytes()
        (work / path).unlink()
        (work / path).write_bytes(data)
    (work / "folder/deep.txt").chmod(0o755)
    (work / "new").write_text("n")
    assert git(work, "status", "--porcelain") != "?? new"
    first = snap(worktree)
    assert changed(work, base, first.tree) == ["folder/deep.txt", "new"]
    mode, _, blob = git(work, "ls-tree", first.tree, "folder/deep.txt").split()[:3]
    assert (mode, blob) == ("100755", git(work, "rev-parse", f"{base}:folder/deep.txt"))
    assert snap(worktree, first) == first
    do(lambda: worktree.finish("done"))
    assert changed(work, base, BRANCH) == ["folder/deep.txt", "new"]
    (work / ".git/index").unlink()
    assert changed(work, base, snap(worktree, first).tree) == ["folder/deep.txt", "new"]


def test_what_was_rewritten_keeps_its_content_without_the_attributes(
    tree: tuple[Path, Worktree, str],
) -> None:
    """V2: by the attributes that are left, git would record the bytes of the check-out."""
    work, worktree, base = tree
    for path in COMMITTED:
        data = (work / path).read_bytes()
        (work / path).unlink()
        (work / path).write_bytes(data)
    (work / "plain.wide").chmod(0o755)
    (work / ".gitattributes").rename(work / ".GITATTRIBUTES")
    taken = snap(worktree)
    assert changed(work, base, taken.tree) == [".GITATTRIBUTES", ".gitattributes", "plain.wide"]
    assert git(work, "show", f"{taken.tree}:plain.wide") == "one"


def test_a_tree_that_was_restored_has_no_change_either(tree: tuple[Path, Worktree, str]) -> None:
    work, worktree, base = tree
    first = snap(worktree)
    for path in COMMITTED:
        (work / path).write_text("other\n")
    do(lambda: worktree.reset(Target.of(first), keep_as="1"))
    assert git(work, "status", "--porcelain") == ""
    assert changed(work, base, snap(worktree, first).tree) == []


def test_an_edited_file_is_recorded_as_git_does(tree: tuple[Path, Worktree, str]) -> None:
    work, worktree, base = tree
    (work / "crlf.txt").write_bytes(b"one\r\nthree\r\n")
    (work / "plain.txt").write_bytes(b"one\r\n")
    (work / "expanded.id").write_bytes(b"$Id$ edited\n")
    taken = snap(worktree)
    assert changed(work, base, taken.tree) == ["crlf.txt", "expanded.id"]
    assert git(work, "show", f"{taken.tree}:crlf.txt") == "one\nthree"


def test_a_conversion_that_the_agent_asked_for_stays(tree: tuple[Path, Worktree, str]) -> None:
    work, worktree, base = tree
    git(work, "add", "--renormalize", "crlf.txt")
    assert changed(work, base, snap(worktree).tree) == ["crlf.txt"]
    git(work, "commit", "-qm", "endings")
    do(lambda: worktree.finish("done"))
    assert changed(work, base, BRANCH) == ["crlf.txt"]


def test_lines_end_as_in_the_users_checkout(tmp_path: Path) -> None:
    place, worktree = make(tmp_path)
    names = place.spec().paths.restore.with_name(NAMES)
    names.mkdir()
    for name, text in {
        "origin": "\n\n",
        "packed-refs": "",
        "settings": "core.autocrlf true\n",
    }.items():
        (names / name).write_text(text)
    do(worktree.prepare)
    assert (place.work / "README").read_bytes() == b"base\r\n"
    (place.work / "new").write_bytes(b"n\r\n")
    taken = snap(worktree)
    assert changed(place.work, place.base_commit, taken.tree) == ["new"]
    assert git(place.work, "cat-file", "-s", f"{taken.tree}:new") == "2"


def test_a_file_that_cannot_be_converted_is_named_and_alone_left_out(
    tree: tuple[Path, Worktree, str],
) -> None:
    """V1, V3: git ends at such a file, before it has added those that come after it."""
    work, worktree, base = tree
    names = ["plain.wide", "new.wide", 'odd "näme"\n.wide']
    for name in names:
        (work / name).write_bytes(b"odd")
    (work / "good.wide").write_bytes("one\n".encode("utf-16-le"))
    (work / "zzz").write_text("z")
    git(work, "config", "core.safecrlf", "true")
    (work / "whole.bat").write_bytes(b"one\ntwo\r\n")
    taken, lacking = do(lambda: worktree.snapshot(None))
    assert changed(work, base, taken.tree) == ["good.wide", "whole.bat", "zzz"]
    assert [name.strip('"') for name in lacking] == [
        r"odd \"näme\"\n.wide", "new.wide", "plain.wide"
    ]  # fmt: skip
    do(lambda: worktree.finish("done"))
    assert changed(work, base, BRANCH) == ["good.wide", "whole.bat", "zzz"]


def test_attributes_that_git_passes_over_are_recorded_as_they_are(
    tree: tuple[Path, Worktree, str],
) -> None:
    """V3: lines of 2,048 bytes and more count for nothing, also in what the agent committed."""
    work, worktree, base = tree
    odd = work / 'odd "näme"'
    odd.mkdir()
    for folder in (work, odd):
        with (folder / ".gitattributes").open("a") as file:
            file.write("x" * 2048 + " text\n")
    git(work, "add", "-A")
    git(work, "commit", "-qm", "long")
    (work / "folder/.GitAttributes").write_text("x" * 3000)
    (work / "folder/.gitattributes").write_text("x" * 2042 + " text\n")
    taken, lacking = do(lambda: worktree.snapshot(None))
    wanted = [".gitattributes", "folder/.GitAttributes", "folder/.gitattributes"]
    assert changed(work, base, taken.tree) == [*wanted, 'odd "näme"/.gitattributes']
    assert lacking == []


@pytest.mark.parametrize("kind", ["deleted", "link", "other"])
def test_what_git_is_late_to_look_into_keeps_the_former_attributes(
    tmp_path: Path, kind: str
) -> None:
    """V2: it looks again into files of the second in which it wrote its index."""
    place, _ = make(tmp_path)
    base = tmp_path / "task/base"
    (base / "folder").mkdir()
    (base / "folder/.gitattributes").write_text("*.txt text eol=crlf\n")
    (base / "folder/a.txt").write_text("one\ntwo\n")
    git(base, "add", "-A")
    git(base, "commit", "-qm", "lines")
    commit = git(base, "rev-parse", "HEAD")
    worktree = Worktree(spec := place.spec(base_commit=commit), make_commands(spec))
    do(worktree.prepare)
    work, file = place.work, place.work / "folder/a.txt"
    assert file.read_bytes() == b"one\r\ntwo\r\n"
    os.utime(work / ".git/index", ns=(file.stat().st_mtime_ns, file.stat().st_mtime_ns))
    attributes = work / "folder/.gitattributes"
    attributes.unlink()
    if kind == "link":
        attributes.symlink_to("nowhere")
    elif kind == "other":
        attributes.write_text("*.txt -text\n")
    first = snap(worktree)
    do(lambda: worktree.finish("done"))
    last = snap(worktree, first)
    for found in (first.tree, BRANCH, last.tree):
        assert changed(work, commit, found) == ["folder/.gitattributes"]
