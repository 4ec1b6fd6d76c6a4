"""Objects of git-lfs that the user has are lent to a task, and pointers stay pointers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.worktree.worktree import Worktree
from rover_mcp.git.hub import Hub
from rover_mcp.git.lfs import place_of
from rover_mcp.git.missing_objects import absent
from rover_mcp.git.repository_view import opened
from tests.integration.git.conftest import git
from tests.support.runs import RunFolders
from tests.support.trees import do

CONTENTS = {"a.bin": b"a" * 3000, "b.bin": b"b" * 3000, "c.bin": b"c" * 3000, "d.bin": b"d" * 3000}


def _pointer(content: bytes) -> tuple[str, str]:
    oid = hashlib.sha256(content).hexdigest()
    version = "version https://git-lfs.github.com/spec/v1"
    return oid, f"{version}\noid sha256:{oid}\nsize {len(content)}\n"


@pytest.fixture
def media(repo: Path, tmp_path: Path) -> Path:
    """Of four objects the user has the first whole; the second is damaged, the third a link."""
    (repo / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    objects = repo / ".git/lfs/objects"
    for name, content in CONTENTS.items():
        oid, pointer = _pointer(content)
        (repo / name).write_text(pointer)
        place = place_of(objects, oid)
        place.parent.mkdir(parents=True)
        if name == "a.bin":
            place.write_bytes(content)
        elif name == "b.bin":
            place.write_bytes(b"B" * 3000)
        elif name == "c.bin":
            (tmp_path / "secret").write_bytes(content)
            place.symlink_to(tmp_path / "secret")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "media")
    return repo


def test_objects_are_lent_if_they_are_what_their_names_say(media: Path, tmp_path: Path) -> None:
    """V2, U4: copies, which nobody can change for others; links are not followed."""
    base, hub = git(media, "rev-parse", "HEAD"), Hub(tmp_path / "hub")
    hub.lend(media, base, tmp_path / "objects")
    assert hub.lend_lfs(media, base, tmp_path / "objects") == ["b.bin"]
    lent = [path for path in (tmp_path / "objects/lfs").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in lent] == [CONTENTS["a.bin"]]
    assert lent[0].stat().st_mode & 0o777 == 0o444
    assert not lent[0].samefile(place_of(media / ".git/lfs/objects", lent[0].name))
    with opened(media) as view:
        here, missing = absent(view, base)
    assert here.endswith("if its image has git-lfs: a.bin, b.bin")
    assert missing.endswith("without their content: c.bin, d.bin")


def test_a_folder_of_objects_that_is_a_link_is_not_followed(media: Path, tmp_path: Path) -> None:
    """U4"""
    (media / ".git/lfs").rename(tmp_path / "lfs")
    (media / ".git/lfs").symlink_to(tmp_path / "lfs")
    base, hub = git(media, "rev-parse", "HEAD"), Hub(tmp_path / "hub")
    hub.lend(media, base, tmp_path / "objects")
    assert hub.lend_lfs(media, base, tmp_path / "objects") == ["a.bin", "b.bin"]
    assert not (tmp_path / "objects/lfs").exists()


def test_content_that_nobody_changed_leaves_as_its_pointer(media: Path, tmp_path: Path) -> None:
    """V2, V3: as git lfs checkout puts it into the work tree; what was changed is named."""
    base, hub, place = git(media, "rev-parse", "HEAD"), Hub(tmp_path / "hub"), RunFolders(
        tmp_path / "task", "", attempt=1
    )  # fmt: skip
    objects = tmp_path / "objects"
    hub.lend(media, base, objects)
    hub.lend_lfs(media, base, objects)
    spec = place.spec(base_commit=base)
    paths = spec.paths.model_copy(update={"base_objects": objects})
    worktree = Worktree(spec.model_copy(update={"paths": paths}), make_commands(spec))
    do(worktree.prepare)
    oid, _ = _pointer(CONTENTS["a.bin"])
    content = place_of(place.work / ".git/lfs/objects", oid).read_bytes()
    (place.work / "a.bin").write_bytes(content)
    (place.work / "d.bin").write_bytes(b"new" * 1000)
    taken, _ = do(lambda: worktree.snapshot(None))
    assert git(place.work, "diff-tree", "-r", "--name-only", base, taken.tree) == "d.bin"
    assert worktree.noted("raw-lfs") == ["d.bin (3000 bytes)"]
