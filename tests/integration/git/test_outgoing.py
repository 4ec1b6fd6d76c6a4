"""What a push would send is searched for secrets: every commit that the other side lacks."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.domain.secret_search import NOTHING_KNOWN, KnownValues, SecretMatch
from rover_mcp.git import outgoing
from rover_mcp.git.outgoing import search_for_secrets
from rover_mcp.git.repository_view import opened
from tests.integration.git.conftest import git

TOKEN = "ghp" + "_" + "A1b2C3d4E5f6G7h8J9k0L1m2N3p4Q5r6S7t8"
KIND = "GitHub token"


def commit(repo: Path, message: str = "more") -> str:
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", message, "--allow-empty")
    return git(repo, "rev-parse", "HEAD")


def search(
    repo: Path, there: Sequence[str] = ("main",), known: KnownValues = NOTHING_KNOWN
) -> list[SecretMatch]:
    with opened(repo) as view:
        return search_for_secrets(view, "task", there, known)


@pytest.fixture
def work(repo: Path) -> Path:
    """A repository whose branch `task` has left main."""
    git(repo, "switch", "-qc", "task")
    return repo


def test_a_token_in_a_file_is_found_with_its_line(work: Path) -> None:
    """N12"""
    (work / "a b").mkdir()
    (work / "a b/ünï.py").write_text(f"one\ntwo\nkey = '{TOKEN}'\n")
    commit(work)
    assert search(work) == [SecretMatch(KIND, "plain", "a b/ünï.py", 3, None)]


def test_what_a_later_commit_removes_leaves_all_the_same(work: Path) -> None:
    """N12"""
    (work / "gone.txt").write_text(TOKEN)
    commit(work)
    (work / "gone.txt").unlink()
    commit(work)
    assert [match.path for match in search(work)] == ["gone.txt"]


def test_binary_content_names_and_messages_are_searched(work: Path) -> None:
    """N12"""
    (work / "image.bin").write_bytes(b"\0\1\2" + TOKEN.encode() + b"\0")
    (work / f"{TOKEN}.txt").write_text("harmless")
    last = commit(work, f"use the key\n\nit is {base64.b64encode(TOKEN.encode()).decode()}")
    assert search(work) == [
        SecretMatch(KIND, "plain", "[hidden]", None, None),
        SecretMatch(KIND, "base64", None, None, last),
        SecretMatch(KIND, "plain", "image.bin", 1, None),
    ]


def test_a_folder_whose_name_has_two_lines_is_searched_and_not_shown(work: Path) -> None:
    """N12"""
    folder = work / f"x\n{TOKEN}"
    folder.mkdir()
    (folder / "y").write_text("harmless")
    commit(work)
    assert search(work) == [SecretMatch(KIND, "plain", "[hidden]/y", None, None)]


def test_both_sides_of_a_merge_count_and_what_the_other_side_has_does_not(work: Path) -> None:
    """N12"""
    git(work, "switch", "-q", "main")
    (work / "theirs.txt").write_text(TOKEN)
    theirs = commit(work)
    git(work, "switch", "-q", "task")
    git(work, "switch", "-qc", "side")
    (work / "side.txt").write_text(TOKEN.replace("A1", "B2"))
    commit(work)
    git(work, "switch", "-q", "task")
    commit(work)
    git(work, "merge", "-q", "--no-edit", "main", "side")
    assert [match.path for match in search(work, [theirs])] == ["side.txt"]
    assert {match.path for match in search(work, [])} == {"side.txt", "theirs.txt"}


def test_what_the_file_had_before_is_nothing_new(work: Path) -> None:
    git(work, "switch", "-q", "main")
    (work / "a.txt").write_text(f"{TOKEN}\n")
    commit(work)
    git(work, "switch", "-qC", "task")
    (work / "a.txt").write_text(f"added\n{TOKEN}\n")
    commit(work)
    assert search(work) == []
    (work / "a.txt").write_text(f"added\n{TOKEN}\n{TOKEN.replace('A1', 'B2')}\n")
    commit(work)
    assert [(match.path, match.line) for match in search(work)] == [("a.txt", 3)]


def test_known_values_are_found_by_what_they_are_called(work: Path) -> None:
    """N12"""
    known = KnownValues({"a value of .env": [b"correct-horse-battery"]})
    (work / "config.ini").write_text("[db]\npassword = correct-horse-battery\n")
    commit(work)
    assert search(work, known=known) == [
        SecretMatch("a value of .env", "plain", "config.ini", 2, None)
    ]


def test_more_than_can_be_searched_is_refused(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N12"""
    (work / "large.bin").write_bytes(b"x" * 5000)
    commit(work)
    monkeypatch.setattr(outgoing, "MAX_FILE", 4999)
    with pytest.raises(UserFixable) as refused:
        search(work)
    assert refused.value.code == "too_large_to_search"
    assert "large.bin" in refused.value.message
    monkeypatch.setattr(outgoing, "MAX_FILE", 5000)
    monkeypatch.setattr(outgoing, "MAX_TOGETHER", 5001)
    with pytest.raises(UserFixable):
        search(work)


def test_many_files_are_read_in_batches(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "_BATCH", 1000)
    for number in range(40):
        (work / f"{number}.txt").write_text(f"{number}\n" * 100)
    (work / "39.txt").write_text(TOKEN)
    (work / "empty").write_text("")
    commit(work)
    assert [match.path for match in search(work)] == ["39.txt"]


def test_nothing_to_send_is_nothing_to_find(work: Path) -> None:
    assert search(work) == []


def test_what_was_only_moved_is_nothing_new(work: Path) -> None:
    git(work, "switch", "-q", "main")
    (work / "a.txt").write_text(f"{TOKEN}\n")
    commit(work)
    git(work, "switch", "-qC", "task")
    git(work, "mv", "a.txt", "b.txt")
    commit(work)
    assert search(work) == []


def test_the_commit_of_a_submodule_is_no_content_to_search(work: Path) -> None:
    entry = f"160000,{'1' * 40},module"
    git(work, "update-index", "--add", "--cacheinfo", entry)
    git(work, "commit", "-qm", "a submodule")
    assert search(work) == []


def test_commits_that_the_repository_lacks_are_left_out(work: Path) -> None:
    """N12: the other side may be ahead of what was fetched."""
    (work / "key").write_text(TOKEN)
    at = commit(work)
    assert [match.path for match in search(work, ["1" * 40, "main"])] == ["key"]
    assert search(work, [at]) == []


def test_a_branch_that_is_missing_is_an_error_and_not_clean(work: Path) -> None:
    """N12"""
    with opened(work) as view, pytest.raises(EnvironmentFault, match="is missing"):
        search_for_secrets(view, "1" * 40, ["main"], NOTHING_KNOWN)
