"""The daemon dies at each named place of an operation in the user's repository; the next one
finishes or undoes it, and a second call completes it. Real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent_runner.crashpoints import VARIABLE
from rover_mcp.domain.operation import DeletionPoint, OperationPoint
from tests.e2e.conftest import daemon_pid, docker_host, end_daemon, engine_for_daemons
from tests.e2e.processes import is_alive, wait_until
from tests.support.frames import DaemonRestarted, Frame, LauncherClient, ToolError
from tests.support.git_server import bare, git_server
from tests.support.hangs import HANG_SECONDS
from tests.support.preloaded_daemons import exit_status, start_preloaded
from tests.support.repos import git, make_repository
from tests.support.scripts import CREDITS, script

__all__ = ["docker_host", "engine_for_daemons"]

P = OperationPoint
WITHIN = HANG_SECONDS
DONE_THEN = (P.REFERENCE_MOVED, P.CARRIED_OUT, P.STATUS_CHANGED)
"""Where the merge has happened when the daemon dies."""


def state(repo: Path) -> dict[str, bytes]:
    """Every byte of the repository and its work tree, but for objects."""
    return {
        str(path.relative_to(repo)): path.read_bytes()
        for path in sorted(repo.rglob("*"))
        if path.is_file() and "objects" not in path.relative_to(repo).parts[:2]
    }


@contextmanager
def daemon(folder: Path, crash: str | None, settings: str = "") -> Generator[Path]:
    """A data folder with a daemon that dies at `crash`: the launcher's next one does not."""
    home = folder / "data"
    home.mkdir()
    (home / "config.yaml").write_text(settings)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC", "CLAUDE"))}
    env |= {"ROVER_HOME": str(home), **({VARIABLE: crash} if crash else {})}
    first = start_preloaded(home, env)
    assert first is not None
    try:
        yield home
        wait_until(lambda: not is_alive(first), f"{crash} is reached")
        assert exit_status(first) == -signal.SIGKILL
    finally:
        end_daemon(home)


def patient(client: LauncherClient, tool: str, **arguments: object) -> Frame:
    end = time.monotonic() + WITHIN
    while True:
        try:
            return client.tool(tool, **arguments)
        except DaemonRestarted:
            assert time.monotonic() < end, f"{tool} is never answered"


def task_of(client: LauncherClient) -> Frame:
    edits = [
        {"path": "new/file.txt", "content": "new\n"},
        {"path": "calc.py", "content": "x = 1\n"},
    ]
    task = client.tool(
        "create_task", description="Change it", workflow="quick", agent="scripted",
        engine="bubblewrap", script=script(implement=[{"edits": edits}]),
    )["task"]  # fmt: skip
    return client.wait_until(task["id"], "COMPLETED")


@pytest.mark.parametrize("point", list(P))
def test_a_merge_during_which_the_daemon_died_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: P
) -> None:
    """N8."""
    repo = make_repository(tmp_path / "repo")
    git(repo, "config", "user.name", "Ursula")
    git(repo, "config", "user.email", "u@example.org")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)["id"]
        before = state(repo)
        with pytest.raises(DaemonRestarted):
            client.tool("merge_task", task=task, confirm=True)
        # A call for the task settles what was cut off.
        shown = patient(client, "merge_task", task=task)
        if point in DONE_THEN:
            assert shown["status"] == "MERGED"
        else:
            assert shown["status"] == "COMPLETED"
            assert state(repo) == before
        done = patient(client, "merge_task", task=task, confirm=True)
        assert (done["merged"], done["status"]) == (True, "MERGED")
        assert git(repo, "rev-parse", "main") == done["commit"]
        assert git(repo, "rev-list", "--count", "--first-parent", "main") == "2"
        assert git(repo, "status", "--porcelain") == ""
        assert (repo / "new/file.txt").read_text() == "new\n"
        assert not list((repo / ".git").glob("*rover*")) + list((repo / ".git").glob("*.lock"))
        patient(client, "merge_task", task=task, confirm=True)
        assert git(repo, "rev-parse", "main") == done["commit"]


