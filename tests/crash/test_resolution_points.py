"""The daemon dies while it judges how conflicts were resolved; the next one continues as if nothing
had happened. Real processes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from rover_mcp.control.control_points import ControlPoint, RoundPoint
from tests.crash.test_operation_points import daemon, patient, state
from tests.e2e.conftest import docker_host, engine_for_daemons
from tests.support.frames import DaemonRestarted, Frame, LauncherClient
from tests.support.repos import git, make_repository
from tests.support.scripts import script

__all__ = ["docker_host", "engine_for_daemons"]

FILES = ("a.txt", "b.txt")
BASE, BOTH = "1\n2\n3\n", "1\nmain\n{}\n3\n"


def writes(content: str) -> dict[str, object]:
    return {"edits": [{"path": path, "content": content} for path in FILES]}


def conflicting(client: LauncherClient, repo: Path) -> Frame:
    """A task with two commits, each of which conflicts with main in both files."""
    commit(repo, BASE)
    turns = [writes(BASE.replace("2", "task")), writes(BASE.replace("2", "again"))]
    answers = [writes(BOTH.format("task")), writes(BOTH.format("again"))]
    task = client.tool(
        "create_task", description="Change it", workflow="quick", agent="scripted",
        engine="bubblewrap", script=script(implement=turns, resolve=answers),
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "COMPLETED")
    client.tool("iterate_task", task=task["id"], instructions="Once more")
    task = client.wait_until(task["id"], "COMPLETED")
    commit(repo, BASE.replace("2", "main"))
    return task


def commit(repo: Path, content: str) -> None:
    for path in FILES:
        (repo / path).write_text(content)
    git(repo, "add", *FILES)
    git(repo, "commit", "-qm", "main's")


# The first two passages are those of the task itself, before it has conflicts.
POINTS = [*RoundPoint, f"{ControlPoint.STATUS_CHANGED}:3", f"{ControlPoint.SETTLED}:3"]


@pytest.mark.parametrize("point", POINTS)
def test_a_resolution_continues_where_the_daemon_died(
    tmp_path: Path, engine_for_daemons: None, point: str
) -> None:
    """N2: two stops, several files at each."""
    repo = make_repository(tmp_path / "repo")
    with daemon(tmp_path, point) as home, LauncherClient(home, repo) as client:
        client.open()
        task = conflicting(client, repo)
        before = state(repo)
        with suppress(DaemonRestarted):
            # On a busy machine, the daemon dies in the resolving task before the answer is sent.
            client.tool("rebase_task", task=task["id"], resolve=True)
        resolving, _ = patient(client, "list_tasks")["tasks"]
        done = client.wait_until(resolving["id"], "COMPLETED")
        assert done["iteration"] == 2, "one round for each stop"
        assert state(repo) == before
        shown = patient(client, "rebase_task", task=task["id"])
        assert shown["resolution"].count("+main\n+task") == len(FILES)
        assert patient(client, "rebase_task", task=task["id"], confirm=True)["rebased"] is True
        for path in FILES:
            assert git(repo, "show", f"{task['branch']}:{path}") == BOTH.format("again").strip()
        assert git(repo, "rev-parse", f"{task['branch']}~2") == git(repo, "rev-parse", "main")
