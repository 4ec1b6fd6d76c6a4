"""What is said before a task begins (B.8)."""

from __future__ import annotations

import platform
import re

import pytest

from rover_mcp.sandbox.pinned_agents import PINNED
from rover_mcp.tasks.cautions import agent_cautions
from rover_mcp.tasks.task_ports import AgentProgram


def test_an_agent_that_has_to_be_fetched_is_named_with_its_size() -> None:
    programs = {"claude": AgentProgram("npm", "2.1", size="5 bytes"), "codex": AgentProgram("own")}
    (told,) = agent_cautions(programs, [])
    assert told == ("claude 2.1 is fetched with npm before it starts: 5 bytes, once for all tasks")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_size_of_each_pinned_agent_is_told_without_asking_anybody(
    monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    """B.8: in bytes, as they were counted for x86_64; elsewhere they are about the same."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for agent, pinned in PINNED.items():
        assert 20_000_000 < pinned.download < pinned.megabytes * 1_000_000, agent
        assert re.fullmatch(
            r"[\d,]{10,11} bytes to download, about \d+ MB unpacked"
            if machine == "x86_64"
            else r"about \d+ MB to download, about \d+ MB unpacked",
            pinned.size,
        )


def test_a_missing_key_is_said_with_the_ways_to_give_one() -> None:
    (told,) = agent_cautions({"claude": AgentProgram("fetched", "2.1")}, ["claude"])
    assert "no key or login for claude: the task will pause" in told
    assert "rover login" in told
    assert "rover setup --write" in told
