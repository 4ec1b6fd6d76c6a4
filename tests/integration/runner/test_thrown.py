"""What a driver throws instead of reporting it, through the real interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest
from agent_runner.agents.scripted import ScriptedAgent
from agent_runner.models import ExitCode, Failure, RunState
from agent_runner.process.commands import CommandStarter
from tests.support.runs import RunFolders

FLOW = 'version: "1.0"\nname: w\nsteps: [{id: work, type: agent, prompt: do it}]\n'


def run_with(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ExitCode, RunState, list[float]]:
    async def run(
        self: ScriptedAgent, request: AgentRequest, commands: CommandStarter
    ) -> AgentOutcome:
        raise error

    monkeypatch.setattr(ScriptedAgent, "run", run)
    place = RunFolders(folder, FLOW)
    return place.start(), place.state, place.clock.slept


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), ExitCode.PAUSED),
        (ConnectionRefusedError(111, "Connection refused"), ExitCode.PAUSED),
        (FileNotFoundError(2, "No such file or directory"), ExitCode.FAILED),
    ],
)
def test_an_error_that_is_thrown_ends_as_one_that_is_reported(
    error: OSError, code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D6, D1, D2, D5: retried in place, then a pause with the same reason; or fatal."""
    reported = AgentFailed(Failure("agent", f"scripted: {error}"))
    thrown = run_with(error, tmp_path / "thrown", monkeypatch)
    told = run_with(reported, tmp_path / "told", monkeypatch)
    assert thrown[0] is told[0] is code
    assert thrown[2] == told[2] == ([10, 20] if code is ExitCode.PAUSED else [])
    assert _why(thrown[1]) == _why(told[1])
    assert str(error) in str(_why(thrown[1]))


def _why(state: RunState) -> tuple[object, ...]:
    pause = state.pause
    return (pause and (pause.reason, pause.message, pause.retry_at), state.error)
