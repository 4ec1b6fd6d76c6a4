"""delete_task answers when nothing of a task can be seen; its files go later, also after a crash."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import kill, wait_until
from tests.support.frames import Frame, LauncherClient
from tests.support.scripts import script

EDIT: Frame = {"edits": [{"path": "new.txt", "content": "new\n"}]}
CONFIG = "sweep_interval: 1\nidle_exit: 60\n"


def test_a_tree_that_cannot_be_removed_yet_delays_no_answer_and_goes_after_a_crash(
    home: Path, repository: Path
) -> None:
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
