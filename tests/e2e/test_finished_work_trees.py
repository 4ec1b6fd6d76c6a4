"""Work trees of finished tasks: removed once their work is elsewhere, and kept as long as not."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from rover_mcp.config.settings import Settings
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.work_trees import WorkTrees
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.store.migrations import database_url, open_database
from rover_mcp.store.store import Store
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

DAY = 86_400
EDIT: Frame = {"edits": [{"path": "new.txt", "content": "new\n"}]}
BUILD = "echo build/ > .gitignore; mkdir build; echo x > build/x"


def finished(client: LauncherClient, run: str) -> Frame:
    new = {"description": "Work", "workflow": "quick", "agent": "scripted",
           "engine": "bubblewrap", "script": script(implement=[{**EDIT, "run": run}])}  # fmt: skip
    task = client.tool("create_task", **new)["task"]["id"]
    return client.wait_until(task, "COMPLETED")


def ended(home: Path, task: str, *, seconds_ago: float) -> None:
    """Let a task have ended earlier than what is in its work tree."""
    engine = open_database(database_url(home))
    Store(engine).tasks.update(task, ended_at=time.time() - seconds_ago)
    engine.dispose()


def sweep(home: Path, *, days: float = 1.1, free: int = 0) -> list[str]:
    """What a daemon removes that looks so many days after now."""
    settings = Settings(home=home, min_free_bytes=free)
    engine = open_database(database_url(home))
    try:
        repositories, engines = GitRepositories(home), {"bubblewrap": BubblewrapEngine(home)}
        later = time.time() + days * DAY
        trees = WorkTrees(settings, Store(engine), repositories, engines, lambda: later)
        return trees.remove_due()
    finally:
        engine.dispose()


def test_a_work_tree_goes_a_day_after_the_end_if_all_of_it_is_elsewhere(
    home: Path, repository: Path
) -> None:
    """V1: proven, not assumed; and what is kept of the task works without it."""
    with LauncherClient(home, repository) as client:
        client.open()
        task, changed = finished(client, BUILD), finished(client, "true")
        tree = home / "tasks" / task["id"] / "work"
        (home / "tasks" / changed["id"] / "work/mine.txt").write_text("notes")
        ended(home, changed["id"], seconds_ago=60)
        assert sweep(home, days=0.9) == []
        with subprocess.Popen(["sleep", "3600"], cwd=tree / "build") as user:
            try:
                assert sweep(home) == []
            finally:
                user.kill()
        assert (tree / "build/x").exists()
        assert sweep(home) == [task["id"]]
        assert not tree.exists()
        assert (home / "tasks" / changed["id"] / "work/mine.txt").exists()
        assert "new.txt" in str(client.tool("get_diff", task=task["id"]))
        assert git(repository, "show", f"{task['branch']}:new.txt") == "new"
        assert client.tool("delete_task", task=task["id"], confirm=True)


def test_a_work_tree_whose_result_the_hub_does_not_hold_is_kept(
    home: Path, repository: Path
) -> None:
    """V1: also where the disk is nearly full, when others go at once."""
    with LauncherClient(home, repository) as client:
        client.open()
        task, other = finished(client, "true"), finished(client, "echo other > other.txt")
    [hub] = home.glob("projects/*/hub.git")
    git(hub, "update-ref", "-d", f"refs/rover/{task['id']}/head")
    assert sweep(home, days=0.1) == []
    assert sweep(home, days=0.1, free=10**15) == [other["id"]]
