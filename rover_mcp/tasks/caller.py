"""Who asks: one connection's identity, working folder and allow-listed environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Caller:
    """A connection as the preamble told it. The environment stays in memory."""

    client_id: str
    cwd: Path
    name: str = "client"
    version: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
