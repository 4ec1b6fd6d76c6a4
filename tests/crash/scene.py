"""A task that is tried hard: a workflow with nested loops and 31 step runs, in a real daemon."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from tests.crash.outcome import Outcome, outcome
from tests.crash.victims import VICTIMS, alive_processes, kill_some
from tests.e2e.conftest import end_daemon
from tests.e2e.processes import pause_after_look, runners, wait_until
from tests.support.docker_env import remove_sandboxes
from tests.support.frames import DaemonRestarted, Frame, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.repos import git, make_repository
from tests.support.scripts import script

STEP_RUNS = 31
FEWEST_KILLS, MOST_KILLS = 2, 6
KILLS_WITHIN = 7.0
"""Seconds: about what an undisturbed run takes."""
MOST_RESUMES = 8
COMPLETED_WITHIN = HANG_SECONDS
PROMPT = 1.0
WORKFLOW = r"""
version: "1.0"
name: hard
steps:
  - {id: plan, type: agent, prompt: "plan {{task.title}}", outputs: [{name: plan, required: true}]}
  - id: outer
    type: loop
    max_iterations: 5
    until: steps.count.outputs.stdout == 3
    steps:
      - {id: write, type: agent, prompt: "write after {{steps.plan.outputs.plan}}", outputs: [{name: wrote}]}
      - id: inner
        type: loop
        max_iterations: 5
        until: steps.check.outputs.success == true
        steps:
          - {id: tick, type: command, command: "set -e; printf '%s\\n' {{steps.write.outputs.wrote}} >> log.txt; sleep 0.03; wc -l < log.txt"}
          - {id: check, type: command, command: "n=$(wc -l < log.txt) && test $(( n % 3 )) = 0"}
      - {id: count, type: command, command: "echo {{steps.tick.outputs.stdout}} >> rounds; wc -l < rounds", commit: "round {{steps.count.outputs.stdout}}"}
  - id: both
    type: parallel
    limit: 2
    steps:
      - {id: left, type: command, command: "set -e; sleep 0.05; echo left > left.txt"}
      - {id: middle, type: agent, prompt: middle}
      - {id: right, type: command, command: "echo right > right.txt; sleep 0.1"}
  - {id: trim, type: agent, prompt: trim, outputs: [{name: trimmed}]}
  - {id: polish, type: agent, prompt: polish, outputs: [{name: polished}]}
  - {id: last, type: command, command: "set -e; echo {{steps.polish.outputs.polished}} >> log.txt; sha256sum *.txt *.py rounds > sums; cat sums"}
