"""The plugin for Claude Code: valid for the real program, installed by the lines of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.clients.conftest import Desk

pytestmark = pytest.mark.real_agent

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "clients.md"


@pytest.mark.parametrize("place", [".", "plugins/rover"])
def test_the_real_claude_finds_nothing_wrong_with_it(desk: Desk, place: str) -> None:
    said = desk.run("claude", "plugin", "validate", "--strict", str(ROOT / place))
    assert "Validation passed" in said
    assert "warning" not in said


def test_installed_as_the_page_says_it_connects_and_brings_the_skill(desk: Desk) -> None:
    lines = re.findall(r"(?m)^claude plugin .*$", PAGE.read_text("utf-8"))
    assert len(lines) == 2
    for line in lines:
        desk.run(*shlex.split(line.replace("$PWD", str(ROOT))))
    said = desk.run("claude", "mcp", "list")
    assert re.search(r"plugin:rover:rover: .*Connected", said), said
    assert re.search(r"Skills \(1\) +delegate", desk.run("claude", "plugin", "details", "rover"))


def test_without_a_launcher_it_says_what_to_do(desk: Desk) -> None:
    path = desk.home / "bin"
    path.mkdir()
    script = str(ROOT / "plugins" / "rover" / "start.sh")
    said = desk.run("/bin/sh", script, status=127, PATH=str(path))
    assert "neither rover-mcp nor uvx is on the path; install one" in said


def test_where_only_uvx_is_it_starts_the_published_one(desk: Desk) -> None:
    path = desk.home / "bin"
    path.mkdir()
    (path / "uvx").write_text('#!/bin/sh\necho "uvx $@"\n')
    (path / "uvx").chmod(0o755)
    script = str(ROOT / "plugins" / "rover" / "start.sh")
    assert desk.run("/bin/sh", script, PATH=str(path)) == "uvx rover-mcp\n"
