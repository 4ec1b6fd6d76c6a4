"""The same edits through a whole task: a daemon, a sandbox of bubblewrap, and steps that wait while
the edits are made in their work tree."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.e2e.conftest import end_daemon
from tests.integration.differential.by_hand import contents
from tests.integration.differential.by_task import BRANCH, DeliveredWork
from tests.integration.differential.repository import Batch, entries
from tests.support.frames import Frame, LauncherClient

_WAIT = "until [ -e .git/edited-{when} ]; do sleep 0.05; done"
_COMMIT = "git add -A --ignore-errors . ; git commit -q --allow-empty -m early"
_STARTED_WITHIN = 300.0


def by_daemon(user: Path, home: Path, batch: Batch) -> DeliveredWork:
    """What is delivered; `home` is a data folder."""
    _write_workflow(home, commits=batch.setting.agent_commits)
    try:
        return _by_task_of(user, home, batch)
    finally:
        end_daemon(home)


def _by_task_of(user: Path, home: Path, batch: Batch) -> DeliveredWork:
    with LauncherClient(home, user) as client:
        client.open()
        task = client.tool(
            "create_task", description="Work", workflow="edits", agent="scripted",
            engine="bubblewrap", auto_resume=False,
        )["task"]  # fmt: skip
        [folder] = (home / "tasks").glob(f"{task['id']}*")
        work = folder / "work"
        _until_step(client, folder, "early")
        fresh = contents(work)
        batch.do(work, "early")
        (work / ".git/edited-early").touch()
        _until_step(client, folder, "late")
        batch.do(work, "late")
        left = contents(work)
        (work / ".git/edited-late").touch()
        view = _delivered(client, task)
        assert view["branch"] == BRANCH, view
    return DeliveredWork(entries(user, f"refs/heads/{BRANCH}"), fresh, left)


def _write_workflow(home: Path, *, commits: bool) -> None:
    early = _WAIT.format(when="early") + (f"; {_COMMIT} || :" if commits else "")
    steps = [
        {"id": "early", "type": "command", "command": early},
        {"id": "late", "type": "command", "command": _WAIT.format(when="late")},
    ]
    (home / "workflows").mkdir(parents=True, exist_ok=True)
    workflow = {"version": "1.0", "name": "edits", "steps": steps}
    (home / "workflows/edits.yaml").write_text(json.dumps(workflow))


def _until_step(client: LauncherClient, folder: Path, step: str) -> None:
    journal = folder / "iterations/1/run/journal.jsonl"
    end = time.monotonic() + _STARTED_WITHIN
    while time.monotonic() < end:
        lines = journal.read_text().splitlines() if journal.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("}")]
        if any(r["type"] == "step_start" and r["data"]["step"] == step for r in records):
            return
        view = client.tool("inspect", task=folder.name)["task"]
        assert view["status"] in ("NEW", "IN_PROGRESS"), view
    raise AssertionError(f"step {step} does not begin")


def _delivered(client: LauncherClient, task: Frame) -> Frame:
    """The task once it is COMPLETED. Where many of the files are deleted, somebody has to accept
    that."""
    for _ in range(2):
        while (view := client.tool("wait_for_task", task=task["id"], timeout_s=60)["task"])[
            "status"
        ] in ("NEW", "IN_PROGRESS"):
            pass
        if view["status"] != "PAUSED" or view["pause"]["reason"] != "needs_look":
            break
        client.tool("resume_task", task=task["id"], accept=True)
    assert view["status"] == "COMPLETED", view
    return view
