"""What a task was refused by the gateway, as it is shown. Names come from an agent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rover_mcp.tasks.models import RefusedHostView
from rover_mcp.tasks.pauses import printable

NAMED = 3
"""Hosts that the warning names."""
LISTED = 10
"""Hosts that are listed where nothing else will tell of them."""
MAX_SHOWN = 200

Refused = Mapping[str, Any] | None


def refused_views(refused: Refused) -> list[RefusedHostView] | None:
    """Every host that was refused, with why and what would allow it."""
    return [
        RefusedHostView(
            host=printable(entry["host"], MAX_SHOWN),
            reason=printable(entry["reason"], MAX_SHOWN),
            remedy=printable(entry["remedy"], MAX_SHOWN) if entry["remedy"] else None,
            count=entry["count"],
        )
        for entry in (refused or {}).get("hosts", ())
    ] or None


def refused_lines(refused: Refused) -> list[str]:
    """A line for each host, with what would allow it."""
    return [
        f"the network policy refused {host.host}: {host.reason}"
        + (f"; to allow it: {host.remedy}" if host.remedy else "")
        for host in (refused_views(refused) or [])[:LISTED]
    ]


def refused_warning(refused: Refused, *, full: bool) -> list[str]:
    """One line, or none."""
    hosts = refused_views(refused) or []
    if not hosts:
        return []
    names = list(dict.fromkeys(host.host for host in hosts))
    named = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    more = (refused or {}).get("more", 0)
    told = f"the network policy refused {named}"
    if full:
        return [f"{told}; {more} more requests to further hosts"] if more else []
    return [f"{told}: detail=full says why, and what would allow it"]
