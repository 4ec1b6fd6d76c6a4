"""Objects and folders that are made to break what reads them: no sandbox is needed for these."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git import git_process
from rover_mcp.git.hub import Hub
from rover_mcp.sandbox.attempt_folder import remove_tree
from tests.integration.git.conftest import BRANCH, TASK, SandboxClone, git
from tests.support.repos import make_repository

MEGABYTE = 1024**2


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    made = Hub(tmp_path / "hub")
    repo = make_repository(tmp_path / "repo")
    made.update(repo, git(repo, "rev-parse", "HEAD"))
    return made


@pytest.fixture
def clone(hub: Hub, tmp_path: Path) -> SandboxClone:
    path = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(tmp_path / "repo"), str(path))
    git(path, "switch", "-qc", BRANCH)
    base = git(path, "rev-parse", "HEAD")
    return SandboxClone(path, base, base)


def tree(clone: SandboxClone, *entries: tuple[str, str, str]) -> str:
    """A tree, whatever its names: (mode, name, id)."""
    raw = b"".join(f"{m} {n}\0".encode() + bytes.fromhex(i) for m, n, i in entries)
    (clone.path / ".raw").write_bytes(raw)
    made = git(clone.path, "hash-object", "--literally", "-t", "tree", "-w", ".raw")
    (clone.path / ".raw").unlink()
    return made


NAMES = (".GIT", ".git", "git~1", ".git ", ".git.", ".g\u200cit", "..", ".", "a/b",
         ".git::$INDEX_ALLOCATION", ".git\\config")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_with_a_name_that_leads_elsewhere_is_refused(
    hub: Hub, clone: SandboxClone, name: str
) -> None:
    blob = git(clone.path, "rev-parse", "HEAD:calc.py")
    snapshot = clone.snapshot_of(tree(clone, ("100644", name, blob)), 1)
    with pytest.raises(EnvironmentFault) as caught:
        hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    assert caught.value.code == "bundle_refused"
    assert "object" in caught.value.message
    assert hub.snapshots(TASK) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "--upload-pack=touch x"),
        ("url", "-u./x"),
        ("url", "https://h\\n/x%0ahost=evil"),
        ("path", "-x"),
        ("update", "!touch x"),
    ],
)
def test_a_submodule_that_runs_something_is_refused(
    hub: Hub, clone: SandboxClone, key: str, value: str
) -> None:
    text = f'[submodule "s"]\n\tpath = s\n\turl = ./s\n\t{key} = "{value}"\n'
    (clone.path / ".raw").write_text(text)
    blob = git(clone.path, "hash-object", "-w", ".raw")
    snapshot = clone.snapshot_of(tree(clone, ("100644", ".gitmodules", blob)), 1)
    with pytest.raises(EnvironmentFault) as caught:
        hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    assert caught.value.code == "bundle_refused"


def test_a_tree_of_ten_thousand_million_files_costs_the_host_little(
    hub: Hub, clone: SandboxClone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven objects; listed, they would fill any memory and any disk."""
    at = ("100644", git(clone.path, "rev-parse", "HEAD:calc.py"))
    for _ in range(10):
        at = ("40000", tree(clone, *((at[0], f"d{n}", at[1]) for n in range(10))))
    snapshot = clone.snapshot_of(at[1], 1)
    hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    monkeypatch.setattr(
        git_process.run_git, "__kwdefaults__",
        {**git_process.run_git.__kwdefaults__, "memory_limit": 100 * MEGABYTE},
    )  # fmt: skip
    base = git(clone.path, "rev-parse", "HEAD")
    # Of all children so far: those of earlier tests may have been larger.
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    with pytest.raises(EnvironmentFault, match=r"(?i)memory"):
        hub.diff(TASK, base, snapshot.commit)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert used <= max(before, 400 * MEGABYTE)


def test_folders_nested_deeper_than_a_path_is_long_are_removed(tmp_path: Path) -> None:
    """Python's own rmtree gives up at a thousand; a task's folders could never be removed."""
    place = os.open(tmp_path, os.O_RDONLY)
    top = os.open(tmp_path, os.O_RDONLY)
    for name in ["top", *["d" * 100] * 1200]:
        os.mkdir(name, dir_fd=place)
        deeper = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)
    (tmp_path / "outside").mkdir(mode=0o500)
    os.symlink(tmp_path / "outside", "top/link", dir_fd=top)
    os.mkdir("top/closed", mode=0, dir_fd=top)
    os.close(top)
    remove_tree(tmp_path / "top")
    assert not (tmp_path / "top").exists()
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o500
    remove_tree(tmp_path / "top")
