"""What is published beside the package says what is true of it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

from agent_runner.models import PauseReason
from rover_mcp.server.results import WaitResult
from rover_mcp.server.tools import TOOLS
from rover_mcp.tasks.models import PauseView, TaskView

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SKILL = (ROOT / "plugins" / "rover" / "skills" / "delegate" / "SKILL.md").read_text("utf-8")


def read(*parts: str) -> Json:
    return json.loads(ROOT.joinpath(*parts).read_text("utf-8"))


def test_the_plugin_has_the_version_of_the_package() -> None:
    assert (
        read("plugins", "rover", ".claude-plugin", "plugin.json")["version"] == PROJECT["version"]
    )


def test_every_word_in_code_in_the_skill_is_of_our_surface() -> None:
    """A tool, an argument, a field of a result, or a word of a closed set."""
    named = set(re.findall(r"`([a-z_]+)`", SKILL))
    models = (TaskView, PauseView, WaitResult, *(entry.arguments for entry in TOOLS.values()))
    fields = {name for model in models for name in model.model_fields}
    returned = set(get_args(WaitResult.model_fields["returned"].annotation))
    assert named <= set(TOOLS) | fields | returned | {reason.value for reason in PauseReason}
    assert {"create_task", "wait_for_task", "resume_task", "get_diff"} <= named


def test_the_skill_says_what_to_do_at_every_reason_for_a_pause() -> None:
    rows = re.findall(r"(?m)^\| `([a-z_]+)` \|", SKILL)
    assert sorted(rows) == sorted(reason.value for reason in PauseReason)


def test_the_skill_is_short_and_says_when_it_applies() -> None:
    """Its description is in every session; it is itself read when it applies."""
    head = SKILL.split("---\n")[1]
    description = head.partition("description: ")[2]
    assert "Use when" in description
    assert len(description) < 500
    assert len(SKILL) < 6_000
