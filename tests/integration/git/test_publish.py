"""Delivery touches one ref of the user's repository and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent_runner.worktree.worktree import USER_EMAIL, USER_NAME
from rover_mcp.domain.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.git.hub import Hub
from rover_mcp.git.unfinished_commit import UnfinishedWork, unfinished_in
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


def test_unfinished_work_is_on_the_branch_and_makes_way_for_the_result(
    repo: Path, delivered
) -> None:
    """H4: with untracked files and a trailer; the result replaces it."""
    hub, clone, first = delivered
    (clone.path / "new.txt").write_text("not committed\n")
    second = clone.snapshot(2)
    hub.import_bundle(TASK, clone.base, clone.bundle(second), second, BRANCH)
    work = UnfinishedWork(clone.base, second, "Unfinished: a")

    shown = hub.publish(TASK, repo, BRANCH, work)
    assert git(repo, "show", f"{BRANCH}:new.txt") == "not committed"
    assert git(repo, "rev-parse", f"{BRANCH}^") == first.head
    trailer = "--format=%(trailers:key=Rover-Status,valueonly)"
    assert git(repo, "log", "-1", trailer, BRANCH).strip() == "unfinished"
    assert unfinished_in(repo, shown.commit, TASK) == 2
    assert unfinished_in(repo, shown.commit, "0" * 32) is None
    assert not hub.publish(TASK, repo, BRANCH, work).changed

    git(clone.path, "add", "new.txt")
    git(clone.path, "commit", "-qm", "done")
    third = clone.snapshot(3)
    hub.import_bundle(TASK, clone.base, clone.bundle(third), third, BRANCH)
    assert hub.publish(TASK, repo, BRANCH).commit == third.head


@pytest.mark.parametrize("own", ["commit", "amend", "other task"])
def test_commits_of_others_on_unfinished_work_are_never_replaced(
    repo: Path, delivered, own: str
) -> None:
    """H4: an amended commit has the trailers, and another committer."""
    hub, clone, first = delivered
    hub.publish(TASK, repo, BRANCH, UnfinishedWork(clone.base, first, "Unfinished: a"))
    said, tree = git(repo, "log", "-1", "--format=%B", BRANCH), f"{BRANCH}^{{tree}}"
    parent = f"{BRANCH}^" if own == "amend" else BRANCH
    if own == "other task":
        git(repo, "config", "user.name", USER_NAME)
        git(repo, "config", "user.email", USER_EMAIL)
        said = said.replace(TASK, "f" * 32)
    theirs = git(repo, "commit-tree", git(repo, "rev-parse", tree), "-p", parent, "-m", said)
    git(repo, "update-ref", f"refs/heads/{BRANCH}", theirs)
    for work in (None, UnfinishedWork(clone.base, first, "Unfinished: b")):
        with pytest.raises(Conflict, match="other commits"):
            hub.publish(TASK, repo, BRANCH, work)
    assert git(repo, "rev-parse", BRANCH) == theirs


def test_a_task_that_changed_nothing_gets_no_branch(
    tmp_path: Path, repo: Path, sandbox: Callable[[], SandboxClone]
) -> None:
    hub, clone = Hub(tmp_path / "hub"), sandbox()
    hub.update(repo, clone.base)
    snapshot = clone.snapshot(1)
    hub.import_bundle(TASK, clone.base, clone.bundle(snapshot), snapshot, BRANCH)
    work = UnfinishedWork(clone.base, snapshot, "Unfinished: a")
    assert not hub.publish(TASK, repo, BRANCH, work).changed
    assert BRANCH not in git(repo, "for-each-ref", "refs/heads")
