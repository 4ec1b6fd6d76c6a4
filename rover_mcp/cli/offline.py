"""Runs what works on a data folder itself, beside or without its daemon, as a program of its own,
so that the command line stays thin."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from rover_mcp.cli.client import ClientError


def run_offline(name: str, *argv: str) -> Any:
    """The answer of `python -P -m rover_mcp.daemon.NAME ARGV`.

    Raises:
        ClientError: it refused or failed.
    """
    # -P: the working folder may be anybody's repository, and no module comes from there.
    command = [sys.executable, "-P", "-m", f"rover_mcp.daemon.{name}", *argv]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode == 0:
        return json.loads(ended.stdout)
    answer = json.loads(ended.stdout or "{}")
    raise ClientError(
        answer.get("message", f"{name} failed"),
        code=answer.get("code", f"{name}_failed"),
        hint=answer.get("hint"),
    )
