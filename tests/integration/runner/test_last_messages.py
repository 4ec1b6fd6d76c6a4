"""What an agent's last message says of a failure, and what the gateway saw of it (D3): the real
interpreter, and a driver whose turn ends as over the Agent Client Protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.agents.acp_events import AcpStream
from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest
from agent_runner.gateway_evidence import Calls
from agent_runner.models import ExitCode, Failure, PauseReason, Usage
from agent_runner.process.commands import CommandStarter
from tests.support.runs import RunFolders

FLOW = """
version: "1.0"
name: w
steps:
  - {id: s, type: agent, prompt: "THE PROMPT"}
"""
FINISHED = "Error: the limiter answers 429 Too Many Requests now; all 34 tests pass."
LIMITED = "Error: Execution failed: 402 You have no quota"
UNKNOWN = "Error: something that nobody has seen yet"
GOOD, BAD, MIXED = (
    Calls(3, last_failed=False),
    Calls(0, last_failed=True),
    Calls(3, last_failed=True),
)
REFUSAL = Failure("gateway", "Weekly usage limit reached", "openai", 429)


class LastMessage:
    """A turn that ends well, with a last message."""

    name = "one"
    provider = "openai"

    def __init__(self, said: str) -> None:
        self.reading = AcpStream()
        content = {"type": "text", "text": said}
        self.reading.take({"sessionUpdate": "agent_message_chunk", "content": content})

    def presets_session(self) -> bool:
        return False

    async def version(self, commands: CommandStarter) -> str | None:
        return "1"

    async def run(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        assert self.reading.verdict({"stopReason": "end_turn"}, "openai") is None
        doubt = self.reading.doubt("openai")
        return AgentOutcome(self.reading.text, None, Usage(), doubt=doubt)


class ErrorMessage(LastMessage):
    """A turn that ends with an error of nothing but words."""

    async def run(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        raise AgentFailed(Failure("agent", "Weekly usage limit reached", "openai"))


@pytest.mark.parametrize(
    ("said", "calls", "reason"),
    [
        # Nothing passed through the gateway: the words alone decide.
        (FINISHED, None, None),
        (UNKNOWN, None, None),
        (LIMITED, None, PauseReason.USAGE_WINDOW),
        # The provider answered to the end: no words make a limit of it.
        (FINISHED, GOOD, None),
        (LIMITED, GOOD, None),
        ("Ran into this error: Rate limit exceeded", GOOD, None),
        # It refused at the end: no words make a success of it.
        (UNKNOWN, MIXED, PauseReason.USAGE_WINDOW),
        (FINISHED, MIXED, PauseReason.USAGE_WINDOW),
        ("I could not reach the model.", BAD, PauseReason.USAGE_WINDOW),
        ("", BAD, PauseReason.USAGE_WINDOW),
        # A side call may be refused behind finished work.
        ("All done.", MIXED, None),
    ],
)
def test_what_the_gateway_saw_outweighs_a_last_message(
    said: str, calls: Calls | None, reason: PauseReason | None, tmp_path: Path
) -> None:
    """D3."""
    p = RunFolders(tmp_path / "task", FLOW)
    p.evidence.made = calls
    p.evidence.seen = [REFUSAL] if calls and calls.last_failed else []
    ended = p.start(agent="one", driver=LastMessage(said))
    assert ended is (ExitCode.PAUSED if reason else ExitCode.COMPLETED)
    assert (p.state.pause and p.state.pause.reason) == reason


@pytest.mark.parametrize(
    ("calls", "reason"), [(GOOD, PauseReason.TRANSIENT), (None, PauseReason.USAGE_WINDOW)]
)
def test_words_of_a_failure_close_no_account_that_has_just_answered(
    calls: Calls | None, reason: PauseReason, tmp_path: Path
) -> None:
    """D3: it is tried again in place, and pauses as a passing trouble."""
    p = RunFolders(tmp_path / "task", FLOW)
    p.evidence.made = calls
    assert p.start(agent="one", driver=ErrorMessage("")) is ExitCode.PAUSED
    assert p.state.pause is not None
    assert p.state.pause.reason is reason
