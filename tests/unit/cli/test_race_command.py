"""How a race is shown at a terminal."""

from __future__ import annotations

import argparse
import io
from typing import Any

import pytest

from rover_mcp.cli.client import ClientError
from rover_mcp.cli.race_command import check_follows_one, raced
from rover_mcp.cli.terminal_text import Paint

RACER: dict[str, Any] = {
    "task": "a" * 32, "number": 2, "agent": "claude", "status": "COMPLETED", "phase": "completed",
    "checks": "failed: test", "files": 2, "added": 3, "removed": 1, "in_common": 1,
    "cost_usd": 1.5, "tokens": 12345, "worked_s": 90.0, "waited_s": 5.0,
}  # fmt: skip


def shown(*racers: dict[str, Any], **more: Any) -> list[str]:
    race = {"standing": "undecided: 1 of 2 are done", "racers": [*racers], **more}
    task = {"repo_path": "/elsewhere"}
    return raced({"race": race, "task": task}, Paint(io.StringIO()))


def test_each_task_has_a_line_with_what_can_be_compared() -> None:
    """N15."""
    waits = {
        **RACER, "number": 3, "agent": "codex", "status": "PAUSED", "phase": "paused: usage_window",
        "checks": None, "files": None, "waits_until": "2099-11-24T09:30:00Z",
    }  # fmt: skip
    header, first, second, *rest = shown(RACER, waits, common=["a.py"], budget="together $4.00")
    assert header.split()[:4] == ["#", "agent", "status", "checks"]
    assert first.split() == [
        "2", "claude", "COMPLETED", "failed:", "test", "2", "1", "+3", "-1", "$1.50", "12,345",
        "2", "min", "5", "s",
    ]  # fmt: skip
    assert "paused: usage_window, until 24 Nov" in second
    text = "\n".join(rest)
    assert "All of them changed: a.py" in text
    assert "The race is undecided: 1 of 2 are done." in text
    assert "Budget: together $4.00." in text


def test_the_proposal_is_one_that_passed_its_checks() -> None:
    passed = {**RACER, "task": "b" * 32, "checks": "passed: test"}
    assert f"rover choose {'b' * 32}" in "\n".join(shown(RACER, passed))


def test_what_others_wrote_does_not_reach_the_terminal() -> None:
    hostile = {**RACER, "checks": 'failed: "\x1b]0;owned\x07"', "agent": "cl\x1b[31maude"}
    assert "\x1b" not in "\n".join(shown(hostile, common=["\x1b[2J"]))


def test_a_race_is_not_watched_as_if_it_were_one_task() -> None:
    with pytest.raises(ClientError, match="follows one task"):
        check_follows_one(argparse.Namespace(watch=True, agents="a,b"))
    check_follows_one(argparse.Namespace(watch=True, agents="a"))
    check_follows_one(argparse.Namespace(watch=False, agents="a,b"))
