"""Checking out a task's branch: a work tree as git's own, or a switch as git's own, and whatever is
refused changes nothing at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_runner.crashpoints import VARIABLE
from rover_mcp.daemon.host_checkouts import HostCheckouts
from rover_mcp.domain.errors import Conflict, RoverError, UserFixable
from rover_mcp.domain.operation import OperationPoint
from rover_mcp.domain.task_status import Event
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.checkout import CheckoutDone, CheckoutRequest, CheckoutTask
from rover_mcp.tasks.operation_log import OperationLog
from tests.integration.git.conftest import git
from tests.integration.git.test_merge import everything, files
from tests.integration.git.test_push import BRANCH, ROOT, PushScenario, reopened, stage
from tests.support.samples import TASK

__all__ = ["stage"]

HERE = CheckoutRequest(here=True)


def checkout(
    stage: PushScenario, request: CheckoutRequest, cwd: Path | None = None
) -> CheckoutDone:
    log = OperationLog(stage.store.operations("roverd"))
    use_case = CheckoutTask(stage.store, HostCheckouts(stage.repositories, stage.home), log)
    return use_case(Caller("client", cwd or stage.repo), stage.task, request)


def preview(stage: PushScenario, request: CheckoutRequest) -> CheckoutDone:
    log = OperationLog(stage.store.operations("roverd"))
    use_case = CheckoutTask(stage.store, HostCheckouts(stage.repositories, stage.home), log)
    return use_case.preview(Caller("client", stage.repo), stage.task, request)


def beside(after: dict[str, bytes], before: dict[str, bytes]) -> set[str]:
    """What is there that was not, or is not what it was."""
    return {name for name in {*after, *before} if after.get(name) != before.get(name)}


def test_a_new_work_tree_is_as_gits_own_and_the_users_stays_as_it_was(
    stage: PushScenario, tmp_path: Path
) -> None:
    """N8: every byte of the checkout, the index, the configuration, references and stash."""
    (stage.repo / "a.txt").write_text("work in progress\n")
    (stage.repo / "notes").write_text("not tracked\n")
    before = everything(stage.repo)
    folder = tmp_path / "look"
    assert not preview(stage, CheckoutRequest(into=folder)).done
    assert everything(stage.repo) == before
    assert not folder.exists()
    done = checkout(stage, CheckoutRequest(into=folder))
    changed = beside(everything(stage.repo), before)
    assert {name.split("/")[1] for name in changed} == {"worktrees"}
    assert not any(name.startswith(".git/rover") for name in everything(stage.repo))
    assert git(folder, "status", "--porcelain", "-b") == f"## {BRANCH}"
    assert git(folder, "rev-parse", "HEAD") == stage.tip()
    assert (folder / "a.txt").read_text() == "one\ntwo\n"
    assert git(folder, "reflog", "--format=%H") == stage.tip()
    assert git(stage.repo, "worktree", "list", "--porcelain").count("prunable") == 0
    assert git(stage.repo, "fsck", "--strict") == ""
    git(tmp_path, *done.text.rpartition("To go back: git ")[2].split())
    assert everything(stage.repo) == before
    assert not folder.exists()


def test_without_a_folder_it_is_beside_the_repository(stage: PushScenario) -> None:
    done = checkout(stage, CheckoutRequest())
    assert done.plan.folder == f"{stage.repo}-1"
    again = checkout(stage, CheckoutRequest())
    assert (again.plan.folder, again.plan.already) == (f"{stage.repo}-1", True)


def test_a_task_without_a_branch_in_the_repository_gets_it_again(
    stage: PushScenario, tmp_path: Path
) -> None:
    tip = stage.tip()
    git(stage.repo, "branch", "-qD", BRANCH)
    checkout(stage, CheckoutRequest(into=tmp_path / "look"))
    assert git(tmp_path / "look", "rev-parse", "HEAD") == tip


def test_two_work_trees_of_the_same_name_do_not_meet(stage: PushScenario, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    git(stage.repo, "worktree", "add", "-q", str(tmp_path / "one/look"), "-b", "other")
    checkout(stage, CheckoutRequest(into=tmp_path / "look"))
    assert git(tmp_path / "one/look", "branch", "--show-current") == "other"
    assert git(tmp_path / "look", "branch", "--show-current") == BRANCH


def test_here_is_as_gits_own_switch(stage: PushScenario, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    git(tmp_path, "clone", "-q", str(stage.repo), str(theirs))
    git(theirs, "switch", "-q", BRANCH)
    before = everything(stage.repo)
    (stage.repo / "notes").write_text("not tracked\n")
    done = checkout(stage, HERE)
    assert git(stage.repo, "status", "--porcelain", "-b").splitlines() == [
        f"## {BRANCH}", "?? notes",
    ]  # fmt: skip
    (stage.repo / "notes").unlink()
    assert files(stage.repo) == files(theirs)
    after = everything(stage.repo)
    assert beside(after, before) == {"a.txt", ".git/HEAD", ".git/index", ".git/logs/HEAD"}
    git(tmp_path, *done.text.rpartition("To go back: git ")[2].split())
    assert git(stage.repo, "branch", "--show-current") == "main"
    assert files(stage.repo) == {n: b for n, b in before.items() if not n.startswith(".git/")}


def test_a_linked_work_tree_can_be_the_one_that_is_switched(
    stage: PushScenario, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(stage.repo, "worktree", "add", "-q", str(linked), "-b", "other")
    before = files(stage.repo)
    checkout(stage, HERE, linked)
    assert git(linked, "branch", "--show-current") == BRANCH
    assert git(linked, "status", "--porcelain") == ""
    assert (files(stage.repo), git(stage.repo, "branch", "--show-current")) == (before, "main")


def dirty(repo: Path) -> None:
    (repo / "a.txt").write_text("work in progress\n")


def staged(repo: Path) -> None:
    (repo / "new.txt").write_text("staged\n")
    git(repo, "add", "new.txt")


def unsaved(repo: Path) -> None:
    git(repo, "switch", "-q", "--detach")
    git(repo, "commit", "-q", "--allow-empty", "-m", "on no branch")


def rebasing(repo: Path) -> None:
    git(repo, "switch", "-qc", "topic")
    (repo / "a.txt").write_text("topic's\n")
    git(repo, "commit", "-qam", "topic")
    git(repo, "rebase", "-q", BRANCH, ok=False)


def merging(repo: Path) -> None:
    (repo / "a.txt").write_text("main's\n")
    git(repo, "commit", "-qam", "main goes on")
    git(repo, "merge", "-q", BRANCH, ok=False)


def in_the_way(repo: Path) -> None:
    git(repo, "switch", "-q", BRANCH)
    (repo / "added.txt").write_text("the task's\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "a file")
    git(repo, "switch", "-q", "main")
    (repo / "added.txt").write_text("mine, and not tracked\n")


def elsewhere(repo: Path) -> None:
    git(repo, "worktree", "add", "-q", str(repo.with_name("elsewhere")), BRANCH)


def filtered(repo: Path) -> None:
    git(repo, "switch", "-q", BRANCH)
    (repo / ".gitattributes").write_text("*.bin filter=lfs\n")
    (repo / "x.bin").write_text("pointer\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "a filter")
    git(repo, "switch", "-q", "main")


@pytest.mark.parametrize(
    ("arrange", "code"),
    [(dirty, "dirty_work_tree"), (staged, "dirty_work_tree"), (unsaved, "unsaved_commits"),
     (rebasing, "work_tree_busy"), (merging, "work_tree_busy"), (elsewhere, "branch_in_use"),
     (in_the_way, "untracked_in_the_way"), (filtered, "filtered_files")],
)  # fmt: skip
def test_a_switch_that_would_lose_something_is_refused(
    stage: PushScenario, arrange: object, code: str
) -> None:
    arrange(stage.repo)  # type: ignore[operator]
    before = everything(stage.repo)
    with pytest.raises(RoverError) as refused:
        checkout(stage, HERE)
    assert refused.value.code == code
    assert refused.value.hint
    assert everything(stage.repo) == before


@pytest.mark.parametrize(
    ("folder", "code"),
    [("repo/inside", "inside_repository"), ("repo/.git/x", "inside_repository"),
     ("data/x", "inside_data_folder"), ("full", "folder_in_use"), ("full/file", "folder_in_use"),
     ("gone/x", "not_a_directory"), ("repo", "inside_repository")],
)  # fmt: skip
def test_a_folder_that_is_not_free_is_refused(
    stage: PushScenario, tmp_path: Path, folder: str, code: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine\n")
    before = everything(tmp_path)
    with pytest.raises(UserFixable) as refused:
        checkout(stage, CheckoutRequest(into=tmp_path / folder))
    assert refused.value.code == code
    assert set(everything(tmp_path)) == set(before)


def test_a_work_tree_that_was_removed_by_hand_is_named(stage: PushScenario, tmp_path: Path) -> None:
    git(stage.repo, "worktree", "add", "-q", str(tmp_path / "look"), BRANCH)
    (tmp_path / "look").rename(tmp_path / "moved")
    with pytest.raises(UserFixable, match="missing") as refused:
        checkout(stage, CheckoutRequest(into=tmp_path / "look"))
    assert "git worktree prune" in (refused.value.hint or "")


def test_hand_off_files_have_to_be_named(stage: PushScenario, tmp_path: Path) -> None:
    """N11: also where the branch is checked out already."""
    stage.commit(".vscode/tasks.json", "{}\n")
    folder = tmp_path / "look"
    assert ".vscode/tasks.json (run by VS Code)" in preview(stage, CheckoutRequest(folder)).text
    with pytest.raises(UserFixable) as refused:
        checkout(stage, CheckoutRequest(into=folder))
    assert refused.value.code == "hand_off_files"
    assert not folder.exists()
    checkout(stage, CheckoutRequest(into=folder, accept=[".vscode/"]))
    with pytest.raises(UserFixable):
        checkout(stage, CheckoutRequest(into=folder))


def test_no_hook_and_no_program_of_the_repository_runs(stage: PushScenario, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    program.chmod(0o755)
    git(stage.repo, "config", "core.fsmonitor", str(program))
    (stage.repo / ".git/hooks").mkdir(exist_ok=True)
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (stage.repo / ".git/hooks" / hook).symlink_to(program)
    checkout(stage, CheckoutRequest(into=tmp_path / "look"))
    git(stage.repo, "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "worktree",
        "remove", str(tmp_path / "look"))  # fmt: skip
    (tmp_path / "ran").unlink(missing_ok=True)
    checkout(stage, HERE)
    assert not (tmp_path / "ran").exists()


def test_a_task_that_may_still_change_its_branch_is_refused(stage: PushScenario) -> None:
    stage.store.transitions.apply(TASK, Event.ITERATE)
    with pytest.raises(Conflict, match="ITERATING"):
        checkout(stage, CheckoutRequest())


CHECKOUT = """
import sys
from pathlib import Path
from rover_mcp.tasks.checkout import CheckoutRequest
from tests.integration.git.test_checkout import checkout
from tests.integration.git.test_push import reopened
into = Path(sys.argv[3]) if sys.argv[3] else None
stage = reopened(Path(sys.argv[1]), Path(sys.argv[2]))
checkout(stage, CheckoutRequest(into=into, here=into is None))
"""
P = OperationPoint


def killed(stage: PushScenario, point: P, into: str) -> None:
    argv = [sys.executable, "-c", CHECKOUT, str(stage.repo), str(stage.home), into]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, VARIABLE: str(point)}, check=False)
    assert done.returncode == -signal.SIGKILL, f"{point} is never reached"


def settle(stage: PushScenario) -> str:
    """What became of the operation that was cut off."""
    after = reopened(stage.repo, stage.home)
    log = OperationLog(after.store.operations("roverd"))
    CheckoutTask(after.store, HostCheckouts(after.repositories, after.home), log)
    log.settle()
    return log.rows.of_task(TASK)[-1].state


@pytest.mark.parametrize(
    ("point", "state"),
    [(P.RECORDED, "undone"), (P.FILES_CHANGED, "undone"), (P.REFERENCE_MOVED, "done"),
     (P.CARRIED_OUT, "done")],
)  # fmt: skip
def test_a_new_work_tree_that_is_cut_off_is_there_or_not(
    stage: PushScenario, tmp_path: Path, point: P, state: str
) -> None:
    """N8: and a second call finishes it."""
    before, folder = everything(stage.repo), tmp_path / "look"
    killed(stage, point, str(folder))
    assert settle(stage) == state
    assert folder.exists() is (state == "done")
    if state == "undone":
        assert everything(stage.repo) == before
    checkout(stage, CheckoutRequest(into=folder))
    assert git(folder, "status", "--porcelain", "-b") == f"## {BRANCH}"
    assert not [*tmp_path.glob(".rover-*"), *(stage.repo / ".git").glob("rover-*")]


@pytest.mark.parametrize(
    ("point", "state"),
    [(P.RECORDED, "undone"), (P.LOCK_TAKEN, "undone"), (P.FILES_CHANGED, "undone"),
     (P.REFERENCE_MOVED, "done"), (P.CARRIED_OUT, "done")],
)  # fmt: skip
def test_a_switch_that_is_cut_off_is_done_or_as_before(
    stage: PushScenario, point: P, state: str
) -> None:
    """N8: and a second call finishes it."""
    before = everything(stage.repo)
    killed(stage, point, "")
    assert settle(stage) == state
    if state == "undone":
        assert everything(stage.repo) == before
    checkout(stage, HERE)
    assert git(stage.repo, "status", "--porcelain", "-b") == f"## {BRANCH}"
    assert not list((stage.repo / ".git").glob("rover-*"))
    assert not list((stage.repo / ".git").glob("*.lock"))
    assert git(stage.repo, "reflog", "-1", "--format=%gs") == (
        f"checkout: moving from main to {BRANCH}"
    )
