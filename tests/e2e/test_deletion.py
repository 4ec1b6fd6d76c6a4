"""delete_task answers when nothing of a task can be seen; its files go later, also after a crash."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import kill, wait_until
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

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
        wait_until(lambda: not entry.exists(), "the next daemon removes it", timeout=120)


def test_what_is_in_the_trash_goes_for_good_after_its_days(home: Path, repository: Path) -> None:
    """N13. A fraction of a day stands for the days."""
    home.mkdir()
    (home / "config.yaml").write_text(
        f"sweep_interval: 1\nidle_exit: 60\ntrash_days: {6 / 86400}\n"
    )
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
        wait_until(lambda: not (home / "tasks" / task["id"]).exists(), "it is gone", timeout=60)
        wait_until(lambda: task["id"] not in git(hub, "for-each-ref"), "its snapshots, too")
        assert git(repository, "show", f"{task['branch']}:new.txt") == "new"
