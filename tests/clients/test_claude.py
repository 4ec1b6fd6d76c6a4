"""Claude Code as the assistant: the real program, the real server; only its model is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.delegation import PAGE, play
from tests.support.repos import FIXED, git

pytestmark = pytest.mark.real_agent


def test_it_delegates_tells_of_the_pause_resumes_and_reports(home: Path) -> None:
    repository, page = play(home.parent)
    assert page == PAGE.read_text("utf-8"), "python -m tests.clients.delegation writes it anew"
    branch = git(repository, "branch", "--list", "rover/*", "--format=%(refname:short)")
    assert git(repository, "show", f"{branch}:calc.py") == FIXED.strip()
    assert git(repository, "branch", "--show-current") == "main"
