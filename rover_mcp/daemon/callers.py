"""Who connects, as the line tells that a client sends first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rover_mcp.launcher.handshake import CLI, PROTOCOL
from rover_mcp.tasks.caller import Caller


def caller_of(line: bytes) -> Caller | str:
    """The caller that a preamble tells, or what is wrong with it."""
    try:
        told: dict[str, Any] = json.loads(line)
        if told["rover"] != PROTOCOL:
            return f"protocol {told['rover']} is not {PROTOCOL}"
        return Caller(
            client_id=str(told["client_id"]),
            cwd=Path(told["cwd"]),
            name=str(told.get("name", "client")),
            version=str(told["version"]),
            env={str(k): str(v) for k, v in told.get("env", {}).items()},
            # What an assistant starts has no say in it: its launcher writes another name here.
            terminal=told.get("name") == CLI and told.get("terminal") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "the preamble cannot be read"
