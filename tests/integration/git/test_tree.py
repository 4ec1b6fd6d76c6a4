"""The files of a commit, out of a real repository."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git import commit_tree as tree_module
from rover_mcp.git.commit_tree import CommitTree
from tests.support.repos import git, make_repository

FILES = {"a b/x.txt": "one", "a b/run.sh": "#!/bin/sh\n", "ac/y": "two", "z": "", "[q]": "q"}


def commit_tree(tmp_path: Path) -> CommitTree:
    root = make_repository(tmp_path / "repo", FILES)
    (root / "a b/run.sh").chmod(0o755)
    (root / "a b/link").symlink_to("/etc/passwd")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "link")
    return CommitTree(root / ".git", git(root, "rev-parse", "HEAD"))


def test_a_folder_is_packed_with_modes_and_links_as_they_are(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        commit_tree(tmp_path).pack("a b", archive)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        found = {m.name: (m.mode, m.type, m.linkname) for m in archive}
        content = archive.extractfile("x.txt")
        assert content is not None
        assert content.read() == b"one"
    assert found["x.txt"] == (0o644, tarfile.REGTYPE, "")
    assert found["run.sh"][0] == 0o755
    assert found["link"][1:] == (tarfile.SYMTYPE, "/etc/passwd")
    assert set(found) == {"x.txt", "run.sh", "link"}


def test_a_file_is_read_and_a_link_is_not_followed(tmp_path: Path) -> None:
    tree = commit_tree(tmp_path)
    assert tree.read("a b/x.txt", 10) == b"one"
    assert tree.read("[q]", 10) == b"q"
    assert tree.read("z", 10) == b""
    for path in ("a b/link", "a b", "a b/none", "a b/x.txt/more"):
        assert tree.read(path, 10) is None, path
    assert tree.read("a b/x.txt", 2) is None


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "MAX_FILES", 2)
    with (
        tarfile.open(fileobj=io.BytesIO(), mode="w") as archive,
        pytest.raises(EnvironmentFault, match="too large") as caught,
    ):
        commit_tree(tmp_path).pack("", archive)
    assert caught.value.code == "too_large"
