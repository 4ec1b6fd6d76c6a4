"""A client that speaks Tasks and is not ours: the one of PyPI `fastmcp[tasks]`, over stdio and HTTP."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import fastmcp_python
from tests.support.frames import MODERN, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.http_front import HttpFront, token_of
from tests.support.repos import FIXED, git
from tests.support.scripts import CREDITS, script

DRIVER = Path(__file__).with_name("fastmcp_driver.py")
FIX = [{"path": "calc.py", "content": FIXED}]
ARGUMENTS = {
    "description": "Fix calc.add",
    "agent": "scripted",
    "engine": "bubblewrap",
    "workflow": "quick",
    "script": script(implement=[{"error": CREDITS}, {"say": "done", "edits": FIX}]),
}


def drive(**where: Any) -> dict[str, Any]:
    """What the client saw of the server that is there."""
    done = subprocess.run(
        [fastmcp_python(), DRIVER],
        input=json.dumps({"arguments": ARGUMENTS, **where}),
        capture_output=True, text=True, timeout=2 * HANG_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def over_stdio(folder: Path) -> Iterator[dict[str, Any]]:
    program = [sys.executable, "-m", "rover_mcp.launcher.main", "--home", str(folder / "data")]
    yield {"command": program, "cwd": str(folder / "repo")}


@contextmanager
def over_http(folder: Path) -> Iterator[dict[str, Any]]:
    token = token_of(folder / "data", "ann")
    with HttpFront(folder / "data") as front:
        yield {"url": front.url, "token": token}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    (shared / "data").mkdir(mode=0o700)
    settings = {"http": {"projects": [str(shared / "repo")]}, "auto_resume": False}
    (shared / "data" / "config.yaml").write_text(json.dumps(settings))
    return shared


@pytest.mark.parametrize("way", [over_stdio, over_http])
def test_it_creates_is_asked_at_the_pause_answers_and_gets_the_result(
    folder: Path, way: Any
) -> None:
    with way(folder) as where:
        saw = drive(**where)
    assert saw["era"] == MODERN
    assert {"create_task", "wait_for_task", "resume_task"} <= set(saw["tools"])

    answered = saw["answered"]
    assert answered["created"] == "working"
    (question,) = answered["parked"]["input_requests"].values()
    assert question["method"] == "elicitation/create"
    assert answered["ended"] == "completed"
    done = answered["result"]["task"]
    assert done["status"] == "COMPLETED"
    assert git(folder / "repo", "show", f"{done['branch']}:calc.py") == FIXED.strip()

    assert saw["cancelled"]["status"] == "cancelled"
    assert "cancelled" in saw["cancelled"]["error"]
    assert saw["through"]["task"]["status"] == "COMPLETED"
    assert len(saw["asked"]) == 2, "one pause of each task that was answered"
    assert all("credit balance is too low" in message for message in saw["asked"])

    (skill,) = saw["skills"]
    assert skill["uri"] == "skill://rover/delegate/SKILL.md"
    (file,) = skill["resources"]
    assert file["digest"] == f"sha256:{hashlib.sha256(skill['text'].encode()).hexdigest()}"

    with LauncherClient(folder / "data", folder / "repo") as other:
        other.open()
        for task in (done["id"], saw["through"]["task"]["id"]):
            assert other.tool("inspect", task=task)["task"]["status"] == "COMPLETED"
        # The end of a handle ends no work.
        cancelled = other.tool("inspect", task=saw["cancelled"]["task"])["task"]
        assert cancelled["status"] == "PAUSED"
