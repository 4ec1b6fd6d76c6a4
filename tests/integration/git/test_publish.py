"""Delivery touches one ref of the user's repository and nothing else (DESIGN 8, 12.3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rover_mcp.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.git.hub import Hub
from tests.integration.git.conftest import BRANCH, TASK, SandboxClone, git, tree_state


@pytest.fixture
def delivered(tmp_path: Path, repo: Path, sandbox: Callable[[], SandboxClone]):
    """A hub with one imported snapshot whose branch has one commit."""
    hub = Hub(tmp_path / "hub")
    hub.update(repo, git(repo, "rev-parse", "HEAD"))
    clone = sandbox()
    (clone.path / "a.txt").write_text("fixed\n")
    git(clone.path, "commit", "-qam", "fix")
    snapshot = clone.snapshot(1)
    hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    return hub, clone, snapshot


def test_the_branch_arrives_and_nothing_else_changes(repo: Path, delivered, tmp_path: Path) -> None:
    hub, _, snapshot = delivered
    ran = tmp_path / "ran"
    for name in ("post-checkout", "reference-transaction", "post-merge", "pre-auto-gc"):
        hook = repo / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >>{ran}\n")
        hook.chmod(0o755)
    git(repo, "config", "core.fsmonitor", f"touch {ran}")
    git(repo, "config", "fetch.prune", "true")
    (repo / "a.txt").write_text("the user's own work\n")
    (repo / "staged.txt").write_text("staged\n")
    git(repo, "-c", "core.fsmonitor=", "add", "staged.txt")
    ran.unlink(missing_ok=True)
    before = tree_state(repo)
    result = hub.publish(TASK, repo, BRANCH)
    assert (result.commit, result.previous, result.changed) == (snapshot.head, None, True)
    assert git(repo, "show", f"{BRANCH}:a.txt") == "fixed"
    assert tree_state(repo) == before
    assert not (repo / ".git/FETCH_HEAD").exists()
    assert not ran.exists()
    assert not hub.publish(TASK, repo, BRANCH).changed


def test_it_goes_forward_with_the_task(repo: Path, delivered) -> None:
    hub, clone, first = delivered
    hub.publish(TASK, repo, BRANCH)
    git(clone.path, "commit", "-qm", "more", "--allow-empty")
    second = clone.snapshot(2)
    hub.import_bundle(TASK, clone.base, clone.bundle(second), second, BRANCH)
    result = hub.publish(TASK, repo, BRANCH)
    assert (result.previous, result.commit) == (first.head, second.head)


def test_a_branch_with_other_commits_is_left_alone(repo: Path, delivered) -> None:
    hub, _, _ = delivered
    git(repo, "branch", BRANCH)
    other = git(repo, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "the user's")
    git(repo, "update-ref", f"refs/heads/{BRANCH}", other)
    with pytest.raises(Conflict, match="has other commits") as caught:
        hub.publish(TASK, repo, BRANCH)
    assert caught.value.code == "branch_diverged"
    assert git(repo, "rev-parse", BRANCH) == other


@pytest.mark.parametrize("linked", [False, True])
def test_a_branch_that_is_checked_out_is_left_alone(
    repo: Path, delivered, tmp_path: Path, linked: bool
) -> None:
    hub, _, _ = delivered
    where = tmp_path / "side" if linked else repo
    if linked:
        git(repo, "worktree", "add", "-qb", BRANCH, str(where))
    else:
        git(repo, "switch", "-qc", BRANCH)
    with pytest.raises(Conflict, match=f"is checked out in {where}"):
        hub.publish(TASK, repo, BRANCH)


def test_a_name_that_clashes_is_named(repo: Path, delivered) -> None:
    hub, _, _ = delivered
    git(repo, "branch", "rover")
    with pytest.raises(Conflict) as caught:
        hub.publish(TASK, repo, BRANCH)
    assert caught.value.code == "branch_clash"


@pytest.mark.known_escape(14)
def test_options_as_names_and_unknown_tasks_are_refused(repo: Path, delivered) -> None:
    hub, _, _ = delivered
    with pytest.raises(UserFixable):
        hub.publish(TASK, repo, "--force")
    with pytest.raises(EnvironmentFault, match="no snapshot"):
        hub.publish("e" * 32, repo, BRANCH)


def test_a_bare_repository_can_take_it(repo: Path, delivered, tmp_path: Path) -> None:
    hub, _, snapshot = delivered
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    hub.publish(TASK, tmp_path / "bare.git", BRANCH)
    assert git(tmp_path / "bare.git", "rev-parse", BRANCH) == snapshot.head
