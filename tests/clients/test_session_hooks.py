"""The SessionStart hooks of other assistants, as docs/clients.md says: each real program runs
`rover session-start`, and its model is told before its first word."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import BIN, agent_program, bare_environment, paused_task, ran
from tests.support.fake_models import FakeModels
from tests.support.models.turns import text
from tests.support.repos import make_repository

pytestmark = pytest.mark.real_agent

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
WORDS = {
    "codex": (
        "exec", "--skip-git-repo-check", "--dangerously-bypass-hook-trust",
        "-c", 'model_provider="fake"', "-c", 'model="gpt-5"',
    ),
    "gemini": ("--approval-mode", "yolo", "--skip-trust", "-p"),
    "qwen": ("--auth-type", "openai", "-m", "qwen3", "--approval-mode", "yolo", "-p"),
    "copilot": ("--allow-all-tools", "--no-ask-user", "-p"),
}  # fmt: skip
TITLES = {"codex": "Codex", "gemini": "Gemini CLI", "qwen": "Qwen Code", "copilot": "Copilot CLI"}


def documented(name: str) -> tuple[str, dict[str, Any]]:
    """The file below the home folder, and what the page says goes into it."""
    rows = re.findall(r"(?m)^\| ([\w ]+) \| `~/(.+?)` \| (.+) \|$", PAGE.read_text("utf-8"))
    found = {title: (file, told) for title, file, told in rows}
    told = found[TITLES[name]][1]
    told = found["Codex"][1] if told == "the same" else told
    return found[TITLES[name]][0], json.loads(told.strip("`"))


GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "general": {"enableAutoUpdate": False},
}


def _same_as_documented(written: dict[str, Any], told: dict[str, Any]) -> None:
    """The page's hook, with this installation's program."""
    said = json.dumps(written["hooks"]).replace(str(BIN / "rover"), "rover")
    assert json.loads(said) == told["hooks"]
    assert written.get("version") == told.get("version")


@pytest.mark.parametrize("name", sorted(WORDS))
def test_its_model_is_told_before_its_first_word(name: str, tmp_path: Path) -> None:
    """14-12."""
    user = tmp_path / "user"
    paused_task(tmp_path / "data")
    repository = make_repository(tmp_path / "repo")
    file, hooks = documented(name)
    (user / file).parent.mkdir(parents=True)
    with FakeModels([text("I see.")]) as provider:
        session = provider.session()
        (user / file).write_text(json.dumps(GEMINI if name == "gemini" else {}))
        setup = [BIN / "rover", "setup", name, "--session-hooks", "--no-notifications", "--write"]
        ran(setup, bare_environment(user), repository)
        _same_as_documented(json.loads((user / file).read_text()), hooks)
        if name == "codex":
            (user / ".codex" / "config.toml").write_text(
                f'[model_providers.fake]\nname = "fake"\nbase_url = "{session.openai}"\n'
                'wire_api = "responses"\nenv_key = "OPENAI_API_KEY"\n'
            )
        environ = bare_environment(user) | session.environment() | {
            "ROVER_HOME": str(tmp_path / "data"),
            "GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_CLI_TRUST_WORKSPACE": "true",
            "COPILOT_PROVIDER_BASE_URL": session.openai, "COPILOT_PROVIDER_TYPE": "openai",
            "COPILOT_PROVIDER_API_KEY": "of-nobody", "COPILOT_MODEL": "gpt-5",
            "COPILOT_OFFLINE": "true", "COPILOT_AUTO_UPDATE": "false",
        }  # fmt: skip
        environ["PATH"] = f"{BIN}:{environ['PATH']}"
        # In no project of Rover's, so it hears of all.
        ran([agent_program(name), *WORDS[name], "Hello"], environ, repository)
        first = json.dumps(session.main_requests[0].body)
    assert "task 1 of /repo is PAUSED (credits" in first
