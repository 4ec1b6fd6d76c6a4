"""The names of a task's clone (C10): all that the base reaches is named, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.git.clone_refs import write_names
from tests.integration.git.conftest import git


def _commit(repo: Path, text: str) -> str:
    (repo / "a.txt").write_text(text)
    git(repo, "commit", "-qam", text)
    return git(repo, "rev-parse", "HEAD")


def _clone(repo: Path, names: Path, tmp_path: Path) -> Path:
    """A repository with the objects of `repo` and the names, as the runner makes one."""
    clone = tmp_path / "clone"
    git(tmp_path, "init", "-q", str(clone))
    (clone / ".git/objects/info/alternates").write_text(f"{repo}/.git/objects\n")
    (clone / ".git/packed-refs").write_bytes((names / "packed-refs").read_bytes())
    if (names / "tags.pack").exists():
        git(clone, "unpack-objects", "-q", stdin=(names / "tags.pack").read_bytes())
    return clone


def test_tags_and_the_base_branch_have_their_names(repo: Path, tmp_path: Path) -> None:
    git(repo, "tag", "-a", "v1.0", "-m", "one")
    git(repo, "tag", "-a", "of-a-tag", "-m", "two", "v1.0^{tag}")
    base = _commit(repo, "two\n")
    git(repo, "tag", "light")
    write_names(repo, base, "main", tmp_path / "names")
    clone = _clone(repo, tmp_path / "names", tmp_path)
    assert git(clone, "for-each-ref", "--format=%(refname) %(*objectname)%(objectname)").split(
        "\n"
    ) == [
        f"refs/heads/main {base}",
        f"refs/tags/light {base}",
        f"refs/tags/v1.0 {git(repo, 'rev-parse', 'v1.0^{commit}')}{git(repo, 'rev-parse', 'v1.0')}",
    ]
    assert git(clone, "describe", base) == f"v1.0-1-g{base[:7]}"
    git(clone, "fsck", "--strict")


def test_no_name_leads_beyond_the_base(repo: Path, tmp_path: Path) -> None:
    """U5: of a branch or tag that the base does not reach only where it left the base's history."""
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "update-ref", "refs/remotes/origin/main", first)
    git(repo, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    git(repo, "switch", "-qc", "feature")
    base = _commit(repo, "feature\n")
    git(repo, "switch", "-q", "main")
    later = _commit(repo, "secret\n")
    git(repo, "tag", "-a", "secret", "-m", "secret")
    git(repo, "branch", "other")
    write_names(repo, base, "feature", tmp_path / "names")
    text = (tmp_path / "names/packed-refs").read_text()
    assert [line.split()[::-1] for line in text.splitlines()[1:]] == [
        ["refs/heads/feature", base],
        ["refs/heads/main", first],
        ["refs/remotes/origin/main", first],
    ]
    assert later not in text
    assert (tmp_path / "names/origin").read_text() == "\nmain\n"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:secret@example.org/a.git?token=secret", "https://example.org/a.git"),
        ("https://token@example.org/a.git", "https://example.org/a.git"),
        ("ssh://git:secret@example.org:22/a.git", "ssh://git@example.org:22/a.git"),
        ("git@example.org:a/b.git", "git@example.org:a/b.git"),
        ("../a.git", "../a.git"),
        ("ext::sh -c x", ""),
        ("ext::sh", ""),
        ("--upload-pack=x", ""),
        ("a\x1b]0;b", ""),
    ],
)
def test_origin_is_named_without_a_password(
    repo: Path, tmp_path: Path, address: str, shown: str
) -> None:
    """U3, U5"""
    git(repo, "config", "remote.origin.url", address)
    write_names(repo, git(repo, "rev-parse", "HEAD"), None, tmp_path / "names")
    assert (tmp_path / "names/origin").read_text() == f"{shown}\n\n"


def test_how_lines_end_is_handed_over(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C10: the repository's setting counts before the user's own, and nothing else comes along."""
    own = tmp_path / "own-config"
    own.write_text("[core]\n\tautocrlf = input\n\teol = lf\n\tfsmonitor = /bin/evil\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    git(repo, "config", "core.eol", "crlf")
    write_names(repo, git(repo, "rev-parse", "HEAD"), "main", tmp_path / "names")
    assert (tmp_path / "names/settings").read_text() == "core.autocrlf input\ncore.eol crlf\n"


def test_attributes_that_no_commit_holds_are_handed_over(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V2: those of the repository and the user's own, which count less."""
    names, commit = tmp_path / "names", git(repo, "rev-parse", "HEAD")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config/git").mkdir(parents=True)
    (tmp_path / "config/git/attributes").write_text("*.a text\n")
    (repo / ".git/info/attributes").write_text("*.b -text\n")
    write_names(repo, commit, None, names)
    assert (names / "own-attributes").read_text() == "*.a text\n"
    assert (names / "attributes").read_text() == "*.b -text\n"


def test_filters_that_the_user_has_set_up_are_named(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V3: by the repository or by the user; nothing of what they run."""
    own = tmp_path / "own-config"
    own.write_text(
        '[filter "mine"]\n\tsmudge = touch x\n[filter "strip"]\n\tclean = x\n\tsmudge = cat\n'
        '[filter "lfs"]\n\tprocess = git-lfs\n[filter "a b"]\n\tsmudge = x\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    git(repo, "config", "filter.theirs.process", "touch y")
    write_names(repo, git(repo, "rev-parse", "HEAD"), "main", tmp_path / "names")
    assert (tmp_path / "names/filters").read_text() == "mine\ntheirs\n"
