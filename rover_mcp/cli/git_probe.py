"""Tests what the git on the search path can do: a distribution's version number does not tell which
fixes it has."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

_NAME = "a\r"
_TIMEOUT = 10.0


def git_version(program: str) -> str:
    """The version that git prints, or "unknown"."""
    words = _run(program, "--version").decode(errors="replace").split()
    return words[2] if words[:2] == ["git", "version"] and len(words) > 2 else "unknown"


def keeps_line_ends(program: str) -> bool:
    """Whether git reads a name that ends in a carriage return as it was written. Where it does not
    (CVE-2025-48384), a submodule's path leads elsewhere than was checked, and a clone of a
    stranger's repository can write a hook and run it."""
    with tempfile.TemporaryDirectory(prefix="rover-probe-") as folder:
        file = str(Path(folder) / "modules")
        _run(program, "config", "--file", file, "submodule.s.path", _NAME)
        read = _run(program, "config", "--file", file, "submodule.s.path")
    return read.decode(errors="replace") == f"{_NAME}\n"


def _run(program: str, *argv: str) -> bytes:
    # No repository and no configuration of the user's has a say in it.
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "GIT_DIR": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    try:
        done = subprocess.run(
            [program, *argv],
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout
