"""A finished task whose branch the user has checked out waits for it, and has not failed."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.processes import wait_until
from tests.support.frames import Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import CREDITS, script

CONFIG = "sweep_interval: 1\nidle_exit: 60\n"
BEGUN: Frame = {"edits": [{"path": "new.txt", "content": "half\n"}], "error": CREDITS}
DONE: Frame = {"edits": [{"path": "new.txt", "content": "new\n"}]}


def test_work_is_delivered_once_the_user_has_left_its_branch(home: Path, repository: Path) -> None:
    """V3, C3: by itself, and by resume_task; its message says what is left to do."""
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    with LauncherClient(home, repository) as client:
        client.open()
        new = {"description": "Work", "workflow": "quick", "agent": "scripted",
               "engine": "bubblewrap", "script": script(implement=[BEGUN, DONE])}  # fmt: skip
        task = client.tool("create_task", **new)["task"]["id"]
        branch = client.wait_until(task, "PAUSED")["branch"]
        main = git(repository, "symbolic-ref", "--short", "HEAD")
        git(repository, "switch", "-q", branch)
        assert client.tool("resume_task", task=task)["result"] == "resumed"
        result = client.tool("wait_for_task", task=task, timeout_s=170)
        while result["returned"] == "timeout":
            result = client.tool("wait_for_task", task=task, timeout_s=170)
        view = result["task"]
        assert (view["status"], view["pause"]["reason"]) == ("PAUSED", "interrupted"), view
        message = view["pause"]["message"]
        assert f"checked out in {repository}" in message
        assert f"git -C {repository} switch <another branch>; then resume" in message
        assert view["pause"]["auto_resume"] is True
        assert (repository / "new.txt").read_text() == "half\n"
        git(repository, "switch", "-q", main)

        def is_done() -> bool:
            return bool(client.tool("inspect", task=task)["task"]["status"] == "COMPLETED")

        wait_until(is_done, "it is delivered by itself")
        assert git(repository, "show", f"{branch}:new.txt") == "new"
