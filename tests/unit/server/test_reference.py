"""docs/tools.md is what the code says."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.server.reference import page

PAGE = Path(__file__).parents[3] / "docs" / "tools.md"


def test_the_page_is_current() -> None:
    """To update: python -m rover_mcp.server.reference docs/tools.md"""
    assert PAGE.read_text("utf-8") == page()