"""

SCRIPT = script(
    plan=[{"say": "p", "delay": 0.1, "outputs": {"plan": "it's a \"plan\" $HOME"},
           "edits": [{"path": "PLAN.txt", "content": "plan\n"}]}],
    write=[{"say": "w", "delay": 0.05, "outputs": {"wrote": "it's $(id)"},
            "edits": [{"path": "src/a.txt", "content": "a\n" * 100},
                      {"path": "b.txt", "content": "b\n"}]}],
    middle=[{"delay": 0.1, "edits": [{"path": "middle.txt", "content": "m\n"}]}],
    trim=[{"say": "t", "delay": 0.05, "outputs": {"trimmed": "yes"},
           "edits": [{"path": "b.txt", "delete": True},
                     {"path": "calc.py", "content": "def add(a, b):\n    return a + b\n"}]}],
    polish=[{"say": "f", "delay": 0.1, "outputs": {"polished": "shiny"},
             "run": "mkdir -p deep/er && echo x > deep/er/x && git add -A && git commit -qm mine || :",
             "edits": [{"path": "src/a.txt", "content": "z\n"}]}],
)  # fmt: skip

CONFIG = """
idle_exit: 600
sweep_interval: 2
spare_sandboxes: 1
retry: {interrupted_first: 0.1, transient_first: 0.1, jitter: 0}
"""


@dataclass
class Observations:
    """What was seen of a task from outside while it was tried hard. Times in seconds."""

    kills: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    idle_since: float | None = None
    longest_idle: float = 0
    hurt: tuple[float, int] | None = None
    longest_recovery: float = 0
    told: list[str] = field(default_factory=list)

    def killed(self, who: Sequence[str], now: float, size: int) -> None:
        """Some processes were killed while the journal had that size."""
        self.kills.update(name.split()[0] for name in who)
        self.told += who
        self.hurt = self.hurt or (now, size)

    def look(self, view: Frame, works: bool, asked: float, size: int) -> None:
        """A view that was asked for at `asked`. While no daemon lives, nothing is shown: time
        counts only from one prompt answer to the next. It has recovered when a daemon answers
        and the journal grows again."""
        now = time.monotonic()
        if self.hurt is not None and (size > self.hurt[1] or view["status"] == "COMPLETED"):
            self.longest_recovery = max(self.longest_recovery, now - self.hurt[0])
            self.hurt = None
        if view["status"] != "IN_PROGRESS" or works or now - asked > PROMPT:
            self.idle_since = None
        else:
            self.idle_since = self.idle_since or now
            self.longest_idle = max(self.longest_idle, now - self.idle_since)


@dataclass
class TrialResult:
    """One run: what it came to, and what was seen meanwhile."""

    seed: int
    engine: str
    watch: Observations
    outcome: Outcome
    seconds: float


@dataclass
class CrashScenario:
    """A data folder with its daemon, a repository and a client."""

    client: LauncherClient
    repository: Path
    calm: dict[str, tuple[Outcome, str]] = field(default_factory=dict)
    pace: float = 1
    """How much longer an undisturbed run takes here and now than on a machine that has nothing
    else to do."""

    def try_hard(self, seed: int, engine: str) -> TrialResult:
        """One task under kills that the seed decides. AssertionError: something was lost."""
        expected, expected_tree = self.undisturbed(engine)
        chance = random.Random(seed)
        task = self.create(engine, f"seed-{seed}")
        moments = sorted(
            chance.uniform(0, KILLS_WITHIN) for _ in range(chance.randint(FEWEST_KILLS, MOST_KILLS))
        )
        plan = [(m, chance.sample(VICTIMS[engine], chance.choice((1, 1, 1, 2)))) for m in moments]
        watch = Observations()
        began = time.monotonic()
        done = self.follow(task, engine, plan, watch)
        said = f"seed {seed}, {engine}, killed: {watch.told}, plan {plan}"
        found, tree = self.result(done)
        found.check_equals(expected)
        assert tree == expected_tree, said + git(self.repository, "diff", expected_tree, tree)
        home = self.client.home
        none_left = f"no process is left: {said}"
        wait_until(lambda: not alive_processes(home, task["id"]), none_left)
        assert not any("not in your repository" in w for w in done.get("warnings") or []), said
        return TrialResult(seed, engine, watch, found, time.monotonic() - began)

    def undisturbed(self, engine: str) -> tuple[Outcome, str]:
        """A run that nobody kills; once for an engine."""
        if engine not in self.calm:
            began = time.monotonic()
            task = self.create(engine, f"calm-{engine}")
            done = self.client.wait_until(task["id"], "COMPLETED", timeout=COMPLETED_WITHIN)
            self.pace = max(self.pace, (time.monotonic() - began) / KILLS_WITHIN)
            self.calm[engine] = self.result(done)
            assert self.calm[engine][0].steps == STEP_RUNS
            assert self.calm[engine][0].repeats == 0
        return self.calm[engine]

    def create(self, engine: str, key: str) -> Frame:
        return self.patient(
            "create_task", description="Try it hard", workflow="hard", agent="scripted",
            engine=engine, script=SCRIPT, request_key=key,
        )["task"]  # fmt: skip

    def patient(self, tool: str, **arguments: Any) -> Frame:
        """A call that is repeated when the daemon is killed under it."""
        end = time.monotonic() + COMPLETED_WITHIN
        while True:
            try:
                return self.client.tool(tool, **arguments)
            except DaemonRestarted:
                assert time.monotonic() < end, f"{tool} is never answered"

    def journal(self, task: Frame) -> Path:
        return self.client.home / "tasks" / task["id"] / "iterations/1/run/journal.jsonl"

    def result(self, task: Frame) -> tuple[Outcome, str]:
        tree = git(self.repository, "rev-parse", f"{task['branch']}^{{tree}}")
        return outcome(self.journal(task)), tree

    def follow(
        self, task: Frame, engine: str, plan: Sequence[tuple[float, list[str]]], watch: Observations
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
            size = self.size(task)
            if due and (killed := kill_some(self.client.home, task["id"], pending[0][1])):
                watch.killed(killed, time.monotonic(), size)
                pending.pop(0)
            asked = time.monotonic()
            view = self.patient("inspect", task=task["id"])["task"]
            watch.look(view, self.works(task, engine), asked, self.size(task))
            if view["status"] == "COMPLETED":
                return view
            if view["status"] == "FAILED" or (
                view["status"] == "PAUSED" and not view["pause"].get("retry_at")
            ):
                watch.resumes += 1
                why = json.dumps(view.get("error") or view["pause"])
                watch.told.append(f"{view['status']}: {why}")
                assert watch.resumes <= MOST_RESUMES, watch
                self.patient("resume_task", task=task["id"])
            pause_after_look(asked)

    def size(self, task: Frame) -> int:
        try:
            return self.journal(task).stat().st_size
        except FileNotFoundError:
            return 0

    def works(self, task: Frame, engine: str) -> bool:
        if engine == "bubblewrap":
            return bool(runners(self.client.home, task["id"]))
        with closing(docker.from_env(timeout=600)) as found:
            # Only listed: one that is being removed cannot be looked at any more.
            return bool(found.api.containers(filters={"name": f"rover-{task['id'][:12]}"}))


@contextmanager
def open_scene() -> Iterator[CrashScenario]:
    """A scene of its own; everything of it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rover-crash-"))
    home, repository = folder / "data", make_repository(folder / "repo")
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    workflows = repository / ".rover" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "hard.yaml").write_text(WORKFLOW)
    try:
        with LauncherClient(home, repository) as client:
            client.open()
            yield CrashScenario(client, repository)
    finally:
        end_daemon(home)
        if address := os.environ.get("DOCKER_HOST"):
            remove_sandboxes(home, address)
        shutil.rmtree(folder, ignore_errors=True)
