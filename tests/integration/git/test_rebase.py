"""Rebasing without a work tree: the commits are those that git itself would make, and what only
looks leaves nothing behind (N2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.errors import Conflict
from rover_mcp.git.branch_merge import tip
from rover_mcp.git.rebase_branch import named_commit, writing
from rover_mcp.git.replay import Replay, Replayed, own_commits
from rover_mcp.git.repository_view import opened
from tests.integration.git.conftest import git

BRANCH = "rover/1-fix"


def commit(repo: Path, message: str, **files: str) -> str:
    for name, content in files.items():
        repo.joinpath(name).write_text(content)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", message)
    return git(repo, "rev-parse", "HEAD")


def replay(repo: Path, solved: dict[str, str] | None = None, *, keep: bool = True) -> Replayed:
    with opened(repo) as view, writing(view, keep=keep) as run:
        onto, at = tip(view, "main"), tip(view, BRANCH)
        assert onto is not None
        assert at is not None
        base = git(repo, "merge-base", "main", BRANCH)
        replay = Replay(run, lambda stop: (solved or {}).get(stop.commit))
        return replay.run(own_commits(run, at, onto, base), onto, at)


def trees(repo: Path, since: str, until: str) -> list[str]:
    return git(repo, "log", "--format=%T %an %s", f"{since}..{until}").splitlines()


def objects(repo: Path) -> set[Path]:
    return {path for path in (repo / ".git/objects").rglob("*") if path.is_file()}


@pytest.fixture
def forked(repo: Path) -> Path:
    """A branch with changes of every kind, and a main that has other commits since."""
    (repo / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    (repo / "script.sh").write_text("#!/bin/sh\n")
    commit(repo, "base", keep="moved\n" * 20, gone="gone\n")
    git(repo, "switch", "-qc", BRANCH)
    git(repo, "mv", "keep", "Grüße 'quoted' \"name\"")
    commit(repo, "a rename", new="new\n")
    (repo / "script.sh").chmod(0o755)
    (repo / "link").symlink_to("a.txt")
    (repo / "binary").write_bytes(b"\0\1\2" * 100)
    git(repo, "rm", "-q", "gone")
    commit(repo, "a mode, a link, a binary, a removal")
    (repo / "dos.txt").write_bytes(b"one\r\nTWO\r\n")
    git(repo, "-c", "user.name=Ada", "commit", "-qam", "of Ada", "--author=Ada <ada@example.org>")
    git(repo, "switch", "-q", "main")
    (repo / "keep").write_text("moved\n" * 20 + "by main\n")
    commit(repo, "main's own", main="main's\n")
    return repo


def test_the_commits_are_those_of_gits_own_rebase(forked: Path, tmp_path: Path) -> None:
    """N2."""
    result = replay(forked)
    theirs = tmp_path / "theirs"
    git(tmp_path, "clone", "-q", "-b", BRANCH, str(forked), str(theirs))
    git(theirs, "rebase", "-q", "origin/main")
    assert (result.commits, result.dropped, result.stop) == (3, 0, None)
    assert trees(forked, "main", result.tip) == trees(theirs, "origin/main", BRANCH)
    assert result.tree == git(theirs, "rev-parse", f"{BRANCH}^{{tree}}")


def test_the_same_replay_gives_the_same_commits(forked: Path) -> None:
    assert replay(forked) == replay(forked)


def test_looking_leaves_no_object_behind(forked: Path) -> None:
    """N2."""
    before = objects(forked)
    shown = replay(forked, keep=False)
    assert objects(forked) == before
    assert replay(forked) == shown


def test_commits_that_the_base_has_are_left_out(forked: Path) -> None:
    picked = git(forked, "rev-parse", f"{BRANCH}~1")
    git(forked, "cherry-pick", "-n", picked)
    git(forked, "commit", "-qm", "the same by another name")
    result = replay(forked)
    assert (result.commits, result.dropped) == (2, 1)


def test_an_empty_commit_stays(repo: Path) -> None:
    git(repo, "switch", "-qc", BRANCH)
    git(repo, "commit", "-q", "--allow-empty", "-m", "a marker")
    git(repo, "switch", "-q", "main")
    commit(repo, "main's", main="x\n")
    result = replay(repo)
    assert (result.commits, result.dropped) == (1, 0)


def test_a_branch_with_merges_becomes_one_commit(forked: Path) -> None:
    git(forked, "switch", "-qc", "side", f"{BRANCH}~1")
    commit(forked, "on the side", side="side\n")
    git(forked, "switch", "-q", BRANCH)
    git(forked, "merge", "-q", "--no-ff", "-m", "merge", "side")
    git(forked, "switch", "-q", "main")
    result = replay(forked)
    assert (result.commits, result.collapsed) == (1, True)
    assert git(forked, "rev-parse", f"{result.tip}^") == git(forked, "rev-parse", "main")
    text = git(forked, "show", "-s", "--format=%B", result.tip)
    assert "a rename" in text
    assert "on the side" in text
    assert git(forked, "show", f"{result.tip}:side") == "side"


def test_a_signature_is_left_out_and_all_else_of_a_commit_stays(forked: Path) -> None:
    raw = git(forked, "cat-file", "commit", BRANCH)
    head, _, text = raw.partition("\n\n")
    signed = f"{head}\ngpgsig -----BEGIN\n  of a line\n -----END\nencoding UTF-8\n\n{text}\n"
    new = git(forked, "hash-object", "-t", "commit", "-w", "--stdin", stdin=signed.encode())
    git(forked, "update-ref", f"refs/heads/{BRANCH}", new)
    now = git(forked, "cat-file", "commit", replay(forked).tip)
    assert "gpgsig" not in now
    assert "of a line" not in now
    assert "encoding UTF-8" in now
    assert "author Ada <ada@example.org>" in now


def test_a_conflict_is_a_value(repo: Path) -> None:
    """N2."""
    (repo / "both").write_text("a\nb\nc\n")
    commit(repo, "base", gone="1\n")
    git(repo, "switch", "-qc", BRANCH)
    first = commit(repo, "fine", own="x\n")
    stops = commit(repo, "conflicts", both="a\nTASK\nc\n", gone="2\n")
    commit(repo, "afterwards", more="y\n")
    git(repo, "switch", "-q", "main")
    git(repo, "rm", "-q", "gone")
    commit(repo, "main's", both="a\nMAIN\nc\n")
    result = replay(repo, keep=False)
    assert result.stop is not None
    assert (result.stop.commit, result.stop.parent, result.commits) == (stops, first, 1)
    assert sorted(result.stop.paths) == ["both", "gone"]
    assert {(e.path, e.stage) for e in result.stop.entries} == {
        ("both", 1), ("both", 2), ("both", 3), ("gone", 1), ("gone", 3),
    }  # fmt: skip
    assert {m.kind for m in result.stop.messages} == {
        "CONFLICT (contents)", "CONFLICT (modify/delete)",
    }  # fmt: skip


def test_a_replay_continues_over_stops_that_are_solved(repo: Path) -> None:
    """N2: twenty commits, with conflicts at several of them."""
    commit(repo, "base", both="0\n")
    git(repo, "switch", "-qc", BRANCH)
    for number in range(20):
        files = {f"own-{number}": "x\n"} | ({"both": f"{number}\n"} if number % 5 == 4 else {})
        commit(repo, f"commit {number}", **files)
    git(repo, "switch", "-q", "main")
    commit(repo, "main's", both="main\n")
    solved: dict[str, str] = {}
    while (stop := replay(repo, solved).stop) is not None:
        git(repo, "read-tree", stop.tree)
        blob = git(repo, "hash-object", "-w", "--stdin", stdin=f"both {len(solved)}\n".encode())
        git(repo, "update-index", "--cacheinfo", f"100644,{blob},both")
        solved[stop.commit] = git(repo, "write-tree")
    result = replay(repo, solved)
    assert (len(solved), result.commits) == (4, 20)
    assert git(repo, "show", f"{result.tip}:both") == "both 3"
    assert git(repo, "show", f"{result.tip}:own-19") == "x"


def test_too_many_commits_are_refused(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rover_mcp.git.replay.MOST_COMMITS", 1)
    git(repo, "switch", "-qc", BRANCH)
    commit(repo, "1", own="1\n")
    commit(repo, "2", own="2\n")
    git(repo, "switch", "-q", "main")
    with pytest.raises(Conflict, match="has 2 commits"):
        replay(repo)


def test_a_branch_of_a_remote_can_be_rebased_onto(repo: Path) -> None:
    head = git(repo, "rev-parse", "main")
    git(repo, "update-ref", "refs/remotes/origin/next", head)
    with opened(repo) as view:
        assert named_commit(view, "origin/next") == (head, False)
        assert named_commit(view, "main") == (head, True)
        assert named_commit(view, "nowhere") is None
