"""Where the real Claude Code program is, for the tests that drive it as a user's own."""

from __future__ import annotations

import os
from pathlib import Path

from rover_mcp.sandbox import bundles

PACKAGE = "@anthropic-ai/claude-code-linux-x64/claude"


def claude_binary() -> Path:
    """The native program: $ROVER_TEST_CLAUDE, else node_modules here, else what Rover itself
    fetches with npm.

    Raises:
        EnvironmentFault: there is none, and no npm.
    """
    if named := os.environ.get("ROVER_TEST_CLAUDE"):
        return Path(named)
    if (found := Path(__file__).parents[2] / "node_modules" / PACKAGE).exists():
        return found
    return bundles.obtain("claude", None, print).folder / "lib" / "node_modules" / PACKAGE
