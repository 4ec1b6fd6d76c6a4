"""Where the real Claude Code program is, for the tests that drive it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PACKAGE = "@anthropic-ai/claude-code-linux-x64/claude"


def claude_binary() -> Path:
    """The native program: $ROVER_TEST_CLAUDE, else node_modules here, else PATH.

    Raises:
        AssertionError: there is none. Install it: npm install @anthropic-ai/claude-code@2.1.330
    """
    if named := os.environ.get("ROVER_TEST_CLAUDE"):
        return Path(named)
    if (found := Path(__file__).parents[2] / "node_modules" / PACKAGE).exists():
        return found
    on_path = shutil.which("claude")
    assert on_path, "no Claude Code: npm install @anthropic-ai/claude-code@2.1.330"
    return Path(on_path).resolve()
