"""Where a scenario is played: a repository, what happened before, and an assistant whose calls and
tokens are counted.

    @scenario("Is the task of last night done?")
    def paused_overnight(stage: Stage) -> None:
        stage.earlier(PAUSED, script=...)          # not counted
        with stage.assistant() as assistant:
            assistant.call("list_tasks")           # counted
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.processes import wait_until
from tests.support.facts import told_by
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.frames import MODERN, Frame, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.real_claude import claude_binary
from tests.support.repos import make_repository

MAX_CALLS = 6
MAX_TOKENS = 8_000
CHARACTERS_A_TOKEN = 4
"""As for the list of tools (tests/unit/server/test_tools.py)."""

PAUSED, COMPLETED, FAILED, CANCELLED = "PAUSED", "COMPLETED", "FAILED", "CANCELLED"

CONFIG: Mapping[str, Any] = {
    "agents": ["scripted"],
    "engine": "bubblewrap",
    "workflow": "quick",
    "concurrency": 6,
    "spare_sandboxes": 0,
    "retry": {"jitter": 0},
}
"""So that what an assistant passes is what a user's assistant would."""


@dataclass
class MeasuredCall:
    """One call: the tool, and what came back for the model, text and structured content."""

    tool: str
    tokens: float


class CallRefused(AssertionError):
    """A call that should have worked was answered with an error."""


class Assistant:
    """A session of its own; each call is measured. It knows of a result what its text says, and
    nothing else: some clients show their model no more."""

    def __init__(self, client: LauncherClient, measured: list[MeasuredCall]) -> None:
        self._client = client
        self._measured = measured

    def call(self, tool: str, /, **arguments: Any) -> Frame:
        """A call that works; what its text says, by its fields."""
        result = self._result(tool, arguments)
        while result.get("structuredContent", {}).get("returned") == "timeout":
            # Only a slow machine needs another call.
            self._measured.pop()
            result = self._result(tool, arguments)
        if result.get("isError"):
            raise CallRefused(result)
        return told_by(result["structuredContent"], text_of(result))

    def refused(self, tool: str, /, **arguments: Any) -> Frame:
        """A call that is answered with a tool error; what its text says."""
        result = self._result(tool, arguments)
        assert result.get("isError"), result
        return told_by(result["structuredContent"], text_of(result))["error"]

    def follow(self, action: Frame) -> Frame:
        """The call that a result proposes."""
        return self.call(action["tool"], **action["arguments"])

    def _result(self, tool: str, arguments: Frame) -> Frame:
        asked = {"name": tool, "arguments": arguments}
        result = self._client.request("tools/call", asked)["result"]
        text = json.dumps(result, separators=(",", ":"), ensure_ascii=False)
        self._measured.append(MeasuredCall(tool, len(text) / CHARACTERS_A_TOKEN))
        return result


def text_of(result: Frame) -> str:
    return "\n".join(part["text"] for part in result["content"])


@dataclass
class ScenarioRepository:
    """One scenario's repository `repository` in the data folder `home`. `provider` answers Claude."""

    home: Path
    folder: Path
    env: Mapping[str, str]
    provider: FakeAnthropic
    measured: list[MeasuredCall] = field(default_factory=list[MeasuredCall])

    def __post_init__(self) -> None:
        self.repository = make_repository(self.folder / "repo")

    @property
    def here(self) -> str:
        """The repository, as an assistant names it."""
        return str(self.repository)

    def client(self, **env: str) -> LauncherClient:
        """A launcher in the repository, opened."""
        client = LauncherClient(self.home, self.repository, {**self.env, **env})
        client.open()
        return client

    def earlier(self, wanted: str | None, **arguments: Any) -> Frame:
        """A task of a session that has ended, as `until` waits for it. Nobody was told of it, nor
        of others: a client of the Tasks extension takes a handle, and news only where it asks."""
        asked = {"name": "create_task", "arguments": {"description": "Fix add", **arguments}}
        with LauncherClient(self.home, self.repository, self.env) as client:
            client.capabilities = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
            client.open(MODERN)
            task = client.request("tools/call", asked)["result"]["taskId"]
            made = json.loads(_read(client, f"rover://tasks/{task}"))
        return self.until(task, wanted) if wanted else made

    def until(self, task: str, wanted: str) -> Frame:
        """The task once it has the status, or is in the step of that name; read in a way that
        tells no news."""
        seen: Frame = {}
        task = _whole(self.home, task)
        with self.client() as client:

            def reached() -> bool:
                seen.update(json.loads(_read(client, f"rover://tasks/{task}")))
                return wanted == seen["status"] or wanted in seen["phase"]

            wait_until(reached, f"task {task} is {wanted}")
        return seen

    @contextmanager
    def assistant(self, **env: str) -> Iterator[Assistant]:
        """A new session, as when the user comes back."""
        with self.client(**env) as client:
            yield Assistant(client, self.measured)


def _whole(home: Path, task: str) -> str:
    """The id that begins so."""
    with closing(sqlite3.connect(home / "rover.db", timeout=HANG_SECONDS)) as database:
        query = "SELECT id FROM rover_tasks WHERE id LIKE ?"
        return database.execute(query, (f"{task}%",)).fetchone()[0]


def _read(client: LauncherClient, uri: str) -> str:
    answer = client.request("resources/read", {"uri": uri})
    return answer["result"]["contents"][0]["text"]


@dataclass(frozen=True)
class Scenario:
    """`says`: the user's words. `newcomer`: its repository has no task when the assistant first
    asks, so that it is told of all that nobody was told of, in whatever repository: what others
    wait for."""

    name: str
    says: str
    play: Callable[[ScenarioRepository], None]
    newcomer: bool = False


SCENARIOS: list[Scenario] = []


def scenario(
    says: str, *, newcomer: bool = False
) -> Callable[[Callable[[ScenarioRepository], None]], Callable[[ScenarioRepository], None]]:
    """Add a scenario, called as its function."""

    def add(play: Callable[[ScenarioRepository], None]) -> Callable[[ScenarioRepository], None]:
        SCENARIOS.append(Scenario(play.__name__.replace("_", " "), says, play, newcomer))
        return play

    return add


def prepare(folder: Path, provider: FakeAnthropic) -> dict[str, str]:
    """The data folders `data` and `newcomers` in `folder`, and the environment of their clients:
    the real Claude Code and a provider on loopback, no key, and no container engine."""
    for home in (folder / "data", folder / "newcomers"):
        home.mkdir()
        (home / "config.yaml").write_text(json.dumps(CONFIG))
    (folder / "bin").mkdir()
    (folder / "bin" / "claude").symlink_to(claude_binary())
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "ANTHROPIC_BASE_URL": provider.url,
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
    }
