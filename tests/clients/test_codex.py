"""Codex's app-server connects, lists and calls; headless, it has the tools at once. No login."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import agent_program, bare_environment, launcher, ran
from tests.support.fake_models import FakeModels
from tests.support.models.turns import text

pytestmark = pytest.mark.real_agent

CONFIG = """\
check_for_update_on_startup = false
[analytics]
enabled = false
[mcp_servers.rover]
command = {command}
args = {arguments}
startup_timeout_sec = 600
"""


class AppServer:
    """A session with `codex app-server`: JSON-RPC, one message a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._number = 0

    def send(self, **message: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def request(self, method: str, **params: Any) -> Any:
        """The result. The test's own time-out bounds the wait."""
        self._number += 1
        self.send(id=self._number, method=method, params=params)
        assert self._process.stdout
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == self._number and "method" not in message:
                assert "result" in message, message
                return message["result"]
        raise AssertionError(f"codex ended before it answered {method}")


@contextmanager
def app_server(home: Path, repository: Path, user: Path) -> Iterator[AppServer]:
    (user / ".codex").mkdir()
    command, *arguments = launcher(home)
    config = CONFIG.format(command=json.dumps(command), arguments=json.dumps(arguments))
    (user / ".codex" / "config.toml").write_text(config)
    with (
        (user / "stderr").open("w") as stderr,
        subprocess.Popen(
            [agent_program("codex"), "app-server"],
            env=bare_environment(user), cwd=repository, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
        ) as process,
    ):  # fmt: skip
        try:
            session = AppServer(process)
            info = {"name": "test", "title": "Test", "version": "1"}
            session.request("initialize", clientInfo=info)
            session.send(method="initialized")
            yield session
        finally:
            process.kill()


def test_it_connects_lists_and_calls(shared: Path, tmp_path: Path) -> None:
    with app_server(shared / "data", shared / "repo", tmp_path) as codex:
        (server,) = codex.request("mcpServerStatus/list")["data"]
        assert server["name"] == "rover"
        assert {"create_task", "wait_for_task", "resume_task"} <= set(server["tools"])

        thread = codex.request("thread/start", cwd=str(shared / "repo"))["thread"]["id"]
        called = codex.request(
            "mcpServer/tool/call",
            threadId=thread, server="rover", tool="list_workflows", arguments={},
        )  # fmt: skip
        names = [w["name"] for w in called["structuredContent"]["workflows"]]
        assert "swe-tdd" in names


EXEC = """\
check_for_update_on_startup = false
model = "gpt-5"
model_provider = "fake"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[analytics]
enabled = false
[model_providers.fake]
name = "fake"
base_url = {url}
env_key = "OPENAI_API_KEY"
wire_api = "responses"
[mcp_servers.rover]
command = {command}
args = {arguments}
"""


def codex_exec(server: list[str], repository: Path, user: Path, provider: str, prompt: str) -> str:
    """One headless run, with this server; what it printed."""
    command, *arguments = server
    (user / ".codex").mkdir(exist_ok=True)
    (user / ".codex" / "config.toml").write_text(
        EXEC.format(
            url=json.dumps(provider), command=json.dumps(command), arguments=json.dumps(arguments)
        )
    )
    environ = bare_environment(user) | {"OPENAI_API_KEY": "sk-of-nobody"}
    return ran([agent_program("codex"), "exec", prompt], environ, repository).stdout


def test_its_first_turn_has_the_tools_though_no_daemon_runs(
    home: Path, repository: Path, tmp_path: Path
) -> None:
    """T5: headless, it asks its model without the tools of a server that is not quick."""
    with FakeModels([text("I see them.")]) as provider:
        url = provider.session().openai
        assert "I see them." in codex_exec(launcher(home), repository, tmp_path, url, "Hello")
        offered = json.dumps(provider.main_requests[0].body["tools"])
    assert "create_task" in offered
    assert "wait_for_task" in offered
