"""The claude driver: what it starts, and how it ends. A script plays the CLI;
tests/integration drives the real one."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from agent_runner.agents.claude import ClaudeAgent
from agent_runner.agents.protocol import AgentFailed, AgentOutcome, SessionLost
from agent_runner.models import AgentSession
from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunSpec
from tests.support.player import Player

RECORDED = Path(__file__).parent / "recorded"


class ClaudePlayer(Player):
    """It plays claude, which may wait for no more than 5 s."""

    def __init__(self, folder: Path, recording: str, ending: str) -> None:
        super().__init__(folder, "claude", RECORDED / f"{recording}.jsonl", ending)

    def turn(self, spec: RunSpec, **changes: object) -> AgentOutcome:
        return self.run(ClaudeAgent(self.program, max_retry_delay=5), spec, **changes)


@pytest.fixture
def play(tmp_path: Path):
    return lambda recording, ending="": ClaudePlayer(tmp_path, recording, ending)


def test_the_prompt_and_the_token_are_not_on_the_command_line(bare: RunSpec, play) -> None:
    """One retry, quiet, the caller's session id."""
    player = play("write")
    player.turn(bare, model="opus")
    note = json.loads(player.note.read_text())
    assert note["argv"] == [
        *("-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"),
        *("--session-id", player.request.session_id, "--model", "opus"),
    ]
    assert note["stdin"] == "the prompt\n"
    expected = {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8377/anthropic",
        "ANTHROPIC_API_KEY": "the-token",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "API_TIMEOUT_MS": "120000",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }
    assert expected.items() <= note["env"].items()
    assert "IS_SANDBOX" not in note["env"]


def test_a_success_tells_its_session_usage_and_text(bare: RunSpec, play) -> None:
    player = play("write")
    outcome = player.turn(bare)
    assert outcome.text == "All done."
    assert [s.version for s in player.sessions] == ["2.1.330"]
    assert outcome.session == player.sessions[0]
    assert outcome.usage.cost_usd == pytest.approx(0.001908)
    # While it ran: each message once, and no cost yet.
    assert [u.input_tokens for u in player.used] == [100, 100]
    assert [u.cost_usd for u in player.used] == [None, None]


def test_resume_names_the_session(bare: RunSpec, play) -> None:
    """F8."""
    player = play("resume")
    session = AgentSession(agent="claude", session_id="0813bfdc-c7d9-486e-98d7-14f62eb863de")
    outcome = player.turn(bare, resume=session)
    argv = json.loads(player.note.read_text())["argv"]
    assert argv[-2:] == ["--resume", session.session_id]
    assert "--session-id" not in argv
    assert outcome.session
    assert outcome.session.session_id == session.session_id


def test_an_error_result_fails_whatever_the_exit_status(bare: RunSpec, play) -> None:
    """The exit status alone is not a verdict."""
    with pytest.raises(AgentFailed) as failed:
        play("credit", "sys.exit(0)").turn(bare)
    assert failed.value.failure.code == "billing_error"
    assert failed.value.usage.cost_usd == pytest.approx(0.000954)
    assert failed.value.session


def test_an_exit_status_fails_whatever_the_result(bare: RunSpec, play) -> None:
    with pytest.raises(AgentFailed):
        play("write", "sys.exit(1)").turn(bare)


def test_an_end_without_a_result_is_an_interruption(bare: RunSpec, play) -> None:
    with pytest.raises(AgentFailed) as failed:
        play("sigterm", "print('last words', file=sys.stderr); sys.exit(0)").turn(bare)
    assert failed.value.failure.interrupted
    assert failed.value.failure.message.endswith("last words")


def test_a_lost_session_is_its_own_error(bare: RunSpec, play) -> None:
    session = AgentSession(agent="claude", session_id="x")
    with pytest.raises(SessionLost):
        play("lost", "sys.exit(1)").turn(bare, resume=session)


def test_a_long_wait_announced_ends_the_run_at_once(bare: RunSpec, play, tmp_path: Path) -> None:
    """D5: the runner does the waiting; 7 s is beyond this test's 5."""
    first = (RECORDED / "rate_limit.jsonl").read_text().splitlines()[:2]
    player = play("rate_limit", "time.sleep(300)")
    cut = tmp_path / "cut.jsonl"
    cut.write_text("\n".join(first) + "\n")
    program = Path(player.program)
    program.write_text(program.read_text().replace(str(RECORDED / "rate_limit.jsonl"), str(cut)))
    with pytest.raises(AgentFailed) as failed:
        player.turn(bare)
    assert failed.value.failure.status == 429
    assert failed.value.failure.retry_after == pytest.approx(7.177)


def test_silence_ends_the_run(bare: RunSpec, play) -> None:
    """D4: as a connection's time-out, worth another try."""
    player = play("sigterm", "time.sleep(300)")
    with pytest.raises(AgentFailed) as failed:
        player.run_silent(ClaudeAgent(player.program), bare)
    assert failed.value.failure.code == "silence"
    assert failed.value.session


def test_the_steps_time_limit_ends_the_run(bare: RunSpec, play) -> None:
    """D4: not retryable."""
    with pytest.raises(TimeoutError, match=r"within 0\.3 s"):
        play("sigterm", "time.sleep(300)").turn(bare, timeout=0.3)


def test_what_runs_on_after_the_result_is_not_waited_for(
    bare: RunSpec, play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_runner.agents.headless.EXIT_SECONDS", 0.1)
    assert play("write", "time.sleep(300)").turn(bare).text == "All done."


def test_a_program_that_is_missing_says_so(switched: RunSpec, play) -> None:
    """M1."""
    player = play("write")
    Path(player.program).unlink()
    from tests.unit.agent_runner.conftest import in_own_thread

    async def work() -> None:
        agent = ClaudeAgent(player.program)
        commands = make_commands(switched)
        assert await agent.version(commands) is None
        with pytest.raises(AgentFailed) as failed:
            await agent.run(player.request, commands)
        assert failed.value.failure.code == "agent_missing"

    in_own_thread(work)


def test_the_version_is_asked_once(bare: RunSpec, tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text(
        f"#!/bin/sh\necho called >> {tmp_path}/calls\necho '2.1.330 (Claude Code)'\n"
    )
    program.chmod(0o755)

    async def work() -> None:
        agent, commands = ClaudeAgent(str(program)), make_commands(bare)
        assert [await agent.version(commands) for _ in range(2)] == ["2.1.330", "2.1.330"]

    anyio.run(work)
    assert (tmp_path / "calls").read_text() == "called\n"
