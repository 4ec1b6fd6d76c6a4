"""The codex driver: what its events and its rollout mean, what it starts, and how it ends. Lines
recorded from version 0.169.0 against the fake provider; tests/matrix drives the real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_runner.agents.codex import CodexAgent, CodexStream, read_rollout
from agent_runner.agents.headless import parse_line
from agent_runner.agents.protocol import AgentFailed, SessionLost
from agent_runner.classify.verdict import Verdict, classify
from agent_runner.models import AgentSession, PauseReason, Usage
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunSpec
from tests.support.player import Player

RECORDED = Path(__file__).parent / "recorded" / "codex"
NOW = datetime(2026, 11, 25, 21, 23, tzinfo=UTC)


def reading(
    name: str, *, resumed: bool = False, rollout: bool = True
) -> tuple[CodexStream, list[str]]:
    found, lines = CodexStream(resumed=resumed), list[str]()
    for line in (RECORDED / f"{name}.jsonl").read_text().splitlines():
        lines += found.take(parse_line(line) or {})
    file = RECORDED / f"{name}.rollout.jsonl"
    if rollout and file.exists():
        found.rollout = read_rollout(file.read_text().splitlines())
    return found, lines


def verdict(name: str) -> Verdict:
    found, _ = reading(name)
    assert not found.succeeded
    return classify([found.failure(1, [])], NOW)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("credit", PauseReason.CREDITS),
        ("window", PauseReason.USAGE_WINDOW),
        ("rate", PauseReason.RATE_LIMIT),
        ("rate_none", PauseReason.RATE_LIMIT),
        ("overloaded", PauseReason.TRANSIENT),
        ("stream", PauseReason.TRANSIENT),
        ("server", PauseReason.TRANSIENT),
        ("reset", PauseReason.TRANSIENT),
        ("auth", PauseReason.AUTH),
    ],
)
def test_each_error_is_what_it_is_by_its_own_fields(name: str, reason: PauseReason) -> None:
    """The stream has the message, the rollout the class."""
    found = verdict(name)
    assert (found.reason, found.provider) == (reason, "openai")


def test_the_reset_of_a_usage_window_is_in_the_rollout() -> None:
    assert verdict("window").retry_at == datetime(2026, 11, 26, 0, 23, 15, tzinfo=UTC)
    without, _ = reading("window", rollout=False)
    told = classify([without.failure(1, [])], NOW)
    assert told.retry_at == datetime(2026, 11, 26, 0, 23, tzinfo=UTC)


def test_a_success_tells_what_was_done() -> None:
    found, lines = reading("write")
    assert found.succeeded
    assert found.text == "All done."
    assert found.usage == Usage(input_tokens=200, output_tokens=50, cache_read_tokens=40)
    assert "add /workspace/hello.txt" in lines


def test_a_resumed_turns_tokens_are_its_own() -> None:
    """The event's are the whole thread's, the earlier turns' too."""
    found, lines = reading("resume", resumed=True)
    assert found.usage == Usage(input_tokens=200, output_tokens=50, cache_read_tokens=40)
    assert any("echo shell-said" in line for line in lines)
    without, _ = reading("resume", resumed=True, rollout=False)
    assert without.usage == Usage()


def test_an_earlier_turns_error_is_not_this_ones() -> None:
    lines = (RECORDED / "credit.rollout.jsonl").read_text().splitlines()
    started = '{"type":"event_msg","payload":{"type":"task_started"}}'
    assert read_rollout([*lines, "cut {", started]).error == {}


def test_an_end_without_a_last_event_is_an_interruption() -> None:
    """The exit status alone is not a verdict."""
    found = CodexStream()
    found.take({"type": "thread.started", "thread_id": "t"})
    found.take({"type": "turn.started"})
    assert not found.succeeded
    assert found.failure(0, []).interrupted


def test_a_warning_of_the_agent_is_not_an_error() -> None:
    found = CodexStream()
    item = {"type": "error", "message": "Model metadata for `m` not found."}
    assert found.take({"type": "item.completed", "item": item})
    found.take({"type": "turn.completed", "usage": {}})
    assert found.succeeded


def test_the_output_of_a_command_is_not_an_error() -> None:
    """D3."""
    found = CodexStream()
    item = {
        "type": "command_execution",
        "command": "cat log",
        "exit_code": 1,
        "aggregated_output": "429 insufficient_quota",
    }
    found.take({"type": "item.completed", "item": item})
    assert found.failure(1, []).interrupted


