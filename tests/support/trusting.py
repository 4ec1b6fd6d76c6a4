"""A person at a terminal: commands run under a pseudo terminal, with what is typed there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.hangs import HANG_SECONDS


def at_terminal(home: Path, *command: str, typed: str = "y\n") -> subprocess.CompletedProcess[str]:
    """Run `rover` with a terminal for what is typed and what is asked, a pipe for what it prints."""
    person, terminal = os.openpty()
    try:
        os.write(person, typed.encode())
        return subprocess.run(
            [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(home), *command],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
            check=False,
            timeout=HANG_SECONDS,
        )
    finally:
        os.close(terminal)
        os.close(person)


def trust(home: Path, repository: Path) -> None:
    """The user reads what a repository asks for, and trusts it."""
    done = at_terminal(home, "trust", str(repository))
    assert done.returncode == 0, done.stdout
    assert "Trusted" in done.stdout or "You trust" in done.stdout, done
