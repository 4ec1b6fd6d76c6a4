"""Where the real Claude Code program is, for the tests that drive it as a user's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rover_mcp.sandbox import agent_programs

PACKAGE = "@anthropic-ai/claude-code-linux-x64/claude"


def claude_binary(progress: Callable[[str], object] = print) -> Path:
    """The native program: $ROVER_TEST_CLAUDE, else what Rover itself fetches with npm.

    Raises:
        EnvironmentFault: there is none, and no npm.
    """
    if named := os.environ.get("ROVER_TEST_CLAUDE"):
        return Path(named)
    return agent_programs.obtain("claude", None, progress).folder / "lib" / "node_modules" / PACKAGE
