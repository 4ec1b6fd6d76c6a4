"""`rover daemon`: a person sees the daemon, ends it, and puts another in its place (B.8)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rover_mcp import __version__
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive, wait_until
from tests.support.frames import StartingClient
from tests.support.scripts import script

Json = dict[str, Any]
NOT_RUNNING = 3


def rover(home: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.entry", *words],
        capture_output=True, text=True, check=False, env={**os.environ, "ROVER_HOME": str(home)},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def daemon(home: Path, *words: str) -> tuple[int, Json]:
    code, told = rover(home, "daemon", *words, "--json")
    return code, json.loads(told)


def test_to_look_at_the_daemon_starts_none(home: Path) -> None:
    code, found = daemon(home, "status")
    assert (code, found["running"], found["pid"]) == (NOT_RUNNING, False, None)
    code, told = rover(home, "daemon", "stop")
    assert (code, "nothing to stop" in told) == (0, True)
    assert not (home / "daemon.lock").exists()


def test_a_running_daemon_is_shown_replaced_and_ended(home: Path) -> None:
    assert rover(home, "list")[0] == 0
    pid = daemon_pid(home)
    # The list was answered before the daemon was ready, which then says its version.
    wait_until(lambda: daemon(home, "status")[1]["version"], "it serves")
    code, found = daemon(home, "status")
    assert code == 0
    assert (found["running"], found["pid"], found["version"]) == (True, pid, __version__)
    assert found["tasks"] == {"running": 0, "paused": 0}
    code, again = daemon(home, "restart")
    assert (code, again["stopped"]) == (0, pid)
    assert again["pid"] != pid
    assert not is_alive(pid)
    code, ended = daemon(home, "stop")
    assert (code, ended["stopped"], ended["running"]) == (0, again["pid"], False)
    assert not is_alive(again["pid"])
    assert daemon(home, "status")[0] == NOT_RUNNING


def test_to_end_it_says_what_becomes_of_running_tasks(home: Path, repository: Path) -> None:
    """The task's step takes an hour: the daemon is ended while it works."""
    with StartingClient(home, repository) as client:
        client.open()
        made = client.tool(
            "create_task", description="Wait", workflow="quick", agent="scripted",
            engine="bubblewrap", script=script(implement=[{"delay": 3600}]),
        )["task"]["id"]  # fmt: skip
        client.wait_until(made, "IN_PROGRESS")
    code, told = rover(home, "daemon", "stop")
    assert code == 0, told
    assert "1 task is unfinished" in told
    assert "continues when a daemon runs again: rover daemon restart" in told
    assert rover(home, "daemon", "restart")[0] == 0
    code, seen = rover(home, "inspect", made, "--json")
    assert json.loads(seen)["task"]["status"] == "IN_PROGRESS"
    assert rover(home, "cancel", made)[0] == 0