@pytest.fixture
def play(tmp_path: Path):
    def made(name: str, ending: str = "") -> Player:
        return Player(tmp_path, "codex", RECORDED / f"{name}.jsonl", ending)

    return made


def test_the_prompt_and_the_token_are_not_on_the_command_line(bare: RunSpec, play: Any) -> None:
    """One retry, the gateway's address, no network of its own."""
    player = play("write")
    outcome = player.run(CodexAgent(player.program), bare, model="gpt-5.1-codex")
    note = json.loads(player.note.read_text())
    argv = " ".join(note["argv"])
    assert 'model_providers.rover.base_url="http://127.0.0.1:8377/openai/v1"' in argv
    assert "request_max_retries=1" in argv
    assert "stream_max_retries=1" in argv
    assert "-m gpt-5.1-codex" in argv
    assert "the-token" not in argv
    assert "the prompt" not in argv
    assert note["stdin"] == "the prompt\n"
    assert note["env"]["TZ"] == "UTC"
    assert note["env"]["ROVER_AGENT_TOKEN"] == "the-token"
    # Its id is known from the first line on, and its version with it.
    assert [s.version for s in player.sessions] == ["0.169.0"]
    assert outcome.session == player.sessions[0]


def test_it_resumes_by_its_id(bare: RunSpec, play: Any) -> None:
    """F8."""
    player = play("resume")
    session = AgentSession(agent="codex", session_id="01a21497-5788-7eb1-956e-7fcbe3f1d331")
    outcome = player.run(CodexAgent(player.program), bare, resume=session)
    argv = json.loads(player.note.read_text())["argv"]
    assert argv[-3:] == ["resume", session.session_id, "-"]
    assert outcome.session
    assert outcome.session.session_id == session.session_id


def test_the_rollout_is_read_as_the_agent_sees_it(bare: RunSpec, play: Any, tmp_path: Path) -> None:
    folder = tmp_path / ".codex/sessions/2026/11/25"
    folder.mkdir(parents=True)
    thread = json.loads((RECORDED / "window.jsonl").read_text().splitlines()[0])["thread_id"]
    rollout = (RECORDED / "window.rollout.jsonl").read_text()
    (folder / f"rollout-2026-11-25T21-23-15-{thread}.jsonl").write_text(rollout)
    player = play("window", "sys.exit(1)")
    with pytest.raises(AgentFailed) as failed:
        player.run(CodexAgent(player.program), bare)
    assert failed.value.failure.code == "usage_limit_exceeded"
    assert failed.value.failure.reset_at == datetime(2026, 11, 26, 0, 23, 15, tzinfo=UTC)


def test_a_lost_session_is_its_own_error(bare: RunSpec, play: Any, tmp_path: Path) -> None:
    (tmp_path / "nothing.jsonl").write_text("")
    said = "Error: thread/resume: thread/resume failed: no rollout found for thread id x"
    ending = f"print({said!r}, file=sys.stderr); sys.exit(1)"
    player = Player(tmp_path, "codex", tmp_path / "nothing.jsonl", ending)
    session = AgentSession(agent="codex", session_id="x")
    with pytest.raises(SessionLost):
        player.run(CodexAgent(player.program), bare, resume=session)


def test_silence_ends_the_run(bare: RunSpec, tmp_path: Path) -> None:
    """D4."""
    first = (RECORDED / "write.jsonl").read_text().splitlines()[0]
    (tmp_path / "first.jsonl").write_text(first + "\n")
    player = Player(tmp_path, "codex", tmp_path / "first.jsonl", "time.sleep(300)")
    with pytest.raises(AgentFailed) as failed:
        player.run_silent(CodexAgent(player.program), bare)
    assert failed.value.failure.code == "silence"
    assert failed.value.session


def test_a_program_that_is_missing_says_so(bare: RunSpec, play: Any) -> None:
    """M1."""
    player = play("write")
    Path(player.program).unlink()
    assert anyio.run(CodexAgent(player.program).version, make_commands(bare)) is None
    with pytest.raises(AgentFailed) as failed:
        player.run(CodexAgent(player.program), bare)
    assert failed.value.failure.code == "agent_missing"
