"""Random kill -9 of the daemon, the runner, its supervisor and what it runs: nothing is lost,
nothing runs twice.

    ROVER_KILL_SEEDS=1,2,3 python -m pytest tests/crash/test_random_kills.py   # other seeds

The seed of a run is its test's id.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from agent_runner.journal import RecordType, read_journal
from tests.crash.victims import VICTIMS, alive_processes, kill_some
from tests.e2e.conftest import client, docker_host, engine_for_daemons, home, repository
from tests.e2e.processes import runners, wait_until
from tests.support.frames import DaemonRestarted, Frame, LauncherClient
from tests.support.repos import git
from tests.support.scripts import script

__all__ = ["client", "docker_host", "engine_for_daemons", "home", "repository"]

SEEDS = [int(s) for s in os.environ.get("ROVER_KILL_SEEDS", "1,2,3").split(",") if s]
MOST_KILLS = 4
MOST_RESUMES = 8
COMPLETED_WITHIN = 90.0
PROMPT = 1.0
IDLE_BUT_RUNNING = 5.0
"""Seconds for which a task may be shown running while nothing of it runs."""

WORKFLOW = r"""
version: "1.0"
name: hard
steps:
  - {id: plan, type: agent, prompt: "plan {{task.title}}",
     outputs: [{name: plan, required: true}]}
  - {id: first, type: command, command: "printf '%s\\n' {{steps.plan.outputs.plan}} >> log.txt; sleep 0.2; cat log.txt"}
  - {id: build, type: agent, prompt: "build after {{steps.first.outputs.stdout}}",
     outputs: [{name: built, required: true}]}
  - {id: second, type: command, command: "printf '%s\\n' {{steps.build.outputs.built}} >> log.txt; sleep 0.1; wc -l < log.txt"}
  - {id: trim, type: agent, prompt: "trim", outputs: [{name: trimmed}]}
  - {id: third, type: command, command: "echo third {{steps.second.outputs.stdout}} >> log.txt; sleep 0.2; ls"}
  - {id: polish, type: agent, prompt: "polish", outputs: [{name: polished}]}
  - {id: last, type: command, command: "echo {{steps.polish.outputs.polished}} >> log.txt; sha256sum *.txt *.py > sums; cat sums"}
