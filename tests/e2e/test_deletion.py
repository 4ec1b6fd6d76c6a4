"""delete_task answers when nothing of a task can be seen; its files go later, also after a crash."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import kill, wait_until
from tests.support.frames import Frame, LauncherClient, ToolError
from tests.support.repos import git
from tests.support.scripts import script
from tests.support.timers import its_trash_days_pass

EDIT: Frame = {"edits": [{"path": "new.txt", "content": "new\n"}]}
CONFIG = "sweep_interval: 1\nidle_exit: 60\ntrash_days: 0\n"


def test_a_tree_that_cannot_be_removed_yet_delays_no_answer(home: Path, repository: Path) -> None:
    """V1. A mounted file system stands for a tree that takes long."""
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    trash = home / "trash"
    with LauncherClient(home, repository) as client:
        client.open()
        new = {"description": "Work", "workflow": "quick", "agent": "scripted",
               "engine": "bubblewrap", "script": script(implement=[EDIT])}  # fmt: skip
        task = client.tool("create_task", **new)["task"]["id"]
        client.wait_until(task, "COMPLETED")
        mounted = home / "tasks" / task / "work" / "mounted"
        mounted.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=True)
        try:
            (mounted / "large").write_bytes(b"x" * 2**20)
            assert client.tool("delete_task", task=task, confirm=True)["deleted"] is True
            assert client.tool("list_tasks")["tasks"] == []
            assert not (home / "tasks" / task).exists()
            [entry] = trash.iterdir()
            kill(daemon_pid(home))
        finally:
            left = [entry / "work/mounted" for entry in trash.iterdir()] if trash.exists() else []
            subprocess.run(["umount", "-l", *map(str, left or [mounted])], check=True)
    with LauncherClient(home, repository) as client:
        client.open()
        wait_until(lambda: not entry.exists(), "the next daemon removes it")


def test_what_is_in_the_trash_goes_for_good_after_its_days(home: Path, repository: Path) -> None:
    """N13."""
    home.mkdir()
    (home / "config.yaml").write_text("sweep_interval: 1\nidle_exit: 60\n")
    with LauncherClient(home, repository) as client:
        client.open()
        new = {"description": "Work", "workflow": "quick", "agent": "scripted",
               "engine": "bubblewrap", "script": script(implement=[EDIT])}  # fmt: skip
        task = client.tool("create_task", **new)["task"]
        client.wait_until(task["id"], "COMPLETED")
        client.tool("delete_task", task=task["id"], confirm=True)
        (hub,) = (home / "projects").glob("*/hub.git")
        assert (home / "tasks" / task["id"]).exists()
        assert task["id"] in git(hub, "for-each-ref")
        its_trash_days_pass(home, task["id"])
        wait_until(lambda: not (home / "tasks" / task["id"]).exists(), "it is gone")
        wait_until(lambda: task["id"] not in git(hub, "for-each-ref"), "its snapshots, too")
        assert git(repository, "show", f"{task['branch']}:new.txt") == "new"


def finished(client: LauncherClient) -> Frame:
    new = {"description": "Work", "workflow": "quick", "agent": "scripted",
           "engine": "bubblewrap", "script": script(implement=[EDIT])}  # fmt: skip
    return client.wait_until(client.tool("create_task", **new)["task"]["id"], "COMPLETED")


def refusal(client: LauncherClient, task: Frame) -> Frame:
    with pytest.raises(ToolError) as refused:
        client.tool("delete_task", task=task["id"], branch=True, confirm=True)
    return dict(refused.value.error)


def branches(repository: Path) -> str:
    return git(repository, "for-each-ref", "--format=%(refname) %(objectname)")


def test_a_branch_is_deleted_with_its_task_and_comes_back(
    client: LauncherClient, repository: Path
) -> None:
    """N13. The plan names it first, and says that no other branch has the work."""
    task, before = finished(client), branches(repository)
    plan = client.tool("delete_task", task=task["id"], branch=True)
    lost = {item["what"]: item["detail"] for item in plan["items"] if not item["kept"]}
    assert lost["branch"] == (
        f"{task['branch']} in your repository; no other branch has all of its work"
    )
    again = plan["next_actions"][0]["arguments"]
    assert (again["confirm"], again["branch"]) == (True, True)
    assert branches(repository) == before

    client.tool("delete_task", task=task["id"], branch=True, confirm=True)
    assert task["branch"] not in git(repository, "branch", "--all")
    git(repository, "gc", "-q", "--prune=now")
    client.tool("delete_task", task=task["id"], restore=True)
    assert branches(repository) == before
    assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 1


def test_a_branch_with_somebodys_commit_is_not_deleted(
    client: LauncherClient, repository: Path, tmp_path: Path
) -> None:
    """N13. Nor is one that a work tree has checked out; the task stays, too."""
    task, look = finished(client), tmp_path / "look"
    git(repository, "worktree", "add", "-q", str(look), task["branch"])
    error = refusal(client, task)
    assert error["code"] == "branch_checked_out"
    (look / "mine.txt").write_text("mine\n")
    git(look, "add", "-A")
    git(look, "commit", "-qm", "mine")
    git(repository, "worktree", "remove", str(look))
    before = branches(repository)
    error = refusal(client, task)
    assert error["code"] == "branch_holds_more"
    assert "1 commit that the task did not make" in error["message"]
    assert branches(repository) == before
    assert client.tool("inspect", task=task["id"])["task"]["status"] == "COMPLETED"
    client.tool("merge_task", task=task["id"], confirm=True, accept=[])
    client.tool("delete_task", task=task["id"], branch=True, confirm=True)
    assert task["branch"] not in git(repository, "branch", "--all")


def test_a_branch_goes_once_it_is_merged_and_the_task_stays(
    client: LauncherClient, repository: Path, tmp_path: Path
) -> None:
    """N3, N13. Its commit is kept, so that the named command gives the branch back."""
    task, look = finished(client), tmp_path / "look"
    tip = git(repository, "rev-parse", task["branch"])
    merge = {"task": task["id"], "mode": "squash", "delete_branch": True}
    git(repository, "worktree", "add", "-q", str(look), task["branch"])
    before = branches(repository)
    with pytest.raises(ToolError) as refused:
        client.tool("merge_task", **merge)
    assert refused.value.error["code"] == "branch_checked_out"
    git(repository, "worktree", "remove", str(look))
    shown = client.tool("merge_task", **merge)
    assert shown["next_actions"][0]["arguments"]["delete_branch"] is True
    assert branches(repository) == before
    done = client.tool("merge_task", **merge, confirm=True)
    assert task["branch"] not in git(repository, "branch", "--all")
    after = branches(repository)
    assert "has all of" in client.tool("merge_task", **merge)["message"]
    assert client.tool("merge_task", **merge, confirm=True)["merged"] is True
    assert branches(repository) == after, "a branch that was deleted is not made again"
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "-q", "--prune=now")
    command = done["message"].split("`")[1]
    subprocess.run(shlex.split(command), check=True)
    assert git(repository, "rev-parse", task["branch"]) == tip
    assert client.tool("inspect", task=task["id"])["task"]["status"] == "MERGED"
