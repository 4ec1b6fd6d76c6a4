"""The daemon dies while it creates tasks: they are there, or nothing of them is. Real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.creation_point import CreationPoint
from tests.crash.test_operation_points import daemon, docker_host, engine_for_daemons, patient
from tests.e2e.processes import wait_until
from tests.support.frames import DaemonRestarted, Frame, LauncherClient
from tests.support.repos import git, make_repository
from tests.support.scripts import script

__all__ = ["docker_host", "engine_for_daemons"]

P = CreationPoint
EDITS = [{"path": "new.txt", "content": "new\n"}]
NEW: dict[str, Any] = {
    "description": "Write new.txt", "workflow": "quick", "agent": "scripted",
    "engine": "bubblewrap", "script": script(implement=[{"edits": EDITS}]),
}  # fmt: skip


def tasks_of(client: LauncherClient) -> list[Frame]:
    return patient(client, "list_tasks", all_projects=True)["tasks"]


def folders_of(home: Path) -> set[str]:
    """The folders of tasks, but for those of sandboxes that wait for one, unless one is just made."""
    waiting = {marker.name for marker in (home / "spares").glob("*")}
    return {folder.name for folder in (home / "tasks").glob("*")} - waiting


@pytest.mark.parametrize("point", list(P))
def test_a_task_whose_creation_was_cut_off_is_whole_or_gone(
    tmp_path: Path, engine_for_daemons: None, point: P
) -> None:
    """N8."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        with pytest.raises(DaemonRestarted):
            client.tool("create_task", **NEW)
        if point is P.FILES_WRITTEN:
            assert tasks_of(client) == []
            wait_until(lambda: not folders_of(home), "its files are gone")
            assert patient(client, "create_task", **NEW)["task"]["number"] == 1
        done = client.wait_until("1", "COMPLETED")
        assert git(repo, "show", f"{done['branch']}:new.txt") == "new"
        wait_until(lambda: len(folders_of(home)) == 1, "only its folder is there")
        wait_until(lambda: not list((home / "creating").iterdir()), "no mark is left")


@pytest.mark.parametrize("point", [f"{P.FILES_WRITTEN}:2", f"{P.RECORDED}:2"])
def test_a_race_of_forks_that_was_cut_off_is_whole_or_gone(
    tmp_path: Path, engine_for_daemons: None, point: str
) -> None:
    """N14, N15."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, point) as home, LauncherClient(home, repo) as client:
        client.open()
        task = client.tool("create_task", **NEW)["task"]["id"]
        client.wait_until(task, "COMPLETED")
        snapshot = client.tool("get_history", task=task)["snapshots"][0]["id"]
        fork = {"task": task, "snapshot": snapshot, "agents": ["scripted", "scripted"]}
        with pytest.raises(DaemonRestarted):
            client.tool("fork_task", **fork)
        if point.startswith(P.FILES_WRITTEN):
            assert len(tasks_of(client)) == 1
            wait_until(lambda: folders_of(home) == {task}, "the files of both are gone")
            patient(client, "fork_task", **fork)
        assert [row["number"] for row in tasks_of(client)] == [3, 2, 1]
        for row in tasks_of(client)[:2]:
            done = client.wait_until(row["id"], "COMPLETED")
            assert git(repo, "show", f"{done['branch']}:new.txt") == "new"
        wait_until(lambda: len(folders_of(home)) == 3, "only their folders are there")
