"""How full the windows of accounts are. There is one row for each window, and none for a
request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from rover_mcp.domain.usage_window import WindowState, time_of
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.gateway.window_headers import Window
from rover_mcp.store import store_tables
from rover_mcp.store.damaged_records import sound
from rover_mcp.store.events import insert_for
from rover_mcp.store.migrations import READ_ONLY
from rover_mcp.store.record_reading import window_row
from rover_mcp.store.records import WindowRow

W = store_tables.windows

MOST: Final = 200
"""Greatest number of windows that are kept; those that were reported longest ago are dropped."""
ANOTHER: Final = 1800.0
"""In seconds: a window that opens later than the known one by more than this is a new one."""
SAME: Final = 120.0
"""In seconds: two times that differ by less are the same. Providers name the seconds that are left,
so each answer gives a slightly different time."""
NO_END_SECONDS: Final = 5 * 3600.0
"""How long a report of a window counts that does not say when the window opens."""


class Windows:
    """Reads and writes the windows. Safe to use from many threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(**{READ_ONLY: True})

    def record(self, account: str, windows: Sequence[Window], at: float) -> list[WindowRow]:
        """Record the windows that an answer named at the time `at`. Return those that are nearly
        used up now, each only once until it opens."""
        news: list[WindowRow] = []
        with self._engine.begin() as connection:
            query = sa.select(W).where(W.c.account == account).with_for_update()
            before = {row.name: row for row in sound(connection.execute(query), window_row)}
            for window in windows:
                known = before.get(window.name)
                row = _row(account, window, at, known)
                if row.warned != (known.warned if known else None):
                    news.append(row)
                insert = insert_for(connection, W).values(**vars(row))
                keys = [W.c.account, W.c.name]
                connection.execute(
                    insert.on_conflict_do_update(index_elements=keys, set_=vars(row))
                )
            _bound(connection)
        return news

    def of(self, account: str, now: float) -> list[WindowRow]:
        """The windows of an account that count now, used-up ones first."""
        query = sa.select(W).where(W.c.account == account)
        return self._counting(query, now)

    def all(self, now: float) -> list[WindowRow]:
        """The windows of every account that count now."""
        return self._counting(sa.select(W), now)

    def _counting(self, query: sa.Select[Any], now: float) -> list[WindowRow]:
        with self._reader.connect() as connection:
            rows = sound(connection.execute(query), window_row)
        current = [row for row in rows if now < (row.opens_at or row.at + NO_END_SECONDS)]
        closed = str(WindowState.CLOSED)
        return sorted(current, key=lambda w: (w.account, w.state != closed, w.opens_at or 0))


def _row(account: str, window: Window, at: float, known: WindowRow | None) -> WindowRow:
    opens = window.opens.timestamp() if window.opens else None
    before, warned = (known.opens_at, known.warned) if known else (None, None)
    if opens and before and abs(opens - before) <= SAME:
        opens = before
    if window.state is WindowState.NEARLY and _is_another(opens, at, warned):
        warned = opens or at + NO_END_SECONDS
    return WindowRow(account, window.name, str(window.state), window.used, opens, at, warned)


def _is_another(opens: float | None, at: float, warned: float | None) -> bool:
    """Whether a window is not the one of which the user was warned."""
    if warned is None:
        return True
    return at > warned if opens is None else opens > warned + ANOTHER


def _bound(connection: sa.Connection) -> None:
    newest = sa.select(W.c.at).order_by(W.c.at.desc()).offset(MOST).limit(1)
    last = connection.execute(newest).scalar()
    if last is not None:
        connection.execute(W.delete().where(W.c.at <= last))


IN_WORDS: Final = 4
"""Windows that a pause names."""


def in_words(windows: Sequence[WindowRow], now: float) -> str | None:
    """`the 5-hour window is 100 % used, opens 02:10Z; the 7-day window was at 83 %`."""
    phrases = [_said(w, now) for w in windows if w.used is not None or _is_closed(w)]
    return "; ".join(phrases[:IN_WORDS]) or None


def _said(window: WindowRow, now: float) -> str:
    share = "" if window.used is None else percent(window.used)
    if not _is_closed(window):
        return f"the {window.name} was at {share}"
    opens = f", opens {_clock(window.opens_at, now)}" if window.opens_at else ""
    return f"the {window.name} is {share + ' used' if share else 'used up'}{opens}"


def percent(share: float) -> str:
    """A share of a window; 100 % only where nothing is left."""
    return f"{min(round(share * 100), 99) if share < 1 else 100} %"


def _is_closed(window: WindowRow) -> bool:
    return window.state == str(WindowState.CLOSED)


def _clock(seconds: float, now: float) -> str:
    at, today = time_of(seconds), time_of(now)
    is_near = seconds - now < 20 * 3600 or at.date() == today.date()
    return f"{at:%H:%M}Z" if is_near else utc_minute(at)
