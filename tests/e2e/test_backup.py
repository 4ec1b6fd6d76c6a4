"""A backup that is made while a task runs, restored for another user on another disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import end_daemon
from tests.e2e.test_survival import DONE, start
from tests.support.frames import LauncherClient
from tests.support.repos import FIXED, git


def rover(home: Path, *argv: str) -> tuple[int, Any]:
    """The command line's exit status and JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", "--json", "--home", str(home), *argv],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def test_a_running_task_continues_where_its_backup_is_restored(
    client: LauncherClient, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U7. A copy of the files alone lacked what stood in the database's -wal."""
    task, home = start(client, [{**DONE, "delay": 600}, DONE]), client.home
    work = home / "tasks" / task["id"] / "work"
    (work / "notes.txt").write_text("not committed yet")
    code, made = rover(home, "backup", str(home.parent))
    assert code == 0, made
    assert (made["tasks"], made["running"], made["skipped"]) == (1, 1, [])
    file = Path(made["file"])
    assert file.parent == home.parent.resolve()
    assert file.stat().st_mode & 0o777 == 0o600
    code, refused = rover(home, "restore", str(file))
    assert (code, refused["error"]["code"]) == (1, "daemon_runs")
    client.tool("cancel_task", task=task["id"])

    (home.parent / "another").mkdir()
    monkeypatch.setenv("HOME", str(home.parent / "another"))
    other = home.parent / "another" / "rover"
    code, done = rover(other, "restore", str(file))
    assert code == 0, done
    assert [t["id"] for t in done["paused"]] == [task["id"]]
    try:
        with LauncherClient(other, repository) as again:
            again.open()
            shown = again.tool("inspect", task=task["id"])["task"]
            assert (shown["status"], shown["pause"]["reason"]) == ("PAUSED", "interrupted")
            assert (other / "tasks" / task["id"] / "work" / "notes.txt").exists()
            again.tool("resume_task", task=task["id"])
            ended = again.wait_until(task["id"], "COMPLETED")
            assert git(repository, "show", f"{ended['branch']}:calc.py") == FIXED.strip()
            assert git(repository, "show", f"{ended['branch']}:notes.txt")
    finally:
        end_daemon(other)
    assert other.stat().st_mode & 0o777 == 0o700
