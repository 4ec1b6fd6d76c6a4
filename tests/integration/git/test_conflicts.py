"""Conflicts as data: what each file is, each place with both sides and their base, and the commits
of either side (N2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rover_mcp.domain.conflicted_file import ConflictedFile, ConflictRegion
from rover_mcp.domain.resolution import judge
from rover_mcp.git.branch_merge import tip
from rover_mcp.git.conflicts import MARKER_SIZE, conflicted_files, pieces_of
from rover_mcp.git.rebase_branch import writing
from rover_mcp.git.replay import Replay, own_commits
from rover_mcp.git.repository_view import opened
from tests.integration.git.conftest import git
from tests.integration.git.test_rebase import BRANCH, commit

Edit = Callable[[Path], object]


def conflicts(repo: Path) -> dict[str, ConflictedFile]:
    with opened(repo) as view, writing(view, keep=False) as run:
        onto, at = tip(view, "main"), tip(view, BRANCH)
        assert onto is not None
        assert at is not None
        base = git(repo, "merge-base", "main", BRANCH)
        replayed = Replay(run).together(own_commits(run, at, onto, base), onto, at)
        assert replayed.stop is not None
        return {file.path: file for file in conflicted_files(run, replayed.stop, onto, at)}


def forked(repo: Path, base: Edit, task: Edit, main: Edit) -> Path:
    base(repo)
    commit(repo, "base", unrelated="x\n")
    git(repo, "switch", "-qc", BRANCH)
    task(repo)
    commit(repo, "the task's change")
    git(repo, "switch", "-q", "main")
    main(repo)
    commit(repo, "main's change")
    return repo


def writes(name: str, content: str | bytes) -> Edit:
    data = content.encode() if isinstance(content, str) else content
    return lambda repo: (repo / name).write_bytes(data)


def links(name: str, target: str) -> Edit:
    def edit(repo: Path) -> None:
        (repo / name).unlink(missing_ok=True)
        (repo / name).symlink_to(target)

    return edit


def removes(name: str) -> Edit:
    return lambda repo: (repo / name).unlink()


def moves(name: str, other: str) -> Edit:
    return lambda repo: (repo / name).rename(repo / other)


LONG = "".join(f"line {number}\n" for number in range(1, 41))


def test_every_place_has_both_sides_their_base_and_their_commits(repo: Path) -> None:
    """N2."""
    task = LONG.replace("line 5\n", "task 5\n").replace("line 30\n", "task 30\ntask 30b\n")
    main = LONG.replace("line 5\n", "main 5\n").replace("line 30\n", "").replace("line 1\n", "")
    repo = forked(repo, writes("f", LONG), writes("f", task), writes("f", main))
    (file,) = conflicts(repo).values()
    assert (file.path, file.kind) == ("f", "contents")
    first, second = file.regions
    assert (first.line, first.onto, first.base, first.branch) == (
        4, "main 5\n", "line 5\n", "task 5\n",
    )  # fmt: skip
    assert (second.line, second.onto, second.branch) == (29, "", "task 30\ntask 30b\n")
    assert [one.subject for one in file.onto_commits] == ["main's change"]
    assert [one.subject for one in file.branch_commits] == ["the task's change"]


@pytest.mark.parametrize(
    ("base", "task", "main", "kind"),
    [
        (writes("a", "x"), writes("f", "1\n"), writes("f", "2\n"), "added twice"),
        (writes("f", "0\n"), writes("f", "1\n"), removes("f"), "modify/delete"),
        (writes("f", "0\n"), removes("f"), writes("f", "1\n"), "modify/delete"),
        (writes("f", LONG), moves("f", "g"), moves("f", "h"), "rename"),
        (writes("f", b"\0a"), writes("f", b"\0b"), writes("f", b"\0c"), "binary"),
        (links("f", "a"), links("f", "b"), links("f", "c"), "link"),
        (writes("uv.lock", "0\n"), writes("uv.lock", "1\n"), writes("uv.lock", "2\n"), "lock file"),
    ],
)
def test_what_is_no_matter_of_text_is_named_with_what_to_do(
    repo: Path, base: Edit, task: Edit, main: Edit, kind: str
) -> None:
    """N2."""
    files = conflicts(forked(repo, base, task, main))
    kinds = {file.kind for file in files.values()}
    assert kinds == {kind}
    assert all(file.advice for file in files.values()) is (kind != "added twice")


def test_a_submodule_is_named(repo: Path) -> None:
    def at(commit_id: str) -> Edit:
        entry = f"160000,{commit_id * 40},module"
        return lambda path: git(path, "update-index", "--add", "--cacheinfo", entry)

    def committed(path: Path, edit: Edit) -> None:
        edit(path)
        git(path, "commit", "-qm", "module")

    committed(repo, at("1"))
    git(repo, "switch", "-qc", BRANCH)
    committed(repo, at("2"))
    git(repo, "switch", "-q", "main")
    committed(repo, at("3"))
    assert conflicts(repo)["module"].kind == "submodule"


def test_markers_in_the_file_itself_are_text() -> None:
    ours = "<<<<<<< not ours\n=======\n>>>>>>> neither\n"
    begin, bar, middle, end = (c * MARKER_SIZE for c in "<|=>")
    merged = f"a\n{begin} x\n{ours}{bar} y\nb\n{middle}\nc\n{end} z\nd\n"
    before, region, after = pieces_of(merged)
    assert (before, after) == ("a\n", "d\n")
    assert isinstance(region, ConflictRegion)
    assert (region.line, region.onto, region.base, region.branch) == (2, ours, "b\n", "c\n")


def test_what_git_marks_is_what_an_answer_is_judged_by(repo: Path) -> None:
    """N2: a merge of git's own, with both sides kept, with markers, and with one side alone."""
    task = LONG.replace("line 5\n", "task 5\n").replace("line 30\n", "line 30\ntask 30\n")
    main = LONG.replace("line 5\n", "main 5\n").replace("line 30\n", "line 30\nmain 30\n")
    for name, content in (("base", LONG), ("task", task), ("main", main)):
        (repo / name).write_text(content)
    argv = ("merge-file", "-p", "--diff3", f"--marker-size={MARKER_SIZE}", "main", "base", "task")
    merged = git(repo, *argv, ok=False) + "\n"
    pieces = list(pieces_of(merged))
    good = main.replace("main 5\n", "main 5\ntask 5\n").replace("main 30\n", "main 30\ntask 30\n")
    assert judge("f", pieces, good).counts
    assert not judge("f", pieces, merged).counts
    assert not judge("f", pieces, main).counts
    assert not judge("f", pieces, task).counts


def test_commits_that_conflict_one_by_one_may_not_do_so_together(repo: Path) -> None:
    """N2: what one commit changed and the next took back is in nobody's way."""
    commit(repo, "base", f=LONG)
    git(repo, "switch", "-qc", BRANCH)
    commit(repo, "there", f=LONG.replace("line 5\n", "task 5\n"))
    commit(repo, "and back", f=LONG, own="x\n")
    git(repo, "switch", "-q", "main")
    commit(repo, "main's", f=LONG.replace("line 5\n", "main 5\n"))
    with opened(repo) as view, writing(view, keep=False) as run:
        onto, at = tip(view, "main") or "", tip(view, BRANCH) or ""
        commits = own_commits(run, at, onto, git(repo, "merge-base", "main", BRANCH))
        assert Replay(run).run(commits, onto, at).stop is not None
        replayed = Replay(run).together(commits, onto, at)
    assert (replayed.stop, replayed.commits, replayed.collapsed) == (None, 1, True)
