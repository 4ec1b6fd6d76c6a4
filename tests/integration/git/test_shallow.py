"""A shallow clone as the base of tasks: all that it has, and no network for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.clone_refs import write_names
from rover_mcp.git.hub import Hub
from rover_mcp.git.missing_objects import absent
from rover_mcp.git.repository import inspect_repository
from rover_mcp.git.repository_view import opened
from tests.integration.git.conftest import BRANCH, OTHER_TASK, TASK, SandboxClone, git


def _shallow(repo: Path, tmp_path: Path, depth: int) -> Path:
    for number in range(4):
        (repo / "a.txt").write_text(f"{number}\n")
        git(repo, "commit", "-qam", f"commit {number}")
    git(tmp_path, "clone", "-q", f"--depth={depth}", f"file://{repo}", "shallow")
    return tmp_path / "shallow"


def _sandbox(hub: Hub, user: Path, base: str, folder: Path) -> SandboxClone:
    """A clone as the runner makes it from what a task is lent."""
    hub.lend(user, base, folder / "objects")
    write_names(user, base, "main", folder / "names")
    clone = folder / "clone"
    git(folder, "init", "-q", str(clone))
    (clone / ".git/objects/info/alternates").write_text(f"{folder}/objects\n")
    if (folder / "names/shallow").exists():
        (clone / ".git/shallow").write_bytes((folder / "names/shallow").read_bytes())
    (clone / ".git/info").mkdir(exist_ok=True)
    (clone / ".git/info/exclude").write_text("*.bundle\n")
    git(clone, "read-tree", "-u", "--reset", base)
    git(clone, "update-ref", f"refs/heads/{BRANCH}", base)
    git(clone, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
    return SandboxClone(clone, base, base)


def _deliver(hub: Hub, user: Path, sandbox: SandboxClone, task: str = TASK) -> str:
    (sandbox.path / "new.txt").write_text("new\n")
    git(sandbox.path, "add", "-A")
    git(sandbox.path, "commit", "-qm", "work")
    snapshot = sandbox.snapshot(1)
    hub.import_bundle(task, sandbox.base, sandbox.bundle(snapshot), snapshot, BRANCH)
    return hub.publish(task, user, f"{BRANCH}-{task[0]}").commit


def test_work_on_a_shallow_clone_is_delivered_to_it(repo: Path, tmp_path: Path) -> None:
    """N2: also where the base is the very commit at which the history ends."""
    for depth in (1, 2):
        place = tmp_path / str(depth)
        place.mkdir()
        user = _shallow(repo, place, depth)
        base = git(user, "rev-parse", "HEAD")
        cut_off = (user / ".git/shallow").read_text()
        hub = Hub(place / "hub")
        sandbox = _sandbox(hub, user, base, place)
        assert git(sandbox.path, "rev-list", "--count", "HEAD") == str(depth)
        git(sandbox.path, "fsck", "--strict")
        tip = _deliver(hub, user, sandbox)
        assert git(user, "show", f"{tip}:new.txt") == "new"
        assert git(user, "rev-parse", f"{tip}~1") == base
        assert (user / ".git/shallow").read_text() == cut_off
        git(user, "fsck", "--strict")
        assert hub.is_whole(TASK, base)
        snapshot = hub.snapshots(TASK)[1]
        assert [f.path for f in hub.diff(TASK, base, snapshot).files] == ["new.txt"]


def test_a_clone_that_has_got_its_history_meanwhile_goes_on(repo: Path, tmp_path: Path) -> None:
    """A base from before and one from after live in one hub."""
    user = _shallow(repo, tmp_path, 2)
    base, hub = git(user, "rev-parse", "HEAD"), Hub(tmp_path / "hub")
    sandbox = _sandbox(hub, user, base, tmp_path)
    git(user, "fetch", "-q", "--unshallow")
    tip = _deliver(hub, user, sandbox)
    assert git(user, "rev-list", "--count", tip) == "6"
    git(user, "commit", "-q", "--allow-empty", "-m", "later")
    later = git(user, "rev-parse", "HEAD")
    place = tmp_path / "later"
    place.mkdir()
    again = _sandbox(hub, user, later, place)
    assert git(again.path, "rev-list", "--count", "HEAD") == "6"
    _deliver(hub, user, again, OTHER_TASK)
    git(user, "fsck", "--strict")


def _partial(repo: Path, tmp_path: Path, what: str) -> Path:
    """A clone with a program in its configuration that would fetch what is missing."""
    (repo / "folder").mkdir()
    for number in range(3):
        (repo / "a.txt").write_text(f"{number}\n")
        (repo / "folder/b.txt").write_text(f"b {number}\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", f"commit {number}")
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", f"--filter={what}", f"file://{repo}", "partial")
    user = tmp_path / "partial"
    git(user, "config", "remote.origin.url", f"ext::touch {tmp_path}/fetched")
    git(user, "config", "protocol.ext.allow", "always")
    return user


@pytest.mark.parametrize("what", ["blob:none", "tree:0"])
def test_work_on_a_partial_clone_is_delivered_to_it(repo: Path, tmp_path: Path, what: str) -> None:
    """V2: from what is here; nothing is fetched."""
    user = _partial(repo, tmp_path, what)
    base = inspect_repository(user).head_commit
    with opened(user) as view:
        assert [line[:31] for line in absent(view, base)] == ["the repository is a partial clo"]
    hub = Hub(tmp_path / "hub")
    sandbox = _sandbox(hub, user, base, tmp_path)
    assert (sandbox.path / "folder/b.txt").read_text() == "b 2\n"
    tip = _deliver(hub, user, sandbox)
    assert git(user, "show", f"{tip}:new.txt") == "new"
    assert git(user, "diff", "--name-only", base, tip) == "new.txt"
    (tmp_path / "again").mkdir()
    again = _deliver(hub, user, _sandbox(hub, user, base, tmp_path / "again"), OTHER_TASK)
    assert git(user, "rev-parse", f"{again}~1") == base
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("what", ["blob:none", "tree:0"])
def test_a_base_that_is_not_all_here_is_refused(repo: Path, tmp_path: Path, what: str) -> None:
    """V4: when the task is created, with what to do; nothing is fetched."""
    user = _partial(repo, tmp_path, what)
    with opened(user) as view, pytest.raises(UserFixable) as refused:
        absent(view, git(user, "rev-parse", "HEAD~1"))
    assert refused.value.code == "partial_clone"
    assert "archive" in str(refused.value.hint)
    assert not (tmp_path / "fetched").exists()
