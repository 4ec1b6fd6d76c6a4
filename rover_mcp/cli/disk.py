"""Shows as text how much of the disk the data folder uses."""

from __future__ import annotations

from collections.abc import Mapping

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import Paint, clean, size
from rover_mcp.domain.durations import about

_KINDS = {
    "hub": "hub and base",
    "work": "work trees and homes",
    "records": "journals and logs",
    "snapshots": "snapshots",
    "caches": "shared caches",
    "trash": "trash",
    "removed": "being removed",
    "other": "other",
}


def disk_lines(disk: Json, paint: Paint) -> list[str]:
    """The total by kind, then a line for each project, the largest first."""
    used: Json | None = disk.get("used")
    if used is None:
        return ["the size of the data folder is being measured; try again in a moment"]
    when = paint(f"measured {about(used['age_s'])} ago", "dim")
    rows = [f"{size(used['bytes'])} in the data folder: {_by_kind(used['kinds'])}; {when}"]
    for project in used["projects"]:
        rows.append(f"{size(project['bytes']):>10}  {clean(project['project'])}")
    if more := used.get("projects_more"):
        rows.append(f"{'':>10}  and {more} more")
    return rows


def _by_kind(kinds: Mapping[str, int]) -> str:
    largest = sorted(kinds.items(), key=lambda kind: -kind[1])
    return ", ".join(f"{_KINDS.get(name, name)} {size(count)}" for name, count in largest if count)
