"""Agent steps that go on, are taken over, or whose driver breaks: the real interpreter and a
driver that does as the test says."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from agent_runner.agents.protocol import AgentFailed, AgentOutcome, AgentRequest, SessionLost
from agent_runner.models import AgentSession, ExitCode, Failure, PauseReason, Usage
from agent_runner.process.commands import CommandStarter
from agent_runner.run.agent_prompts import resume_prompt
from agent_runner.spec import RunLimits
from tests.support.runs import RunFolders

FLOW = """
version: "1.0"
name: w
steps:
  - {id: look, type: command, command: "true"}
  - {id: s, type: agent, prompt: "THE PROMPT"}
"""
LOOP = """
version: "1.0"
name: w
steps:
  - id: outer
    type: loop
    max_iterations: 2
    steps:
      - {id: first, type: command, command: "true"}
      - id: inner
        type: loop
        max_iterations: 3
        steps:
          - {id: s, type: agent, prompt: "THE PROMPT"}
"""

Act = Callable[[AgentRequest, CommandStarter], Awaitable[None]]


class Driver:
    """Runs one act for each call; what it was asked is kept."""

    name = "one"
    provider = "anthropic"

    def __init__(self, *acts: Act, name: str = "one", presets: bool = True) -> None:
        self.name = name
        self.requests: list[AgentRequest] = []
        self._acts = list(acts)
        self._presets = presets

    def presets_session(self) -> bool:
        return self._presets

    async def version(self, commands: CommandStarter) -> str | None:
        return "1"

    async def run(self, request: AgentRequest, commands: CommandStarter) -> AgentOutcome:
        self.requests.append(request)
        if self._acts:
            await self._acts.pop(0)(request, commands)
        session = AgentSession(agent=self.name, session_id=request.session_id, version="1")
        return AgentOutcome("done", request.resume or session, Usage())


def fail(error: BaseException) -> Act:
    async def act(request: AgentRequest, commands: CommandStarter) -> None:
        raise error

    return act


def failing(**fields: object) -> AgentFailed:
    return AgentFailed(Failure("agent", str(fields.pop("message", "x")), **fields))


async def work(request: AgentRequest, commands: CommandStarter) -> None:
    await commands.run(["sh", "-c", "echo half > half"])
    raise failing(status=402, message="no credits")


async def lost(request: AgentRequest, commands: CommandStarter) -> None:
    raise SessionLost(Failure("agent", "No session found", code="session_lost"))


def place(tmp_path: Path, flow: str = FLOW, **more: object) -> RunFolders:
    return RunFolders(tmp_path / "task", flow, **more)


def test_a_session_goes_on_with_the_step_in_full(tmp_path: Path) -> None:
    """F8: what for, what is done, and to look at the tree first."""
    p, driver = place(tmp_path), Driver(work)
    assert p.start(agent="one", driver=driver) is ExitCode.PAUSED
    assert p.start(agent="one", driver=driver) is ExitCode.COMPLETED
    first, second = driver.requests
    assert (first.prompt, first.resume) == ("THE PROMPT", None)
    assert second.resume is not None
    assert second.resume.session_id == first.session_id
    assert second.prompt.startswith("You were working on the step below")
    for part in ("credits (no credits)", "git status", "need nothing more: look."):
        assert part in second.prompt
    assert second.prompt.endswith("\nTHE PROMPT")


def test_another_agent_takes_over_in_a_new_session_on_the_same_tree(
    tmp_path: Path,
) -> None:
    """F8: it is told who worked there, and nothing is thrown away."""
    p, other = place(tmp_path), Driver(name="two")
    assert p.start(agent="one", driver=Driver(work)) is ExitCode.PAUSED
    assert p.start(agent="two", driver=other) is ExitCode.COMPLETED
    (request,) = other.requests
    assert request.resume is None
    assert request.prompt.startswith("Another agent (one) worked on the step below")
    for part in ("credits (no credits)", "git status", "need nothing more: look."):
        assert part in request.prompt
    assert request.prompt.endswith("\nTHE PROMPT")
    assert (p.work / "half").read_text() == "half\n"
    session = p.state.steps[1].session
    assert session is not None
    assert (session.agent, session.session_id) == ("two", request.session_id)
    assert any("one had worked on it; two takes over" in w for w in p.state.warnings)


def test_a_lost_session_is_followed_by_a_fresh_one_that_is_told_so(tmp_path: Path) -> None:
    """F8."""
    p, driver = place(tmp_path), Driver(work, lost)
    p.start(agent="one", driver=driver)
    assert p.start(agent="one", driver=driver) is ExitCode.COMPLETED
    _, tried, fresh = driver.requests
    assert tried.resume is not None
    assert fresh.resume is None
    assert fresh.session_id != tried.resume.session_id
    assert fresh.prompt.startswith("An earlier session of yours worked on the step below")
    assert "credits (no credits)" in fresh.prompt
    assert (p.work / "half").exists()


def test_a_session_that_was_never_one_fails_the_step(tmp_path: Path) -> None:
    """F8: no endless fresh starts."""
    p, driver = place(tmp_path), Driver(lost)
    assert p.start(agent="one", driver=driver) is ExitCode.FAILED
    assert len(driver.requests) == 1


def test_a_takeover_that_fails_before_it_has_a_session_is_still_one(tmp_path: Path) -> None:
    """F8, D5: the try in place is told the same."""
    p = place(tmp_path)
    p.start(agent="one", driver=Driver(work))
    other = Driver(fail(failing(status=529)), name="two", presets=False)
    assert p.start(agent="two", driver=other) is ExitCode.COMPLETED
    assert [r.prompt[:19] for r in other.requests] == ["Another agent (one)"] * 2


def test_in_loops_the_iterations_are_named(tmp_path: Path) -> None:
    """F5, F8."""
    p = place(tmp_path, LOOP)
    driver = Driver(*[fail(failing(status=404))] * 4, work)
    assert p.start(agent="one", driver=driver) is ExitCode.PAUSED
    assert p.start(agent="one", driver=driver) is ExitCode.COMPLETED
    resumed = next(r for r in driver.requests if r.resume is not None)
    assert "it is now in iteration 2 of outer, iteration 2 of inner." in resumed.prompt
    assert "need nothing more: first." in resumed.prompt


def test_a_resume_prompt_says_no_more_than_it_knows() -> None:
    """F8: and braces in what it quotes are no placeholders."""
    text = resume_prompt("{prompt} {{x}}", "{why}", [])
    assert "repeated" not in text
    assert "need nothing more" not in text
    assert "{why}" in text
    assert text.endswith("{prompt} {{x}}")


CONNECTION = [
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
    anyio.BrokenResourceError(),
    anyio.ClosedResourceError(),
    anyio.EndOfStream(),
]


@pytest.mark.parametrize("error", CONNECTION, ids=lambda e: type(e).__name__)
def test_a_broken_connection_is_tried_again_and_then_pauses(
    tmp_path: Path, error: Exception
) -> None:
    """D4, D5, D6: thrown or returned, it is the same; 2 retries, after 10 s and 20 s."""
    p, driver = place(tmp_path), Driver(*[fail(error)] * 3)
    assert p.start(agent="one", driver=driver) is ExitCode.PAUSED
    assert p.clock.slept == [10, 20]
    assert p.state.pause is not None
    assert (p.state.pause.reason, p.state.pause.step) == (PauseReason.TRANSIENT, "s")
    returned = place(tmp_path / "returned")
    same = Failure("agent", "connection reset by peer", code="connection_failed")
    acts = [fail(AgentFailed(same))] * 3
    assert returned.start(agent="one", driver=Driver(*acts)) is ExitCode.PAUSED
    assert returned.clock.slept == p.clock.slept
    assert p.start(agent="one", driver=driver) is ExitCode.COMPLETED


def test_a_driver_that_cannot_start_its_program_fails_the_step(tmp_path: Path) -> None:
    """D2, D6, M1."""
    p = place(tmp_path)
    missing = Driver(fail(FileNotFoundError(errno.ENOENT, "No such file", "one")))
    assert p.start(agent="one", driver=missing) is ExitCode.FAILED
    assert "one: [Errno 2] No such file" in (p.state.error or "")
    assert p.clock.slept == []


def test_a_step_s_own_time_out_is_neither_retried_nor_a_pause(tmp_path: Path) -> None:
    """D4, G6: also of a driver that does not keep to it."""

    async def too_long(request: AgentRequest, commands: CommandStarter) -> None:
        raise TimeoutError("the driver's own words")

    p, driver = place(tmp_path), Driver(too_long)
    assert p.start(agent="one", driver=driver) is ExitCode.FAILED
    assert p.state.error == "the step took longer than 1800 s"
    assert (len(driver.requests), p.clock.slept) == (1, [])


@pytest.mark.parametrize("text", ["429 rate limit reached", "Your credit balance is too low"])
def test_what_a_model_wrote_is_never_classified(tmp_path: Path, text: str) -> None:
    """D3: an answer that speaks of limits is an answer."""

    async def chatty(request: AgentRequest, commands: CommandStarter) -> None:
        request.on_log(f"API Error: {text}")
        await commands.run(["sh", "-c", f"echo '{text}' > talk; echo '{text}' >&2; exit 1"])

    p = place(tmp_path)
    assert p.start(agent="one", driver=Driver(chatty)) is ExitCode.COMPLETED
    assert text in p.log("s")


def test_the_time_limits_are_named_settings_with_their_defaults() -> None:
    """A4, G1, G6."""
    limits = RunLimits()
    assert (limits.agent_timeout, limits.command_timeout) == (1800, 300)
    assert limits.output_bytes == 100_000
    assert limits.transient_delays == (10, 20)
