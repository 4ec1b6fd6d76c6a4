"""Do a project's work through a task, and look at what was delivered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rover_mcp.demo.demo_environment import end_daemon
from tests.real_projects.archives import git
from tests.real_projects.projects import Project
from tests.real_projects.proxy import REGISTRIES
from tests.support.docker_env import remove_sandboxes
from tests.support.frames import LauncherClient
from tests.support.scripts import script

IMAGE = "rover-real-projects:1"
LONGEST = 1800.0
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
TRUST = f"export PIP_CERT={CERTIFICATES} NODE_EXTRA_CA_CERTS={CERTIFICATES}; "

WORKFLOW = """\
version: "1.0"
name: project
description: Install what a project needs, change it, test it.
inputs:
  - {name: install, description: a shell command}
  - {name: test, description: a shell command}
steps:
  - {id: install, type: command, command: "bash -c {{inputs.install}}"}
  - {id: implement, type: agent, prompt: "{{task.description}}"}
  - {id: test, type: command, command: "bash -c {{inputs.test}}"}
"""


@dataclass
class Outcome:
    """What became of one task. `wrong` is empty if everything was as it should be. Seconds."""

    engine: str
    wrong: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    first_step: float = 0.0
    steps: dict[str, float] = field(default_factory=dict[str, float])
    whole: float = 0.0


@contextmanager
def client(home: Path, repository: Path, address: str, proxy: str) -> Iterator[LauncherClient]:
    """A session of an assistant in the repository, with a data folder of its own."""
    (home / "workflows").mkdir(parents=True)
    (home / "workflows" / "project.yaml").write_text(WORKFLOW)
    rust = next(iter(sorted((Path.home() / ".rustup" / "toolchains").glob("*"))), None)
    settings = {
        "base_image": IMAGE,
        "spare_sandboxes": 0,
        "network": {"mode": "allowlist", "allow": list(REGISTRIES)},
        "toolchains": [str(rust)] if rust else [],
    }
    (home / "config.yaml").write_text(json.dumps(settings))
    environment = {"DOCKER_HOST": address, "HTTPS_PROXY": proxy}
    try:
        with closing(LauncherClient(home, repository, environment)) as session:
            session.open()
            yield session
    finally:
        end_daemon(home)
        remove_sandboxes(home, address)


def work(session: LauncherClient, project: Project, repository: Path, engine: str) -> Outcome:
    """One task from its creation to its end."""
    outcome = Outcome(engine)
    before = git(repository, "status", "--porcelain", "--ignored")
    begin = time.time()
    task = session.tool(
        "create_task",
        description=f"Work on {project.name}",
        workflow="project",
        agent="scripted",
        engine=engine,
        inputs={"install": TRUST + project.install, "test": project.test},
        script=script(implement=[{"say": "working", "run": project.change}]),
    )["task"]
    task = _ended(session, task["id"])
    outcome.whole = time.time() - begin
    outcome.warnings = list(task.get("warnings") or ())
    _read_journal(session.home, task["id"], begin, outcome)
    if task["status"] != "COMPLETED":
        pause: dict[str, Any] = task.get("pause") or {}
        said = task.get("error") or pause.get("message")
        outcome.wrong.append(f"{task['status']}: {said}")
        return outcome
    found = tuple(
        git(repository, "diff", "--name-only", "--no-renames", "HEAD", task["branch"]).splitlines()
    )
    if found != project.changed:
        outcome.wrong.append(f"the diff names {', '.join(found[:8])} ({len(found)} files)")
    if git(repository, "status", "--porcelain", "--ignored") != before:
        outcome.wrong.append("the user's checkout is not as it was")
    return outcome


def _ended(session: LauncherClient, task_id: str) -> dict[str, Any]:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        task = session.tool("inspect", task=task_id, detail="full")["task"]
        if task["status"] in ("COMPLETED", "FAILED", "PAUSED", "CANCELLED"):
            return task
        time.sleep(0.5)
    raise AssertionError(f"the task {task_id} did not end within {LONGEST:.0f} s")


def _read_journal(home: Path, task_id: str, begin: float, outcome: Outcome) -> None:
    journal = home / "tasks" / task_id / "iterations" / "1" / "run" / "journal.jsonl"
    if not journal.exists():
        return
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    starts = {r["data"]["step"]: _at(r) for r in records if r["type"] == "step_start"}
    ends = {
        r["data"]["step"]: _at(r) for r in records if r["type"] in ("step_complete", "step_fail")
    }
    if starts:
        outcome.first_step = min(starts.values()) - begin
    outcome.steps = {s: ends[s] - starts[s] for s in starts if s in ends}


def _at(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["at"]).timestamp()