"""

SCRIPT = script(
    plan=[{"say": "p", "delay": 0.2, "outputs": {"plan": "it's a \"plan\" $HOME"},
           "edits": [{"path": "PLAN.txt", "content": "plan\n"}]}],
    build=[{"say": "b", "delay": 0.3, "outputs": {"built": "b1"},
            "edits": [{"path": "src/a.txt", "content": "a\n" * 100},
                      {"path": "b.txt", "content": "b\n"}]}],
    trim=[{"say": "t", "delay": 0.1, "outputs": {"trimmed": "yes"},
           "edits": [{"path": "b.txt", "delete": True},
                     {"path": "calc.py", "content": "def add(a, b):\n    return a + b\n"}]}],
    polish=[{"say": "f", "delay": 0.2, "outputs": {"polished": "shiny"},
             "run": "mkdir -p deep/er && echo x > deep/er/x && git add -A && git commit -qm mine || :",
             "edits": [{"path": "src/a.txt", "content": "z\n"}]}],
)  # fmt: skip

CONFIG = """
idle_exit: 60
sweep_interval: 2
retry: {interrupted_first: 0.1, transient_first: 0.1, jitter: 0}
"""


@dataclass
class Watch:
    """What was seen of a task from outside while it was tried hard."""

    resumes: int = 0
    idle_since: float | None = None
    longest_idle: float = 0
    told: list[str] = field(default_factory=list)

    def look(self, view: Frame, works: bool, asked: float) -> None:
        """A view that was asked for at `asked`. While no daemon lives, nothing is shown: time
        counts only from one prompt answer to the next."""
        now = time.monotonic()
        if view["status"] != "IN_PROGRESS" or works or now - asked > PROMPT:
            self.idle_since = None
        else:
            self.idle_since = self.idle_since or now
            self.longest_idle = max(self.longest_idle, now - self.idle_since)


@pytest.fixture(autouse=True)
def prepared(home: Path, repository: Path) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(CONFIG)
    folder = repository / ".rover" / "workflows"
    folder.mkdir(parents=True)
    (folder / "hard.yaml").write_text(WORKFLOW)


_undisturbed: dict[str, tuple[str, dict[str, Any]]] = {}


def undisturbed(
    client: LauncherClient, repository: Path, engine: str
) -> tuple[str, dict[str, Any]]:
    """Tree and outputs of a run that nobody kills; once for an engine."""
    if engine not in _undisturbed:
        task = create(client, engine, "calm")
        done = client.wait_until(task["id"], "COMPLETED")
        _undisturbed[engine] = result(client, repository, done)
    return _undisturbed[engine]


def create(client: LauncherClient, engine: str, key: str) -> Frame:
    return patient(
        client, "create_task", description="Try it hard", workflow="hard", agent="scripted",
        engine=engine, script=SCRIPT, request_key=key,
    )["task"]  # fmt: skip


def patient(client: LauncherClient, tool: str, **arguments: Any) -> Frame:
    """A call that is repeated when the daemon is killed under it."""
    end = time.monotonic() + 30
    while True:
        try:
            return client.tool(tool, **arguments)
        except DaemonRestarted:
            assert time.monotonic() < end, f"{tool} is never answered"


def journal_path(client: LauncherClient, task: Frame) -> Path:
    return client.home / "tasks" / task["id"] / "iterations" / "1" / "run" / "journal.jsonl"


def result(client: LauncherClient, repository: Path, task: Frame) -> tuple[str, dict[str, Any]]:
    records = read_journal(journal_path(client, task)).records
    outputs = {
        r.data["step"]: r.data["outputs"] for r in records if r.type is RecordType.STEP_COMPLETE
    }
    return git(repository, "rev-parse", f"{task['branch']}^{{tree}}"), outputs


@pytest.mark.parametrize("seed", SEEDS)
def test_random_kills_lose_nothing_and_repeat_nothing(
    client: LauncherClient, repository: Path, seed: int
) -> None:
    """C8, L1, L2, L8 on bubblewrap."""
    try_hard(client, repository, seed, "bubblewrap")


@pytest.mark.docker
@pytest.mark.parametrize("seed", SEEDS[:1])
def test_random_kills_on_docker(client: LauncherClient, repository: Path, seed: int) -> None:
    """C8, L1, L2, L8 on Docker."""
    try_hard(client, repository, seed, "docker")


def try_hard(client: LauncherClient, repository: Path, seed: int, engine: str) -> None:
    chance = random.Random(seed)
    expected = undisturbed(client, repository, engine)
    task = create(client, engine, f"seed-{seed}")
    victims = VICTIMS[engine]
    moments = sorted(chance.uniform(0, 4) for _ in range(chance.randint(1, MOST_KILLS)))
    plan = [(m, chance.sample(victims, chance.choice((1, 1, 1, 2)))) for m in moments]
    watch = Watch()
    done = follow(client, task, engine, plan, watch)
    said = f"seed {seed}, killed: {watch.told}, plan {plan}"
    print(said, f"resumed by hand: {watch.resumes}", f"idle: {watch.longest_idle:.1f} s")
    tree, outputs = result(client, repository, done)
    assert outputs == expected[1], said
    assert tree == expected[0], said + git(repository, "diff", "--stat", expected[0], tree)
    check_journal(client, done, said)
    assert watch.longest_idle < IDLE_BUT_RUNNING, f"{watch.longest_idle} {said}"
    wait_until(lambda: not alive_processes(client.home, task["id"]), f"no process left: {said}", 10)
    assert not any("not in your repository" in w for w in done.get("warnings") or []), said


def check_journal(client: LauncherClient, task: Frame, said: str) -> None:
    read = read_journal(journal_path(client, task))
    assert read.torn == 0, said
    finished: Counter[str] = Counter()
    for record in read.records:
        if record.type is RecordType.STEP_START:
            assert not finished[record.data["step"]], f"{record.data['step']} ran again: {said}"
        elif record.type is RecordType.STEP_COMPLETE:
            finished[record.data["step"]] += 1
    assert set(finished.values()) == {1}, f"{finished} {said}"
    assert len(finished) == 8, said


def follow(
    client: LauncherClient,
    task: Frame,
    engine: str,
    plan: list[tuple[float, list[str]]],
    watch: Watch,
) -> Frame:
    """Kill as planned, resume by hand where nothing else helps; the completed task."""
    began = time.monotonic()
    pending = list(plan)
    view: Frame = {}
    while True:
        elapsed = time.monotonic() - began
        assert elapsed < COMPLETED_WITHIN, f"not completed: {watch} {view}"
        # A kill that finds nobody waits until it does.
        due = pending and pending[0][0] <= elapsed
        if due and (killed := kill_some(client.home, task["id"], pending[0][1])):
            watch.told += killed
            pending.pop(0)
        asked = time.monotonic()
        view = patient(client, "inspect", task=task["id"])["task"]
        watch.look(view, works(client, task, engine), asked)
        if view["status"] == "COMPLETED":
            return view
        if view["status"] == "FAILED" or (
            view["status"] == "PAUSED" and not view["pause"].get("retry_at")
        ):
            watch.resumes += 1
            watch.told.append(f"{view['status']}: {json.dumps(view.get('error') or view['pause'])}")
            assert watch.resumes <= MOST_RESUMES, watch
            patient(client, "resume_task", task=task["id"])
        time.sleep(0.03)


def works(client: LauncherClient, task: Frame, engine: str) -> bool:
    if engine == "bubblewrap":
        return bool(runners(client.home))
    from contextlib import closing

    with closing(docker.from_env()) as found:
        return bool(found.containers.list(filters={"name": f"rover-{task['id'][:12]}"}))
