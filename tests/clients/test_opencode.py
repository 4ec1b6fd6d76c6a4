"""opencode connects, lists and calls, and leaves the daemon alone when it ends its servers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients.programs import agent_program, bare_environment, launcher, ran
from tests.e2e.conftest import daemon_pid
from tests.e2e.processes import is_alive
from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient
from tests.support.models.turns import text, tool

pytestmark = pytest.mark.real_agent

MODEL = "anthropic/claude-fake"


NOBODY = "http://127.0.0.1:1"


def opencode(
    server: list[str], repository: Path, user: Path, provider: str, *arguments: str
) -> str:
    """One run of it, with this server; what it printed, without colours."""
    rover = {"type": "local", "command": server, "enabled": True}
    options = {"baseURL": f"{provider}/v1", "apiKey": "sk-of-nobody"}
    config = {
        "mcp": {"rover": rover},
        "provider": {"anthropic": {"options": options, "models": {"claude-fake": {}}}},
        "enabled_providers": ["anthropic"],
        "model": MODEL,
        "small_model": MODEL,
        "permission": "allow",
        "autoupdate": False,
        "share": "disabled",
    }
    environ = bare_environment(user) | {
        "OPENCODE_CONFIG_CONTENT": json.dumps(config),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }
    done = ran([agent_program("opencode"), *arguments], environ, repository)
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def test_it_connects_and_does_not_end_the_daemon_with_its_server(
    home: Path, repository: Path, tmp_path: Path
) -> None:
    """It ends a server with all that descends from it; this one had to start the daemon."""
    said = opencode(launcher(home), repository, tmp_path, NOBODY, "mcp", "list")
    assert "rover connected" in said
    daemon = daemon_pid(home)
    assert is_alive(daemon)
    with LauncherClient(home, repository) as client:
        client.open()
        assert client.tool("list_tasks")["tasks"] == []
        assert daemon_pid(home) == daemon


def test_its_model_calls_a_tool(shared: Path, tmp_path: Path) -> None:
    with FakeModels([tool("list_workflows"), text("There are some.")]) as provider:
        url = provider.session().anthropic
        said = opencode(
            launcher(shared / "data"), shared / "repo", tmp_path, url,
            "run", "-m", MODEL, "Which workflows has Rover?",
        )  # fmt: skip
        assert "There are some." in said
        offered = [t["name"] for t in provider.main_requests[0].body["tools"]]
        assert "rover_create_task" in offered
        assert "swe-tdd" in json.dumps(provider.main_requests[1].body["messages"])
