"""An agent's program as a folder, and where such folders are on the host and inside a sandbox."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE = Path("/opt/rover/agents")
"""Where bundles are inside every sandbox, each in a folder of its agent's name."""


@dataclass(frozen=True)
class AgentBundle:
    """An agent's program: `folder`/bin/<agent> can be started."""

    agent: str
    version: str
    folder: Path

    @property
    def identity(self) -> str:
        """The same for the same content."""
        return self.folder.name


def agent_cache() -> Path:
    """Where bundles are kept: $ROVER_AGENT_CACHE, else in the user's cache folder."""
    if named := os.environ.get("ROVER_AGENT_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "rover" / "agents"


def search_path(agents: Sequence[str]) -> list[str]:
    """The folders inside a sandbox that agents' programs are in, for PATH."""
    return [str(INSIDE / agent / "bin") for agent in agents]
