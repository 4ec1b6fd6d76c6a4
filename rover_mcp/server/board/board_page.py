"""The board's page. It is the same for everybody, and holds nothing of any task."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from rover_mcp.pages.page_shell import render_page, style_of
from rover_mcp.tasks.inbox import InboxGroup

_HERE = Path(__file__).parent
HEADINGS: Final = {
    InboxGroup.NEEDS_YOU: "Needs you",
    InboxGroup.FAILED: "Failed",
    InboxGroup.FINISHED: "Finished, not yet seen",
    InboxGroup.WORKING: "Working",
    InboxGroup.WAITING: "Waiting",
    InboxGroup.IDLE: "Done",
}


@cache
def board_page() -> str:
    """The whole page."""
    script = (_HERE / "board.js").read_text(encoding="utf-8")
    return render_page(
        _HERE,
        "board.html",
        title="Rover board",
        style=style_of(_HERE / "board.css"),
        scripts=[script],
        connects=True,
        groups=[(str(group), group.name.lower(), HEADINGS[group]) for group in InboxGroup],
        idle=str(InboxGroup.IDLE),
    )
