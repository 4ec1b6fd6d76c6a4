"""What the model of each assistant is shown is enough to delegate (T3), and stands on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.server.tools import TOOLS
from tests.clients.shown import PROGRAMS, row, shown

pytestmark = pytest.mark.real_agent

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"


@pytest.mark.parametrize("name", PROGRAMS)
def test_its_model_is_shown_what_it_needs(
    engine_for_daemons: None, tmp_path: Path, name: str
) -> None:
    """T3: every tool by name, what one does, and of a result its next call."""
    program = PROGRAMS[name]
    found = shown(program, tmp_path)
    assert found.tools == len(TOOLS)
    assert found.descriptions
    assert found.text or found.json
    assert found.following
    assert row(program.name, found) in PAGE.read_text("utf-8").splitlines()