@pytest.mark.parametrize("point", [P.RECORDED, P.REFERENCE_MOVED, P.CARRIED_OUT, P.STATUS_CHANGED])
def test_a_merged_branch_goes_with_the_merge_or_stays_without_it(
    tmp_path: Path, engine_for_daemons: None, point: P
) -> None:
    """N8, N13: the daemon dies; what it began is finished with all that was asked for."""
    repo = make_repository(tmp_path / "repo")
    git(repo, "config", "user.name", "Ursula")
    git(repo, "config", "user.email", "u@example.org")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)
        merge = {"task": task["id"], "delete_branch": True}
        before, tip = state(repo), git(repo, "rev-parse", task["branch"])
        with pytest.raises(DaemonRestarted):
            client.tool("merge_task", **merge, confirm=True)
        # A call for the task settles what was cut off.
        shown = patient(client, "merge_task", **merge)
        if point in DONE_THEN:
            assert shown["status"] == "MERGED"
            assert task["branch"] not in git(repo, "branch", "--all")
        else:
            assert shown["status"] == "COMPLETED"
            assert state(repo) == before
        done = patient(client, "merge_task", **merge, confirm=True)
        assert (done["merged"], done["status"]) == (True, "MERGED")
        assert git(repo, "rev-parse", "main") == done["commit"]
        assert git(repo, "rev-list", "--count", "--first-parent", "main") == "2"
        assert task["branch"] not in git(repo, "branch", "--all")
        git(repo, "branch", task["branch"], tip)


@pytest.mark.parametrize("point", [P.RECORDED, P.REFERENCE_MOVED, P.CARRIED_OUT, P.STATUS_CHANGED])
def test_a_push_during_which_the_daemon_died_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: P
) -> None:
    """N8, N10."""
    repo = make_repository(tmp_path / "repo")
    remote = bare(tmp_path / "served/origin.git", repo)
    with (
        git_server(tmp_path / "served") as server,
        daemon(tmp_path, str(point)) as home,
        LauncherClient(home, repo) as client,
    ):
        git(repo, "remote", "add", "origin", f"{server.address}origin.git")
        client.open()
        task = task_of(client)
        before = state(repo)
        with pytest.raises(DaemonRestarted):
            client.tool("push_task", task=task["id"], confirm=True)
        # The new daemon, or else this call, asks the remote how it ended.
        shown = patient(client, "push_task", task=task["id"])
        assert shown["status"] == ("PUSHED" if point in DONE_THEN else "COMPLETED")
        done = patient(client, "push_task", task=task["id"], confirm=True)
        assert (done["pushed"], done["status"]) == (True, "PUSHED")
        assert git(remote, "rev-parse", task["branch"]) == done["commit"]
        assert state(repo) == before
        assert not list(home.glob("push-*"))


