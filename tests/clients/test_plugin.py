"""The plugin for Claude Code: valid for the real program, installed by the lines of the page."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.clients.conftest import ClientMachine
from tests.clients.programs import paused_task
from tests.support.fake_anthropic import FakeAnthropic, text, tool

pytestmark = pytest.mark.real_agent

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "clients.md"
SKILL = ROOT / "plugins" / "rover" / "skills" / "delegate" / "SKILL.md"


@pytest.mark.parametrize("place", [".", "plugins/rover"])
def test_the_real_claude_finds_nothing_wrong_with_it(desk: ClientMachine, place: str) -> None:
    said = desk.run("claude", "plugin", "validate", "--strict", str(ROOT / place))
    assert "Validation passed" in said
    assert "warning" not in said


def test_installed_as_the_page_says_it_connects_and_its_skill_is_read(desk: ClientMachine) -> None:
    """The model is told when the skill applies, asks for it, and is given it whole."""
    lines = re.findall(r"(?m)^claude plugin .*$", PAGE.read_text("utf-8"))
    assert len(lines) == 2
    for line in lines:
        desk.run(*shlex.split(line.replace("$PWD", str(ROOT))))
    paused_task(desk.data)
    said = desk.run("claude", "mcp", "list")
    assert re.search(r"plugin:rover:rover: .*Connected", said), said

    with FakeAnthropic([tool("Skill", skill="rover:delegate"), text("I know now.")]) as provider:
        key = {"ANTHROPIC_API_KEY": "sk-ant-of-nobody", "ANTHROPIC_BASE_URL": provider.url}
        said = desk.run("claude", "-p", "Have it done overnight", "--allowedTools", "Skill", **key)
        first, second = (json.dumps(request.body) for request in provider.main_requests)
    assert "task 1 of /repo is PAUSED (credits" in first, (
        "its hook told of it before the first word"
    )
    assert "I know now." in said
    assert "- rover:delegate: Hand a coding task to a background agent" in first
    for heading in re.findall(r"(?m)^#+ .+$", SKILL.read_text("utf-8")):
        assert heading not in first, "its text costs nothing until it is asked for"
        assert heading in second


def test_without_rover_its_hook_says_nothing(desk: ClientMachine) -> None:
    path = desk.home / "bin"
    path.mkdir()
    script = str(ROOT / "plugins" / "rover" / "glance.sh")
    assert desk.run("/bin/sh", script, "session-start", PATH=str(path)) == ""


def test_without_a_launcher_it_says_what_to_do(desk: ClientMachine) -> None:
    path = desk.home / "bin"
    path.mkdir()
    script = str(ROOT / "plugins" / "rover" / "start.sh")
    said = desk.run("/bin/sh", script, status=127, PATH=str(path))
    assert "rover-mcp is not on the path; install Rover" in said


def test_it_fetches_nothing_from_an_index(desk: ClientMachine) -> None:
    """No name there is Rover's own."""
    path = desk.home / "bin"
    path.mkdir()
    (path / "uvx").write_text('#!/bin/sh\necho "uvx $@"\n')
    (path / "uvx").chmod(0o755)
    script = str(ROOT / "plugins" / "rover" / "start.sh")
    assert "uvx" not in desk.run("/bin/sh", script, status=127, PATH=str(path))
