"""Gemini CLI lists and calls."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients.programs import agent_program, bare_environment, launcher, ran
from tests.support.fake_models import FakeModels
from tests.support.models.turns import text, tool

pytestmark = pytest.mark.real_agent


NOBODY = "http://127.0.0.1:1"


def gemini(server: list[str], repository: Path, user: Path, provider: str, *arguments: str) -> str:
    """One run of it, with this server; what it printed, without colours."""
    command, *rest = server
    settings = {
        "mcpServers": {"rover": {"command": command, "args": rest}},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
    }
    (user / ".gemini").mkdir(exist_ok=True)
    (user / ".gemini" / "settings.json").write_text(json.dumps(settings))
    environ = bare_environment(user) | {
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GOOGLE_GEMINI_BASE_URL": provider,
        "GEMINI_API_KEY": "of-nobody",
    }
    done = ran([agent_program("gemini"), *arguments], environ, repository)
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def test_its_model_calls_a_tool(shared: Path, tmp_path: Path) -> None:
    with FakeModels([tool("list_workflows"), text("There are some.")]) as provider:
        said = gemini(
            launcher(shared / "data"), shared / "repo", tmp_path, provider.session().google,
            "--approval-mode", "yolo", "--skip-trust", "-p", "Which workflows has Rover?",
        )  # fmt: skip
        assert "There are some." in said
        assert "create_task" in json.dumps(provider.main_requests[0].body["tools"])
        assert "swe-tdd" in json.dumps(provider.main_requests[1].body["contents"])
