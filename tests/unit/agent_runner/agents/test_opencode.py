"""The opencode driver: what its events and its log mean, what it starts, and how it ends. Lines
recorded from version 1.18.33 against the fake provider; tests/matrix drives the real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent_runner.agents.headless import parse_line
from agent_runner.agents.opencode import OpencodeAgent, OpencodeStream, split_model
from agent_runner.agents.protocol import AgentFailed, SessionLost
from agent_runner.classify.verdict import classify
from agent_runner.models import AgentSession, PauseReason, Usage
from agent_runner.spec import RunSpec
from tests.support.player import Player

RECORDED = Path(__file__).parent / "recorded" / "opencode"
NOW = datetime(2026, 11, 25, 21, 23, tzinfo=UTC)
SESSION = "ses_deb6a2417ffeu4qk8k20DYQ01D"


def log_of(name: str) -> str:
    return (RECORDED / f"{name}.stderr").read_text()


def reading(name: str) -> tuple[OpencodeStream, list[str]]:
    found, lines = OpencodeStream("anthropic"), list[str]()
    for line in log_of(name).splitlines():
        lines += found.take_stderr(line)
    events = RECORDED / f"{name}.jsonl"
    for line in events.read_text().splitlines() if events.exists() else ():
        lines += found.take(parse_line(line) or {})
    return found, lines


def test_a_success_tells_what_was_done() -> None:
    found, lines = reading("write")
    assert found.succeeded
    assert (found.session_id, found.version) == (SESSION, "1.18.33")
    assert found.text == "All done."
    assert found.usage == Usage(
        input_tokens=200, output_tokens=50, cache_read_tokens=40, cache_write_tokens=20
    )
    assert "write /workspace/hello.txt" in lines


def test_a_cost_is_reported_if_the_price_is_known() -> None:
    found, _ = reading("said")
    assert found.usage.cost_usd == pytest.approx(0.0007185)


def test_the_providers_own_words_decide() -> None:
    found, _ = reading("credit")
    assert not found.succeeded
    verdict = classify([found.failure(1, [])], NOW)
    assert (verdict.reason, verdict.provider) == (PauseReason.CREDITS, "anthropic")


def test_what_it_waits_out_in_silence_is_known_from_its_log() -> None:
    """No event tells it."""
    found, lines = reading("waits")
    assert found.session_id
    assert not found.ended
    verdict = classify([found.failure(143, [])], NOW)
    assert verdict.reason is PauseReason.INTERRUPTED
    assert "rate limit" in verdict.message
    assert any("trying again" in line for line in lines)


def test_a_log_line_that_a_model_wrote_into_another_is_not_believed() -> None:
    """D3."""
    found = OpencodeStream("anthropic")
    line = log_of("waits").splitlines()[-1]
    assert found.take_stderr(f"tool said: {line}") == []
    assert found.take_stderr("message=created id=ses_x version=1.0.0") == []
    assert found.failure(1, []).interrupted


def test_a_further_model_call_means_that_the_run_has_not_ended() -> None:
    found, _ = reading("write")
    found.take({"type": "step_start", "part": {}})
    assert not found.ended
    found.take({"type": "step_finish", "part": {"reason": "length"}})
    assert not found.succeeded
    assert found.failure(0, []).code == "max_output_tokens"


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (None, ("anthropic", "claude-sonnet-4-5")),
        ("openai/gpt-5.1", ("openai", "gpt-5.1")),
        ("google/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("claude-opus-4-5", ("anthropic", "claude-opus-4-5")),
    ],
)
def test_a_models_prefix_is_its_provider(named: str | None, found: tuple[str, str]) -> None:
    assert split_model(named) == found


@pytest.fixture
def play(tmp_path: Path):
    def made(name: str, ending: str = "") -> Player:
        recording = RECORDED / f"{name}.jsonl"
        return Player(tmp_path, "opencode", recording, ending, stderr=log_of(name))

    return made


def test_the_prompt_and_the_token_are_not_on_the_command_line(bare: RunSpec, play: Any) -> None:
    """A secret is where it is needed, and nowhere else."""
    player = play("write")
    outcome = player.run(OpencodeAgent(player.program), bare, model="openai/gpt-5.1")
    note = json.loads(player.note.read_text())
    assert "the-token" not in " ".join(note["argv"])
    assert note["stdin"] == "the prompt\n"
    config = json.loads(note["env"]["OPENCODE_CONFIG_CONTENT"])
    options = config["provider"]["openai"]["options"]
    assert options == {"baseURL": "http://127.0.0.1:8377/openai/v1", "apiKey": "the-token"}
    assert config["enabled_providers"] == ["openai"]
    # It copies the work tree with git around each step otherwise, which nothing here reads.
    assert config["snapshot"] is False
    assert outcome.session == AgentSession(agent="opencode", session_id=SESSION, version="1.18.33")
    # Told once, before the first event.
    assert player.sessions == [outcome.session]


def test_it_resumes_by_its_id(bare: RunSpec, play: Any) -> None:
    """F8."""
    player = play("write")
    session = AgentSession(agent="opencode", session_id=SESSION, version="1.18.33")
    player.run(OpencodeAgent(player.program), bare, resume=session)
    argv = json.loads(player.note.read_text())["argv"]
    assert argv[-2:] == ["-s", SESSION]
    assert "--title" not in argv


def test_an_exit_status_fails_whatever_the_events(bare: RunSpec, play: Any) -> None:
    """The exit status alone is not a verdict."""
    player = play("write", "sys.exit(1)")
    with pytest.raises(AgentFailed):
        player.run(OpencodeAgent(player.program), bare)


def test_a_lost_session_is_its_own_error(bare: RunSpec, tmp_path: Path) -> None:
    (tmp_path / "nothing.jsonl").write_text("")
    player = Player(
        tmp_path, "opencode", tmp_path / "nothing.jsonl", "sys.exit(1)", stderr=log_of("lost")
    )
    session = AgentSession(agent="opencode", session_id="ses_gone")
    with pytest.raises(SessionLost):
        player.run(OpencodeAgent(player.program), bare, resume=session)


def test_silence_ends_the_run(bare: RunSpec, tmp_path: Path) -> None:
    """D4: as when it obeys a long retry-after."""
    (tmp_path / "nothing.jsonl").write_text("")
    player = Player(
        tmp_path, "opencode", tmp_path / "nothing.jsonl", "time.sleep(300)", log_of("waits")
    )
    with pytest.raises(AgentFailed) as failed:
        player.run_silent(OpencodeAgent(player.program), bare)
    assert failed.value.failure.code == "silence"
    assert failed.value.session
