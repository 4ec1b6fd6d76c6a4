"""What the gateway refused a task, as it is shown. The names come from an agent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from rover_mcp.tasks.quoted_text import named, printable
from rover_mcp.tasks.view_models import RefusedHostView, SentView

NAMED = 3
"""How many hosts the warning names."""
LISTED = 10
"""How many hosts are listed where no other output names them."""
MAX_SHOWN = 200

Refused = Mapping[str, Any] | None


# The name of a host is chosen by whoever opens the connection, and so is text by an agent.
def refused_views(refused: Refused) -> list[RefusedHostView] | None:
    """Every host that was refused, with the reason and what would allow it."""
    return [
        RefusedHostView(
            host=printable(entry["host"], MAX_SHOWN),
            reason=printable(entry["reason"], MAX_SHOWN),
            remedy=printable(entry["remedy"], MAX_SHOWN) if entry["remedy"] else None,
            count=entry["count"],
        )
        for entry in (refused or {}).get("hosts", ())
    ] or None


def sent_counts(stored: object) -> dict[str, int]:
    """What a task sent, in bytes by host, as far as its record can be read."""
    entries = cast(dict[object, object], stored) if isinstance(stored, dict) else {}
    return {str(host): n for host, n in entries.items() if isinstance(n, int)}


def sent_views(stored: object) -> list[SentView] | None:
    """How much the task sent to which hosts, the largest amount first."""
    counts = sorted(sent_counts(stored).items(), key=lambda entry: (-entry[1], entry[0]))
    return [SentView(host=printable(host, MAX_SHOWN), bytes=n) for host, n in counts] or None


def refused_lines(refused: Refused) -> list[str]:
    """A line for each host, with what would allow it."""
    return [
        f"the network policy refused {named(host.host)}: {host.reason}"
        + (f"; to allow it: {host.remedy}" if host.remedy else "")
        for host in (refused_views(refused) or [])[:LISTED]
    ]


def refused_warning(refused: Refused, *, full: bool) -> list[str]:
    """One line about the refused hosts, or none."""
    hosts = refused_views(refused) or []
    if not hosts:
        return []
    names = list(dict.fromkeys(named(host.host) for host in hosts))
    some = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    more = (refused or {}).get("more", 0)
    refusal = f"the network policy refused {some}"
    if full:
        return [f"{refusal}; {more} more requests to further hosts"] if more else []
    return [f"{refusal}: detail=full says why, and what would allow it"]
