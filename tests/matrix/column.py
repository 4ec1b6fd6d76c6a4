"""One agent's column: the real CLI in real containers, through the real launcher, daemon, gateway
and runner, against the fake provider. All tasks of a column run side by side."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox import layout
from tests.e2e.processes import wait_until
from tests.matrix.cells import CELLS, MODELS, SESSIONS, Cell, CellResult, ObservedPause, wrong_in
from tests.support.docker_env import docker_client
from tests.support.fake_models import FakeModels, Session
from tests.support.frames import LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.models.turns import text, write
from tests.support.repos import git, make_repository

PATIENCE = 2 * HANG_SECONDS
"""Seconds for one task to pause or to end, where many run side by side."""

SETTINGS = """\
auto_resume: false
concurrency: {concurrency}
limits:
  transient_delays: []
"""


@dataclass
class Column:
    """What the tasks of one agent share. `address` is the Docker engine's; None: bubblewrap."""

    agent: str
    folder: Path
    provider: FakeModels
    address: str | None
    concurrency: int = 4

    def __post_init__(self) -> None:
        self.home = self.folder / "data"
        self.home.mkdir(parents=True)
        settings = SETTINGS.format(concurrency=self.concurrency)
        (self.home / "config.yaml").write_text(settings)

    def run(self, cells: Sequence[Cell] = CELLS) -> list[CellResult]:
        """Play the cells; what became of each."""
        with ThreadPoolExecutor(len(cells)) as pool:
            return list(pool.map(self._play, cells))

    def _play(self, cell: Cell) -> CellResult:
        began = time.monotonic()
        # A repository each: they would wait for each other's lock.
        repository = make_repository(self.folder / cell.name)
        session = self.provider.session(f"{self.agent}-{cell.name}")
        # An account each: one that refuses holds all tasks of its own.
        env = session.environment(f"sk-key-of-{cell.name}")
        task = _Task(self, cell, session, repository)
        with LauncherClient(self.home, repository, env) as client:
            client.open()
            try:
                task.play(client)
            except AssertionError as error:
                task.wrong.append(str(error)[:500])
        seconds = time.monotonic() - began
        return CellResult(
            self.agent, cell.name, seconds, task.after, task.version, tuple(task.wrong)
        )

    def kill(self, task: str, signal: str) -> None:
        """Send a signal to a task's sandbox, once the agent's session is on disk."""
        with _engine(self.address) as engine:
            mine = {"label": f"dev.rover.task={task}"}
            (container,) = engine.containers.list(filters=mine)
            if kept := SESSIONS.get(self.agent):
                look = ["sh", "-c", f"test -s {layout.HOME}/{kept}"]
                user = str(layout.AGENT_UID)
                wait_until(
                    lambda: container.exec_run(look, user=user).exit_code == 0,
                    "the agent's session is on disk",
                )
            container.kill(signal)


@contextlib.contextmanager
def _engine(address: str | None) -> Iterator[Any]:
    with contextlib.closing(docker_client(address)) as client:
        yield client


class _Task:
    """One cell's task, from its making to its end."""

    def __init__(self, column: Column, cell: Cell, session: Session, repository: Path) -> None:
        self._column = column
        self._cell = cell
        self._session = session
        self._repository = repository
        self.wrong: list[str] = []
        self.after: float | None = None
        self.version: str | None = None

    def play(self, client: LauncherClient) -> None:
        column, cell, session = self._column, self._cell, self._session
        session.push(write("hello.txt", f"hello from {column.agent}\n"), cell.trouble)
        model = MODELS.get(column.agent)
        task = client.tool(
            "create_task",
            description="Write hello.txt: FIRST-PROMPT",
            workflow="quick",
            agent=column.agent,
            engine="docker" if column.address else "bubblewrap",
            **({"model": model} if model else {}),
        )["task"]["id"]
        if cell.signal is not None:
            session.wait_for(_waits, PATIENCE)
            column.kill(task, cell.signal)
        view = client.wait_until(task, "PAUSED", PATIENCE)
        self._check_pause(task, view)
        asked = len(session.main_requests)
        session.clear()
        session.push(text("It is written."))
        client.tool("resume_task", task=task)
        done = client.wait_until(task, "COMPLETED", PATIENCE)
        self._check_end(task, done, asked)

    def _check_pause(self, task: str, view: dict[str, Any]) -> None:
        trouble = [r for r in self._session.main_requests if r.answered != "write"]
        refused_at = datetime.fromtimestamp(trouble[0].at, UTC)
        pause = view["pause"]
        told = [r["data"]["pause"] for r in self._journal(task) if r["type"] == "workflow_pause"]
        if told:
            # As the runner judged it; the view's time is when it resumes automatically.
            pause = told[-1]
            since = datetime.fromisoformat(pause["since"])
            self.after = (since - refused_at).total_seconds()
        at = pause.get("retry_at") if told else None
        paused = ObservedPause(
            reason=pause["reason"],
            provider=pause.get("provider"),
            retry_at=datetime.fromisoformat(at) if at else None,
            after=self.after,
        )
        self.wrong += wrong_in(paused, self._cell, self._column.agent, refused_at)

    def _check_end(self, task: str, done: dict[str, Any], asked: int) -> None:
        later = self._session.main_requests[asked:]
        said = json.dumps(later[0].body) if later else ""
        if "FIRST-PROMPT" not in said or "hello.txt" not in said:
            self.wrong.append("the resumed request does not carry the earlier conversation")
        sessions = {
            (s["session_id"], s["version"])
            for s in (
                r["data"]["session"] for r in self._journal(task) if r["type"] == "agent_session"
            )
        }
        if len({name for name, _ in sessions}) != 1:
            self.wrong.append(f"sessions: {sorted(name for name, _ in sessions)}")
        self.version = next((v for _, v in sessions if v), None)
        if not self.version:
            self.wrong.append("no version in the session's record")
        content = git(self._repository, "show", f"{done['branch']}:hello.txt")
        if content != f"hello from {self._column.agent}":
            self.wrong.append(f"hello.txt: {content!r}")

    def _journal(self, task: str) -> list[dict[str, Any]]:
        path = TaskFolders(self._column.home, task, 1).journal
        return [json.loads(line) for line in path.read_text().splitlines()]


def _waits(session: Session) -> bool:
    return any(r.answered == "hang" for r in session.main_requests)
