"""The daemon dies while a task is sent back to a snapshot; the next one continues. Real processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.control.control_points import ControlPoint
from tests.crash.test_operation_points import (
    daemon,
    docker_host,
    engine_for_daemons,
    patient,
    state,
)
from tests.support.frames import DaemonRestarted, Frame, LauncherClient
from tests.support.repos import git, make_repository
from tests.support.scripts import script

__all__ = ["docker_host", "engine_for_daemons"]

P = ControlPoint
POINTS = (P.ENQUEUING, P.SANDBOX_UP, P.WORK_IMPORTED, P.STATUS_CHANGED)
FILES = ("one.txt", "two.txt", "three.txt")
NEW: dict[str, Any] = {
    "description": "Write a file", "workflow": "quick", "agent": "scripted",
    "engine": "bubblewrap",
    "script": script(implement=[{"edits": [{"path": p, "content": f"{p}\n"}]} for p in FILES]),
}  # fmt: skip


def history(client: LauncherClient, task: str) -> list[Frame]:
    return patient(client, "get_history", task=task)["snapshots"]


@pytest.mark.parametrize("point", POINTS)
def test_a_rewind_during_which_the_daemon_died_happens_once(
    tmp_path: Path, engine_for_daemons: None, point: ControlPoint
) -> None:
    """N8, N14: it happens, nothing is changed in place, and nothing runs twice."""
    repo = make_repository(tmp_path / "repo")
    # The third attempt is the one that is sent back.
    with daemon(tmp_path, f"{point}:3") as home, LauncherClient(home, repo) as client:
        client.open()
        task = client.tool("create_task", **NEW)["task"]["id"]
        client.wait_until(task, "COMPLETED")
        client.tool("iterate_task", task=task, instructions="More")
        second = client.wait_until(task, "COMPLETED")
        delivered, before = git(repo, "rev-parse", second["branch"]), state(repo)
        snapshots = history(client, task)
        back = next(s["id"] for s in snapshots if s["when"] == "at the end")
        rewind = {"task": task, "instructions": "Another way", "from_snapshot": back}
        # The call is not answered where the daemon dies in it, and on a busy machine neither where
        # another thread of the daemon comes to the place before the answer is sent.
        in_call = point is P.ENQUEUING
        with pytest.raises(DaemonRestarted) if in_call else suppress(DaemonRestarted):
            client.tool("iterate_task", **rewind)
        done = client.wait_until(task, "COMPLETED")
        assert (done["iteration"], done["branch"]) == (3, second["branch"])
        written = git(repo, "ls-tree", "--name-only", done["branch"]).split()
        assert [name for name in FILES if name in written] == ["one.txt", "three.txt"]
        assert git(repo, "merge-base", delivered, done["branch"]) == delivered
        later = history(client, task)
        assert later[: len(snapshots)] == snapshots
        assert {one["iteration"] for one in later[len(snapshots) :]} == {3}
        after = state(repo)
        changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
        branch = f"refs/heads/{done['branch']}"
        assert changed == {f".git/{branch}", f".git/logs/{branch}"}
        events = patient(client, "inspect", task=task, detail="full")["events"]
        assert [event["event"] for event in events].count("task.iterating") == 2