@pytest.mark.parametrize("point", list(P))
def test_a_rebase_during_which_the_daemon_died_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: P
) -> None:
    """N2, N8."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)
        (repo / "main.txt").write_text("main's\n")
        git(repo, "add", "main.txt")
        git(repo, "commit", "-q", "-m", "main's")
        # Checked out, so that its files and the index are at stake, too.
        git(repo, "switch", "-q", task["branch"])
        before = state(repo)
        with pytest.raises(DaemonRestarted):
            client.tool("rebase_task", task=task["id"], confirm=True)
        # A call for the task settles what was cut off.
        shown = patient(client, "rebase_task", task=task["id"])
        if point in DONE_THEN:
            assert "nothing to rebase" in shown["message"]
        else:
            assert "Nothing is rebased yet" in shown["message"]
            assert state(repo) == before
        patient(client, "rebase_task", task=task["id"], confirm=True)
        view = client.tool("inspect", task=task["id"])["task"]
        assert (view["status"], view["base_commit"]) == (
            "COMPLETED",
            git(repo, "rev-parse", "main"),
        )
        assert git(repo, "rev-parse", f"{task['branch']}^") == view["base_commit"]
        assert git(repo, "status", "--porcelain") == ""
        assert (repo / "main.txt").exists()
        assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 2
        assert not list((repo / ".git").glob("*rover*")) + list((repo / ".git").glob("*.lock"))


D = DeletionPoint
DELETED_THEN = (D.CANCELLED, D.PUT_ASIDE)
"""Where the deletion counts when the daemon dies: what was paused has been ended for it."""


def is_listed(client: LauncherClient, task: str) -> bool:
    listed = patient(client, "list_tasks", all_projects=True)["tasks"]
    return any(task.startswith(row["id"]) for row in listed)


@pytest.mark.parametrize("point", [P.RECORDED, D.CANCELLED, D.PUT_ASIDE])
def test_a_deletion_during_which_the_daemon_died_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: OperationPoint | DeletionPoint
) -> None:
    """N8, N13."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        new = {"description": "Pay", "workflow": "quick", "agent": "scripted",
               "engine": "bubblewrap", "script": script(implement=[{"error": CREDITS}])}  # fmt: skip
        task = client.tool("create_task", **new)["task"]["id"]
        client.wait_until(task, "PAUSED")
        before = state(repo)
        with pytest.raises(DaemonRestarted):
            client.tool("delete_task", task=task, confirm=True)
        if point in DELETED_THEN:
            wait_until(lambda: not is_listed(client, task), "the deletion is finished")
        else:
            assert patient(client, "inspect", task=task)["task"]["status"] == "PAUSED"
            assert patient(client, "delete_task", task=task, confirm=True)["deleted"] is True
        assert not is_listed(client, task)
        assert patient(client, "delete_task", task=task, restore=True)["items"][0]["kept"] is True
        assert patient(client, "inspect", task=task)["task"]["status"] == "CANCELLED"
        assert state(repo) == before


@pytest.mark.parametrize("point", [P.RECORDED, D.BRANCH_ASIDE, D.PUT_ASIDE])
def test_a_branch_goes_with_its_task_or_stays_with_it(
    tmp_path: Path, engine_for_daemons: None, point: str
) -> None:
    """N8, N13. The daemon dies while both are deleted."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)
        before = git(repo, "for-each-ref")
        with pytest.raises(DaemonRestarted):
            client.tool("delete_task", task=task["id"], branch=True, confirm=True)
        if point == D.PUT_ASIDE:
            wait_until(lambda: not is_listed(client, task["id"]), "the deletion is finished")
        else:
            assert is_listed(client, task["id"])
            wait_until(lambda: git(repo, "for-each-ref") == before, "the branch is back")
            patient(client, "delete_task", task=task["id"], branch=True, confirm=True)
        assert task["branch"] not in git(repo, "branch")
        patient(client, "delete_task", task=task["id"], restore=True)
        assert git(repo, "for-each-ref") == before


@pytest.mark.parametrize("point", [P.RECORDED, D.BRANCH_ASIDE])
def test_without_a_trash_a_branch_goes_with_its_task_or_stays_with_it(
    tmp_path: Path, engine_for_daemons: None, point: str
) -> None:
    """N8, N13. The daemon dies while both are deleted for good."""
    repo = make_repository(tmp_path / "repo")
    with (
        daemon(tmp_path, str(point), "trash_days: 0\n") as home,
        LauncherClient(home, repo) as client,
    ):
        client.open()
        task = task_of(client)
        git(repo, "merge", "-q", "--ff-only", task["branch"])
        before = git(repo, "for-each-ref")
        with pytest.raises(DaemonRestarted):
            client.tool("delete_task", task=task["id"], branch=True, confirm=True)
        if point == P.RECORDED:
            assert is_listed(client, task["id"])
            assert git(repo, "for-each-ref") == before
            patient(client, "delete_task", task=task["id"], branch=True, confirm=True)
        else:
            wait_until(lambda: not is_listed(client, task["id"]), "the deletion is finished")
        assert git(repo, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        assert not (home / "tasks" / task["id"]).exists()


def test_giving_a_branch_back_is_finished_by_the_next_daemon(
    tmp_path: Path, engine_for_daemons: None
) -> None:
    """N8, N13."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(D.BRANCH_BACK)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)
        before = git(repo, "for-each-ref")
        client.tool("delete_task", task=task["id"], branch=True, confirm=True)
        with pytest.raises(DaemonRestarted):
            client.tool("delete_task", task=task["id"], restore=True)
        wait_until(lambda: is_listed(client, task["id"]), "it is given back")
        assert git(repo, "for-each-ref") == before


