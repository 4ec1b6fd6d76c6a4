"""The daemon dies while `rover gc` frees space: each thing is gone or as before, and a second call
frees the rest. Real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.domain.operation import CollectPoint, DeletionPoint, OperationPoint
from tests.crash.test_operation_points import (
    daemon,
    docker_host,
    engine_for_daemons,
    patient,
    state,
    task_of,
)
from tests.e2e.processes import wait_until
from tests.support.frames import DaemonRestarted, Frame, LauncherClient
from tests.support.repos import git, make_repository

__all__ = ["docker_host", "engine_for_daemons"]


def gc(client: LauncherClient, kind: str, *, confirm: bool = True) -> list[Frame]:
    """What was freed of a kind, or could be."""
    wanted = {"action": "gc", "kinds": [kind], "confirm": confirm}
    answer = client.request("rover/space", wanted)
    wrong = answer.get("error", {}).get("message", "")
    if "restarted" in wrong or "the next call tries again" in wrong:
        raise DaemonRestarted(wrong)
    return answer["result"]["items"]


def patient_gc(client: LauncherClient, kind: str, *, confirm: bool) -> list[Frame]:
    while True:
        try:
            return gc(client, kind, confirm=confirm)
        except DaemonRestarted:
            continue


def left_of(home: Path, task: str, kind: str) -> bool:
    """Whether anything of the kind is there."""
    root = home / "tasks" / task
    if kind == "bundles":
        return any(root.glob("iterations/*/run/bundles/*"))
    return (root / "work").exists() if kind == "work-trees" else root.exists()


POINTS = [OperationPoint.RECORDED, CollectPoint.LOOKED_AGAIN, CollectPoint.FREED]


@pytest.mark.parametrize("kind", ["work-trees", "bundles"])
@pytest.mark.parametrize("point", POINTS)
def test_freeing_during_which_the_daemon_died_is_finished(
    tmp_path: Path, engine_for_daemons: None, point: OperationPoint | CollectPoint, kind: str
) -> None:
    """N8, N13."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)
        before = state(repo)
        assert left_of(home, task["id"], kind)
        with pytest.raises(DaemonRestarted):
            gc(client, kind)
        # The row says what was being freed, so that the next daemon does it.
        patient(client, "inspect", task=task["id"])
        wait_until(lambda: not left_of(home, task["id"], kind), f"its {kind} are gone")
        assert patient_gc(client, kind, confirm=True) == []
        assert state(repo) == before
        assert patient(client, "get_diff", task=task["id"])["changes"]["files"] == 2
        assert git(repo, "show", f"{task['branch']}:new/file.txt") == "new"


@pytest.mark.parametrize(
    "point", [CollectPoint.LOOKED_AGAIN, DeletionPoint.FILES_REMOVED, CollectPoint.FREED]
)
def test_emptying_the_trash_that_was_cut_off_is_done_or_as_before(
    tmp_path: Path, engine_for_daemons: None, point: CollectPoint | DeletionPoint
) -> None:
    """N8, N13."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, str(point)) as home, LauncherClient(home, repo) as client:
        client.open()
        task = task_of(client)["id"]
        client.tool("delete_task", task=task, confirm=True)
        with pytest.raises(DaemonRestarted):
            gc(client, "trash")
        if point is CollectPoint.LOOKED_AGAIN:
            assert [one["id"] for one in patient_gc(client, "trash", confirm=False)] == [task]
            assert [one["freed"] for one in patient_gc(client, "trash", confirm=True)] == [True]
        # Its files go first, and its record after them: by the next daemon, where this one died.
        wait_until(lambda: not patient_gc(client, "trash", confirm=False), "the trash is empty")
        wait_until(lambda: not left_of(home, task, "trash"), "its files are gone")
