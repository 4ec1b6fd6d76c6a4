"""What a task's clone will not have is known when the task is created (C10)."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.git.missing_objects import absent
from rover_mcp.git.repository_view import opened
from tests.integration.git.conftest import git

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{:064d}\nsize 3000\n"


def _told(repo: Path) -> list[str]:
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "more")
    with opened(repo) as view:
        return absent(view, git(repo, "rev-parse", "HEAD"))


def test_nothing_is_said_of_plain_files(repo: Path) -> None:
    (repo / "talks-about.txt").write_text(POINTER.format(1))
    (repo / ".gitattributes").write_text("*.txt text\n")
    assert _told(repo) == []


def test_submodules_are_named(repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    for path in ("lib/core", "bell\x07"):
        git(repo, "update-index", "--add", "--cacheinfo", f"160000,{head},{path}")
    git(repo, "commit", "-qm", "links")
    with opened(repo) as view:
        told = absent(view, git(repo, "rev-parse", "HEAD"))
    assert [line.partition(". ")[0] for line in told] == [
        "submodules are empty in the sandbox: bell?, lib/core (it is not checked out)"
    ]


def test_pointers_of_git_lfs_are_named(repo: Path) -> None:
    (repo / "assets").mkdir()
    (repo / "assets/.gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    for number in range(7):
        (repo / f"assets/{number}.bin").write_text(POINTER.format(number))
    (repo / "assets/same.bin").write_text(POINTER.format(1))
    (repo / "assets/raw.bin").write_bytes(b"\n" * 200)
    assert _told(repo) == [
        "git-lfs: these files are pointers in the sandbox, without their content: "
        "assets/0.bin, assets/1.bin, assets/2.bin, assets/3.bin, assets/4.bin and 3 more"
    ]
