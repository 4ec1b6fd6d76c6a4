"""A data folder whose disk fills up while a task runs: nothing is lost, and nothing hangs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.conftest import daemon_pid, end_daemon
from tests.e2e.processes import processes_with, wait_until
from tests.e2e.test_survival import DONE
from tests.support.frames import LauncherClient, StartingClient, ToolError
from tests.support.gates import GATE, open_gate
from tests.support.repos import FIXED, git
from tests.support.scripts import script

PLAN = [{"say": "planned", "outputs": {"plan": "p"}}]
CONFIG = """
min_free_bytes: 0
sweep_interval: 1
idle_exit: 600
spare_sandboxes: 0
retry: {interrupted_first: 0.1, transient_first: 0.1, jitter: 0}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
        end_daemon(folder / "data")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is free, also what was freed since it was filled before."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 1):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return filler


def ask(client: LauncherClient, tool: str, **arguments: Any) -> dict[str, Any] | str:
    """The result, or the code of the tool's error. One that waited for room would never come: the
    disk stays full until all have answered."""
    try:
        return client.tool(tool, **arguments)
    except ToolError as refused:
        return str(refused.error["code"])


def test_a_disk_that_fills_up_costs_no_work(disk: Path, repository: Path) -> None:
    """C3, E2, L7: calls answer promptly with a clear error, the daemon stays the same one, and
    the task ends with what it was to make."""
    home = disk / "data"
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    with StartingClient(home, repository) as client:
        client.open()
        gate = f": {uuid4()}; {GATE}"
        new = {"description": "Fix add", "workflow": "demo", "agent": "scripted",
               "engine": "bubblewrap",
               "script": script(plan=PLAN, implement=[{**DONE, "run": gate}])}  # fmt: skip
        task = client.tool("create_task", **new)["task"]["id"]
        wait_until(lambda: processes_with(gate), "implement runs")
        before = daemon_pid(home)
        filler = fill(disk)
        open_gate(home, task)
        wait_until(lambda: not processes_with(gate), "its step has ended, and is to be recorded")
        for _ in range(3):
            fill(disk)
            for tool in ("list_tasks", "get_status"):
                assert isinstance(ask(client, tool), dict)
            assert isinstance(ask(client, "inspect", task=task), dict)
            assert ask(client, "create_task", **new) in ("disk_full", "data_folder")
        assert daemon_pid(home) == before
        filler.unlink()
        wait_until(lambda: _completes(client, task), "it is completed")
        done = client.tool("inspect", task=task)["task"]
        assert git(repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()
        assert daemon_pid(home) == before
        assert len(client.tool("list_tasks")["tasks"]) == 1


def _completes(client: LauncherClient, task: str) -> bool:
    """Whether it is completed; resumed if it is shown as paused. That may also be because its end
    could not be recorded, in which case it ends by itself."""
    status = client.tool("inspect", task=task)["task"]["status"]
    assert status != "FAILED"
    if status == "PAUSED":
        ask(client, "resume_task", task=task)
    return bool(status == "COMPLETED")


def test_a_daemon_that_cannot_write_its_data_folder_says_so_and_ends(
    disk: Path, repository: Path
) -> None:
    """L7: full from the start."""
    home = disk / "data"
    home.mkdir()
    fill(disk)
    with StartingClient(home, repository) as client:
        answer = client.request("tools/call", {"name": "list_tasks"})
        assert "data folder" in answer["error"]["message"], answer
