"""`rover forget` says what goes, and what exists nowhere else before all else."""

from __future__ import annotations

import io
from typing import Any

from rover_mcp.cli.forget_command import lines
from rover_mcp.cli.terminal_text import Paint

PLAN: dict[str, Any] = {
    "path": "/repo\x1b[2J",
    "bytes": 3_000_000,
    "tasks": [
        {"id": "a", "number": 1, "title": "One", "status": "COMPLETED", "bytes": 10,
         "only_here": None},
        {"id": None, "number": None, "title": None, "status": "damaged", "bytes": 0,
         "only_here": "2 snapshots in the hub"},
    ],
    "parts": [
        {"what": "hub", "detail": "what came out", "bytes": 2_000_000},
        {"what": "trust", "detail": "your consent", "bytes": None},
    ],
    "kept": ["your repository"],
    "forgotten": False,
}  # fmt: skip


def test_what_would_be_lost_comes_first_and_is_made_printable() -> None:
    told = lines(PLAN, Paint(io.StringIO()))
    assert "\x1b" not in told[0]
    assert "task ?" in told[1]
    assert "nowhere else: 2 snapshots" in told[2]
    assert "task 1  One" in told[3]
    assert told[-1].endswith("your repository")
    assert lines({**PLAN, "forgotten": True}, Paint(io.StringIO()))[-1] == (
        "Forgotten, with 2 tasks."
    )
