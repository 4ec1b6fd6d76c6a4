"""Writes the runner's settings into an agent's own settings file and keeps what else is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from agent_runner.agents.headless import mapping
from agent_runner.agents.protocol import AgentFailed
from agent_runner.models import Failure
from agent_runner.process.commands import CommandStarter

_READ = 'cat "$HOME/$1" 2>/dev/null || :'
# Written beside it and renamed: an agent that reads it meanwhile never gets half a file.
_WRITE = """
set -eu; f="$HOME/$1"; mkdir -p "${f%/*}"; cat >"$f.rover"; mv -f "$f.rover" "$f"
"""
MAX_BYTES = 1_000_000


async def write_settings(commands: CommandStarter, path: str, ours: Mapping[str, Any]) -> None:
    """Merge `ours` into the JSON file at `path` below HOME, with the agent's rights. A file that
    is not valid JSON is replaced.

    Raises:
        AgentFailed: it cannot be written.
    """
    argv = ["sh", "-c", _READ, "settings", path]
    read = await commands.run(argv, output_limit=MAX_BYTES)
    known = _object(read.stdout)
    wanted = merged(known, ours)
    if wanted == known:
        return
    text = json.dumps(wanted, indent=2).encode()
    done = await commands.run(["sh", "-c", _WRITE, "settings", path], stdin=text)
    if done.code != 0:
        output = done.stderr.decode(errors="replace").strip()[-200:]
        raise AgentFailed(
            Failure("agent", f"~/{path} cannot be written: {output}", code="settings")
        )


def merged(known: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """`known` with the values of `ours` in it, at any depth."""
    result = dict(known)
    for key, value in ours.items():
        if isinstance(value, Mapping):
            result[key] = merged(mapping(result.get(key)), cast(Mapping[str, Any], value))
        else:
            result[key] = value
    return result


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}
