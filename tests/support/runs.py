"""A real run of the interpreter in a folder: real git, bash and journal, and no sandbox."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from agent_runner.agents.protocol import Agent
from agent_runner.gateway_evidence import Calls
from agent_runner.journal.journal import FILE_NAME, Journal
from agent_runner.journal.journal_reader import read_journal
from agent_runner.journal.run_state import fold
from agent_runner.models import ExitCode, Failure, RunState
from agent_runner.process.spawn import make_commands
from agent_runner.run.attempt import PauseRequest, Run
from agent_runner.spec import GatewaySpec, Paths, Restore, RunLimits, RunSpec, WrapCommand

GIT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.invalid",
}


def git(folder: Path, *args: str) -> str:
    """Run git in a folder; its output without the last line break."""
    done = subprocess.run(
        ["git", *args], cwd=folder, env=GIT, capture_output=True, check=True, text=True
    )
    return done.stdout.rstrip("\n")


def own_task_id(folder: Path) -> str:
    """An id by a test's folder. What a command leaves behind is found by its task's id, on the
    whole machine, where other tests may be running."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:32]


class ManualClock:
    """Time that passes only when told to, or by a tick for each look at it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 10, tzinfo=UTC)
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        await anyio.lowlevel.checkpoint()


class SeenByGateway:
    """Evidence that a test sets."""

    def __init__(self) -> None:
        self.seen: list[Failure] = []
        self.made: Calls | None = None

    async def failures(self, since: datetime, provider: str | None = None) -> Sequence[Failure]:
        return self.seen

    async def calls(self, since: datetime, provider: str | None = None) -> Calls | None:
        return self.made

    async def news(self, after: int, wait: float) -> int | None:
        await anyio.sleep_forever()


@dataclass
class RunFolders:
    """The folders of one task, with a base repository of one commit."""

    root: Path
    workflow: str
    script: str | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    inputs: dict[str, str] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    evidence: SeenByGateway = field(default_factory=SeenByGateway)
    iteration: int = 1
    restore: Restore | None = None
    attempt: int = 0

    def __post_init__(self) -> None:
        for name in ("base", "work", "home", "run", "spec"):
            (self.root / name).mkdir(parents=True)
        base = self.root / "base"
        git(base, "init", "-q", "-b", "main")
        (base / "README").write_text("base\n")
        (base / ".gitignore").write_text("*.ignored\n")
        git(base, "add", "-A")
        git(base, "commit", "-q", "-m", "base")
        self.base_commit = git(base, "rev-parse", "HEAD")
        self._ids = count(1)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def run_folder(self) -> Path:
        return self.root / "run"

    def spec(self, **changes: Any) -> RunSpec:
        paths = Paths(
            spec=self.root / "spec",
            run=self.run_folder,
            workspace=self.work,
            home=self.root / "home",
            base_objects=self.root / "base/.git/objects",
            restore=self.root / "spec/restore.bundle",
        )
        values: dict[str, Any] = {
            "task_id": own_task_id(self.root),
            "number": 7,
            "iteration": self.iteration,
            "attempt": self.attempt,
            "title": "Mend the sum",
            "description": "It is wrong.",
            "branch": "rover/7-mend",
            "base_commit": self.base_commit,
            "agent": "scripted",
            "inputs": self.inputs,
            "paths": paths,
            "gateway": GatewaySpec(socket=self.root / "gateway.sock", token="t"),
            "isolation": WrapCommand(
                prefix=["env", "-C", str(self.work), "GIT_CONFIG_NOSYSTEM=1"], forwarder=[]
            ),
            "limits": self.limits,
            "restore": self.restore,
        }
        return RunSpec(**{**values, **changes})

    def write_spec(self, **changes: Any) -> RunSpec:
        """The spec folder of the next attempt, as a host would write it."""
        self.attempt += 1
        spec = self.spec(**changes)
        folder = self.root / "spec"
        (folder / "spec.json").write_text(spec.model_dump_json())
        (folder / "workflow.yaml").write_text(self.workflow)
        if self.script is not None:
            (folder / "script.yaml").write_text(self.script)
        return spec

    def start(
        self,
        *,
        stop: PauseRequest | None = None,
        journal_write: Any = None,
        driver: Agent | None = None,
        **changes: Any,
    ) -> ExitCode:
        """Run the next attempt to its end. `driver` is the driver of every agent."""
        spec = self.write_spec(**changes)
        arguments = {} if journal_write is None else {"write": journal_write}
        agents: dict[str, Any] = {} if driver is None else {"agent": lambda *_: driver}

        async def run() -> ExitCode:
            journal = Journal.open(self.run_folder / FILE_NAME, self.clock, **arguments)
            try:
                return await Run(
                    spec,
                    journal,
                    make_commands(spec),
                    self.evidence,
                    stop or PauseRequest(),
                    clock=self.clock,
                    sleep=self.clock.sleep,
                    new_id=lambda: f"00000000-0000-4000-8000-{next(self._ids):012}",
                    **agents,
                ).execute()
            finally:
                journal.close()

        return anyio.run(run)

    @property
    def state(self) -> RunState:
        return fold(read_journal(self.run_folder / FILE_NAME).records)

    def types(self) -> list[str]:
        return [str(r.type) for r in read_journal(self.run_folder / FILE_NAME).records]

    def calls(self) -> dict[str, int]:
        """How often the scripted agent was called, by step."""
        raw = json.loads((self.root / "home/.scripted/state.json").read_text())
        return raw["turns"]

    def leftovers(self) -> list[int]:
        """Processes of this place's commands that live, by their environment."""
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if str(self.root).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def kill_leftovers(self) -> None:
        """What a real sandbox does as it dies with its runner. A shell may just be forking, so
        until none is left."""
        while pids := self.leftovers():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def log(self, step: str) -> str:
        return (self.run_folder / "logs" / f"{step}.log").read_text()

    def result_tree(self) -> str:
        """What the branch holds, as the host would have it: from the bundles alone."""
        hub = self.root / "hub.git"
        git(self.root, "clone", "-q", "--bare", str(self.root / "base"), str(hub))
        for bundle in sorted((self.run_folder / "bundles").glob("*.bundle")):
            git(hub, "fetch", "-q", str(bundle), "+refs/rover/*:refs/rover/*")
        snapshot = self.state.snapshot
        assert snapshot is not None
        git(hub, "fsck", "--strict")
        return git(hub, "ls-tree", "-r", snapshot.head)
