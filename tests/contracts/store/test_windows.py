"""How full an account's windows are, on both databases: what is kept, and what is news."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rover_mcp.domain.usage_window import WindowState
from rover_mcp.gateway.window_headers import Window
from rover_mcp.store import account_windows
from rover_mcp.store.store import Store
from tests.contracts.store.conftest import Clock

OPEN, NEARLY, CLOSED = WindowState
A = "anthropic-1"
HOUR = 3600.0


def window(
    state: WindowState, opens: float | None, used: float | None = 0.95, name: str = "5-hour window"
) -> Window:
    at = None if opens is None else datetime.fromtimestamp(opens, UTC)
    return Window(name, state, used, at)


def news(store: Store, clock: Clock, *told: Window, after: float = 0, account: str = A) -> int:
    return len(store.windows.record(account, told, clock() + after))


def test_a_warning_is_news_once_in_each_window(store: Store, clock: Clock) -> None:
    """Q3: however often the answers repeat it."""
    ends = clock() + 5 * HOUR
    assert news(store, clock, window(OPEN, ends, 0.2)) == 0
    assert news(store, clock, window(NEARLY, ends)) == 1
    assert news(store, clock, window(NEARLY, ends + 3)) == 0
    assert news(store, clock, window(OPEN, ends), window(NEARLY, ends)) == 0
    assert news(store, clock, window(CLOSED, ends, 1.0)) == 0
    assert news(store, clock, window(OPEN, ends + 5 * HOUR, 0.0), after=5 * HOUR) == 0
    assert news(store, clock, window(NEARLY, ends + 5 * HOUR), after=6 * HOUR) == 1
    assert news(store, clock, window(NEARLY, ends), account="another") == 1


def test_a_window_that_tells_no_end_is_news_again_much_later(store: Store, clock: Clock) -> None:
    """Q3."""
    assert news(store, clock, window(NEARLY, None)) == 1
    assert news(store, clock, window(NEARLY, None), after=4 * HOUR) == 0
    assert news(store, clock, window(NEARLY, None), after=6 * HOUR) == 1


def test_what_counts_is_what_was_told_last_until_the_window_opens(
    store: Store, clock: Clock
) -> None:
    """Q3: what is used up comes first; a length from now does not move the time by seconds."""
    now = clock()
    day = window(OPEN, now + 90 * HOUR, 0.83, "7-day window")
    store.windows.record(A, [day, window(NEARLY, now + HOUR)], now)
    store.windows.record(A, [window(CLOSED, now + HOUR + 2, 1.0)], now + 60)
    shown = [(w.name, w.state, w.used, w.opens_at) for w in store.windows.of(A, now + 61)]
    assert shown == [
        ("5-hour window", "used up", 1.0, now + HOUR),
        ("7-day window", "open", 0.83, now + 90 * HOUR),
    ]
    assert [w.name for w in store.windows.of(A, now + 2 * HOUR)] == ["7-day window"]
    assert store.windows.of("another", now) == []
    assert len(store.windows.all(now)) == 2


def test_so_many_windows_are_kept_and_no_more(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What grows has a limit, and says so there."""
    monkeypatch.setattr(account_windows, "MOST", 5)
    for count in range(9):
        store.windows.record(f"key-{count}", [window(OPEN, clock() + HOUR)], clock() + count)
    assert [w.account for w in store.windows.all(clock())] == [f"key-{n}" for n in range(4, 9)]
