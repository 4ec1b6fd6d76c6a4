"""Real agents over the Agent Client Protocol, against a fake provider: a task, a pause on credits,
and on in the same session in another process (D1, F8)."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from agent_runner.acp_programs import AcpProgram
from agent_runner.agents.acp import AcpAgent
from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest
from agent_runner.classify.verdict import classify
from agent_runner.models import AgentSession, PauseReason
from agent_runner.process.spawn import make_commands
from agent_runner.spec import WrapCommand
from rover_mcp.sandbox import agent_programs
from tests.support.fake_models import FakeModels
from tests.support.models.turns import credit, text, write
from tests.unit.agent_runner.conftest import make_spec

_OPENCODE = {
    "provider": {
        "anthropic": {"options": {"baseURL": "{base_url}/anthropic/v1", "apiKey": "{token}"}}
    },
    "model": "anthropic/claude-sonnet-4-5",
    "small_model": "anthropic/claude-sonnet-4-5",
    "permission": "allow",
    "autoupdate": False,
    "share": "disabled",
}
PROGRAMS = {
    "gemini": AcpProgram(
        acp=("gemini", "--acp"),
        provider="google",
        environment={"GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_CLI_TRUST_WORKSPACE": "true"},
        model="gemini-2.5-pro",
        model_arguments=("-m", "{model}"),
    ),
    "opencode": AcpProgram(
        acp=("opencode", "acp"),
        provider="anthropic",
        environment={
            "OPENCODE_CONFIG_CONTENT": json.dumps(_OPENCODE),
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        },
    ),
}


def _backdate(home: Path) -> None:
    """Gemini CLI 0.61 names a session's file by the minute, and a process that loads it within
    that minute writes over it."""
    for file in (home / ".gemini/tmp").rglob("session-*.jsonl"):
        file.rename(file.with_name(f"session-2026-01-01T00-00-{file.name.rpartition('-')[2]}"))


@pytest.mark.real_agent
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_task_a_pause_and_the_same_session_again(name: str, tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    (home / ".gemini").mkdir(parents=True)
    (home / ".gemini/settings.json").write_text('{"general": {"maxAttempts": 1}}')
    subprocess.run(["git", "init", "-q", work], check=True)
    program = agent_programs.obtain(name, None, print).folder / "bin"
    here = WrapCommand(prefix=["/usr/bin/env", "-C", str(work)], forwarder=[])
    environment = {"PATH": f"{program}:/usr/bin:/bin", "HOME": str(home)}
    spec = make_spec(work, here).model_copy(update={"environment": environment})
    sessions: list[AgentSession] = []

    def turn(base_url: str, prompt: str, resume: AgentSession | None) -> AgentOutcome:
        request = AgentRequest(
            step_id="s", prompt=prompt, session_id="", resume=resume, model=None,
            base_url=base_url, token="the-token", silence=300, timeout=300,
            on_session=sessions.append, on_usage=print, on_log=print,
        )  # fmt: skip
        return anyio.run(AcpAgent(name, PROGRAMS[name]).run, request, make_commands(spec))

    with FakeModels() as fake:
        fake.push(write(str(work / "hello.txt"), "hi\n"), credit(times=20))
        with pytest.raises(AgentFailed) as caught:
            turn(fake.url, "Write hello.txt", None)
        verdict = classify([caught.value.failure], datetime.now(UTC))
        assert verdict.reason == PauseReason.CREDITS
        assert (work / "hello.txt").read_text() == "hi\n"
        assert caught.value.session == sessions[0]
        assert sessions[0].version == agent_programs.pinned_version(name)

        _backdate(home)
        fake.clear()
        fake.push(text("Done now."))
        outcome = turn(fake.url, "Go on", sessions[0])
    assert outcome.text == "Done now."
    assert outcome.session == sessions[0]
    assert outcome.usage.output_tokens == 25
    assert any("Write hello.txt" in told for told in fake.main_requests[-1].texts)
