"""The daemon dies at each named place of a checkout, in a new work tree and in the user's own; the
next one finishes or undoes it, and a second call completes it. Real processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rover_mcp.domain.operation import OperationPoint
from tests.crash.test_operation_points import WITHIN, daemon, state, task_of
from tests.e2e.conftest import docker_host, engine_for_daemons
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git, make_repository

__all__ = ["docker_host", "engine_for_daemons"]

P = OperationPoint
NEW_TREE = (P.RECORDED, P.FILES_CHANGED, P.REFERENCE_MOVED, P.CARRIED_OUT)
HERE = (P.RECORDED, P.LOCK_TAKEN, P.FILES_CHANGED, P.REFERENCE_MOVED, P.CARRIED_OUT)


def check_out(client: LauncherClient, asked: Frame) -> Frame:
    """The answer of the daemon that is there after the one that dies."""
    end = time.monotonic() + WITHIN
    while True:
        answer = client.request("rover/checkout", asked)
        if "result" in answer:
            return answer["result"]
        wrong = answer["error"]["message"]
        assert "restarted" in wrong or "the next call tries again" in wrong, answer
        assert time.monotonic() < end, "the checkout is never answered"


def is_lost(client: LauncherClient, asked: Frame) -> bool:
    return "error" in client.request("rover/checkout", asked)


def left_behind(repo: Path) -> list[Path]:
    """Files of an operation that is not finished."""
    inside = repo / ".git"
    return [*inside.rglob("*rover*.index*"), *inside.rglob("*.lock"), *inside.rglob("rover-*")]


@pytest.mark.parametrize("point", NEW_TREE)
def test_a_checkout_in_a_new_work_tree_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: P
) -> None:
    """N8."""
    repo, into = make_repository(tmp_path / "repo"), tmp_path / "out"
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)
        asked: Frame = {"task": task["id"], "into": str(into), "confirm": True}
        before = state(repo)
        assert is_lost(client, asked)
        assert check_out(client, asked)["checked_out"] is True
        assert git(into, "branch", "--show-current") == task["branch"]
        assert git(into, "status", "--porcelain") == ""
        assert (into / "new/file.txt").read_text() == "new\n"
        assert left_behind(repo) == []
        after = {k: v for k, v in state(repo).items() if not k.startswith(".git/worktrees/")}
        assert after == before, "only the new work tree was added"


@pytest.mark.parametrize("point", HERE)
def test_a_checkout_in_the_users_own_work_tree_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: P
) -> None:
    """N8."""
    repo = make_repository(tmp_path / "repo")
    (repo / "mine.txt").write_text("not tracked\n")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)
        asked: Frame = {"task": task["id"], "here": True, "confirm": True}
        config = (repo / ".git/config").read_bytes()
        assert is_lost(client, asked)
        assert check_out(client, asked)["checked_out"] is True
        assert git(repo, "branch", "--show-current") == task["branch"]
        assert git(repo, "status", "--porcelain") == "?? mine.txt"
        assert (repo / "new/file.txt").read_text() == "new\n"
        assert (repo / ".git/config").read_bytes() == config
        assert left_behind(repo) == []
        git(repo, "switch", "-q", "-")
        assert git(repo, "branch", "--show-current") == "main"
