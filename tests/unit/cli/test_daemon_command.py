"""What `rover daemon` says (B.8)."""

from __future__ import annotations

import io

from rover_mcp import __version__
from rover_mcp.cli.daemon_command import _status, _stop_lines
from rover_mcp.cli.terminal_text import Paint

FOUND = {
    "running": True, "pid": 7, "version": __version__, "since": "2026-11-23T12:00:00Z",
    "home": "/h", "tasks": {"running": 2, "paused": 1}, "client_version": __version__,
}  # fmt: skip
PAINT = Paint(io.StringIO())


def test_a_daemon_of_another_version_is_said_with_the_way_to_replace_it() -> None:
    told = "\n".join(_status({**FOUND, "version": "0.0.9"}, PAINT))
    assert "process 7, version 0.0.9" in told
    assert f"This command is of version {__version__}" in told
    assert "rover daemon restart" in told
    assert "This command" not in "\n".join(_status(FOUND, PAINT))


def test_a_daemon_that_does_not_answer_is_shown_all_the_same() -> None:
    told = "\n".join(_status({**FOUND, "version": None}, PAINT))
    assert "process 7, version unknown: it does not answer" in told


def test_tasks_that_are_not_over_are_said_when_it_ends() -> None:
    told = "\n".join(_stop_lines({**FOUND, "stopped": 7}, PAINT))
    assert "2 tasks are unfinished" in told
    idle = _stop_lines({**FOUND, "stopped": 7, "tasks": {"running": 0, "paused": 1}}, PAINT)
    assert "not over" not in "\n".join(idle)
