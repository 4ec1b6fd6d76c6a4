"""The attributes of changed files are read from the .gitattributes files above them alone."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.git.branch_merge import ChangedPath
from rover_mcp.git.repository_view import opened
from rover_mcp.git.work_tree import filtered_paths
from tests.integration.git.conftest import git


def write(repo: Path, path: str, text: str = "text\n") -> None:
    (repo / path).parent.mkdir(parents=True, exist_ok=True)
    (repo / path).write_text(text)


def filtered(repo: Path, *paths: str) -> list[str]:
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "more")
    changed = [ChangedPath(path, added=True, deleted=False) for path in paths]
    with opened(repo) as view:
        return filtered_paths(view, changed, "HEAD")


def test_each_folder_above_a_file_counts_and_no_other(repo: Path) -> None:
    write(repo, ".gitattributes", "*.psd filter=lfs\n")
    write(repo, "a/b/.gitattributes", "*.psd -filter\n*.raw filter=lfs\n")
    write(repo, "c/.gitattributes", "*.txt filter=lfs\n")
    paths = ["x.psd", "a/x.psd", "a/b/x.psd", "a/b/c/x.raw", "a/x.raw", "a/x.txt", "c/d/x.txt"]
    assert filtered(repo, *paths) == ["x.psd", "a/x.psd", "a/b/c/x.raw", "c/d/x.txt"]


def test_folders_with_odd_names_count(repo: Path) -> None:
    for folder in ("a\nb", "ünï cödé", '"quoted"', "star*"):
        write(repo, f"{folder}/.gitattributes", "*.raw filter=lfs\n")
    paths = ["a\nb/x.raw", "ünï cödé/x.raw", '"quoted"/x.raw', "star*/x.raw", "starless/x.raw"]
    assert filtered(repo, *paths) == paths[:4]
