"""A further iteration: the conversations of the one before continue, with new instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_runner.models import AgentSession, ExitCode
from agent_runner.spec import Instructions, ReviewComment
from tests.integration.runner.test_taking_over import LOOP, Driver, fail, failing, lost
from tests.support.repos import git
from tests.support.runs import RunFolders

FLOW = """
version: "1.0"
name: w
inputs:
  - {name: description, description: what to do}
steps:
  - {id: s, type: agent, prompt: "{{task.description}} AND {{inputs.description}}"}
"""
GIVEN = Instructions(
    text="Name it better",
    comments=(
        ReviewComment(file="a.py", line=3, text="not x"),
        ReviewComment(file="b.py", text="why"),
    ),
    changes="+x = 1\n",
)
SESSION = AgentSession(agent="one", session_id="of-the-first-iteration", version="1")


def start(tmp_path: Path, driver: Driver, flow: str = FLOW, **spec: Any) -> RunFolders:
    place = RunFolders(tmp_path / "task", flow, iteration=2, inputs={"description": "It is wrong."})
    named = {"instructions": GIVEN, "sessions": {"s": SESSION}, **spec}
    assert place.start(agent=driver.name, driver=driver, **named) is ExitCode.COMPLETED
    return place


def test_the_conversation_continues_with_instructions_comments_and_changes(
    tmp_path: Path,
) -> None:
    driver = Driver()
    place = start(tmp_path, driver)
    [request] = driver.requests
    assert request.resume == SESSION
    assert request.prompt.startswith("The person you work for has looked at the result")
    assert request.prompt.count("Name it better") == 2  # the task's description and the input
    for part in ("- a.py, line 3: not x", "- b.py: why", "+x = 1", "It is wrong.", "git diff"):
        assert part in request.prompt
    assert place.state.steps[0].session == SESSION


def test_a_lost_conversation_is_followed_by_a_new_one_with_the_same_prompt(
    tmp_path: Path,
) -> None:
    driver = Driver(lost)
    place = start(tmp_path, driver)
    _, fresh = driver.requests
    assert fresh.resume is None
    assert fresh.prompt.startswith("Name it better")
    assert any("session is gone" in warning for warning in place.state.warnings)


def test_a_try_in_place_is_a_continued_step(tmp_path: Path) -> None:
    driver = Driver(fail(failing(status=529)))
    start(tmp_path, driver)
    assert driver.requests[1].resume == SESSION
    assert driver.requests[1].prompt.startswith("You were working on the step below")


def test_another_agent_starts_a_conversation_of_its_own(tmp_path: Path) -> None:
    driver = Driver(name="two")
    start(tmp_path, driver)
    assert driver.requests[0].resume is None
    assert driver.requests[0].prompt.startswith("Name it better")


def test_only_the_first_round_of_a_loop_continues(tmp_path: Path) -> None:
    driver = Driver()
    start(tmp_path, driver, LOOP, inputs={})
    assert [request.resume for request in driver.requests] == [SESSION, *[None] * 5]


def test_the_commit_is_named_after_the_new_instructions(tmp_path: Path) -> None:
    async def write(request: Any, commands: Any) -> None:
        await commands.run(["sh", "-c", "echo better > name"])

    place = start(tmp_path, Driver(write))
    assert git(place.work, "log", "-1", "--format=%s") == "Name it better"