@pytest.mark.parametrize("point", [f"{P.RECORDED}:2", D.GIVEN_BACK])
def test_giving_back_during_which_the_daemon_died_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: str
) -> None:
    """N8, N13."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)["id"]
        client.tool("delete_task", task=task, confirm=True)
        with pytest.raises(DaemonRestarted):
            client.tool("delete_task", task=task, restore=True)
        assert is_listed(client, task) is (point == D.GIVEN_BACK)
        if point != D.GIVEN_BACK:
            assert (
                patient(client, "delete_task", task=task, restore=True)["items"][0]["kept"] is True
            )
        assert patient(client, "inspect", task=task)["task"]["status"] == "COMPLETED"


@pytest.mark.parametrize("point", [f"{P.RECORDED}:2", D.FILES_REMOVED, D.RECORD_REMOVED])
def test_removal_for_good_during_which_the_daemon_died_is_finished(
    tmp_path: Path, engine_for_daemons: None, point: str
) -> None:
    """N8, N13."""
    repo = make_repository(tmp_path / "repo")
    settings = f"sweep_interval: 1\nidle_exit: 600\ntrash_days: {3 / 86400}\n"
    with (
        daemon(tmp_path, str(point), settings) as home,
        LauncherClient(home, repo) as client,
    ):
        client.open()
        task = task_of(client)
        pid = daemon_pid(home)
        with suppress(DaemonRestarted):
            # On a busy machine, its days in the trash are over before the answer is sent.
            client.tool("delete_task", task=task["id"], confirm=True)
        wait_until(lambda: not is_alive(pid), "the daemon has died")
        assert not is_listed(client, task["id"])
        wait_until(lambda: not (home / "tasks" / task["id"]).exists(), "its files are gone")
        (hub,) = (home / "projects").glob("*/hub.git")
        wait_until(lambda: task["id"] not in git(hub, "for-each-ref"), "its snapshots are gone")
        with pytest.raises(ToolError):
            patient(client, "delete_task", task=task["id"], restore=True)
        assert git(repo, "show", f"{task['branch']}:new/file.txt") == "new"


@pytest.mark.parametrize("point", [P.RECORDED, D.PUT_ASIDE])
def test_a_choice_during_which_the_daemon_died_is_made_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: OperationPoint | DeletionPoint
) -> None:
    """N8, N15."""
    repo = make_repository(tmp_path / "repo")
    edits = [{"path": "new.txt", "content": "new\n"}]
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        new = {"description": "Pay", "workflow": "quick", "agents": ["scripted", "scripted"],
               "engine": "bubblewrap",
               "script": script(implement=[{"error": CREDITS}, {"edits": edits}])}  # fmt: skip
        race = client.tool("create_task", **new)["race"]["racers"]
        winner, loser = (racer["task"] for racer in race)
        for task in (winner, loser):
            client.wait_until(task, "PAUSED")
        client.tool("resume_task", task=winner)
        client.wait_until(winner, "COMPLETED")
        before = state(repo)
        with pytest.raises(DaemonRestarted):
            client.tool("delete_task", task=winner, others=True, confirm=True)
        if point == P.RECORDED:
            assert patient(client, "inspect", task=loser)["task"]["status"] == "PAUSED"
            assert patient(client, "delete_task", task=winner, others=True)["chosen"] is False
        else:
            assert not is_listed(client, loser)
        patient(client, "delete_task", task=winner, others=True, confirm=True)
        assert not is_listed(client, loser)
        assert is_listed(client, winner)
        assert patient(client, "inspect", task=winner)["task"]["status"] == "COMPLETED"
        patient(client, "delete_task", task=loser, restore=True)
        assert patient(client, "inspect", task=loser)["task"]["status"] == "CANCELLED"
        assert state(repo) == before
