"""How much of the disk the data folder uses, by project and by kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rover_mcp.domain.usage_window import time_of
from rover_mcp.tasks.quoted_text import printable

SHOWN = 10
"""How many projects are shown, the largest first."""


@dataclass(frozen=True)
class ProjectUse:
    """The bytes of one project by kind: hub (with the base), work (trees and homes), records
    (journals and logs), snapshots, trash (all of deleted tasks)."""

    project: str
    kinds: Mapping[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.kinds.values())


@dataclass(frozen=True)
class DiskUse:
    """`shared` are the bytes that belong to no project: caches, other, and removed, which is what
    deleted tasks had and is still being removed. `at` is when the folder was measured."""

    at: float
    projects: Sequence[ProjectUse]
    shared: Mapping[str, int]


def use_view(use: DiskUse, now: float) -> dict[str, Any]:
    """The part of get_status: the largest projects, and the total by kind."""
    largest = sorted(use.projects, key=lambda p: (-p.bytes, p.project))
    kinds: dict[str, int] = {}
    for part in (*(p.kinds for p in largest), use.shared):
        for kind, size in part.items():
            kinds[kind] = kinds.get(kind, 0) + size
    return {
        "measured_at": time_of(use.at),
        "age_s": max(0, round(now - use.at)),
        "bytes": sum(kinds.values()),
        "kinds": kinds,
        "projects": [
            {"project": printable(p.project, 300), "bytes": p.bytes, "kinds": dict(p.kinds)}
            for p in largest[:SHOWN]
        ],
        "projects_more": max(0, len(largest) - SHOWN) or None,
    }
