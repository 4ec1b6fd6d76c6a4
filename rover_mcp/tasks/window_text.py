"""What people read about the usage windows of an account. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from rover_mcp.domain.usage_window import WindowState, time_of
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.store.records import WindowRow
from rover_mcp.tasks.account_names import account_name

MOST_SHOWN: Final = 20
"""How many windows get_status shows."""


def warning(window: WindowRow, name: Callable[[str], str] = account_name) -> str:
    """The warning that a window is nearly used up. Its text stays the same for as long as the
    window lasts, so that it is not reported twice. `name` returns what an account is called for
    people."""
    # A point in time, not how long until then: the text has to stay the same, or it would be new
    # again each minute.
    at = window.opens_at
    opens = f"; it reopens at {utc_minute(at)}" if at else ""
    return f"the {window.name} of {name(window.account)} is nearly used up{opens}"


def warnings_of(
    account: str | None,
    windows: Sequence[WindowRow],
    name: Callable[[str], str] = account_name,
) -> list[str]:
    """The warnings for a reader of a task that uses this account."""
    nearly = (w for w in windows if w.account == account and w.state == str(WindowState.NEARLY))
    return [warning(w, name) for w in nearly]


def window_view(window: WindowRow, name: Callable[[str], str] = account_name) -> dict[str, Any]:
    """A window as get_status shows it."""
    return {
        "account": name(window.account),
        "window": window.name,
        "state": window.state,
        "used_percent": None if window.used is None else round(window.used * 100, 1),
        "opens_at": time_of(window.opens_at) if window.opens_at else None,
        "told_at": time_of(window.at),
    }
