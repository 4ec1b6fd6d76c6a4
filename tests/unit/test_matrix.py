"""How the matrix judges a cell, and what its page claims."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.matrix.cells import CELLS, PROMPTLY, CellResult, ObservedPause, wrong_in
from tests.matrix.page import BEGIN, END, PAGE, with_table

NOW = datetime(2026, 11, 25, 22, tzinfo=UTC)
BY_NAME = {cell.name: cell for cell in CELLS}


def seen(reason: str, provider: str, retry_in: float | None, after: float = 1.0) -> ObservedPause:
    at = None if retry_in is None else NOW + timedelta(seconds=retry_in)
    return ObservedPause(reason, provider, at, after)


@pytest.mark.parametrize(
    ("paused", "wrong"),
    [
        (seen("usage_window", "anthropic", 10_802), []),
        (seen("rate_limit", "anthropic", 10_802), ["reason"]),
        (seen("usage_window", "openai", 10_802), ["provider"]),
        (seen("usage_window", "anthropic", None), ["retry_at"]),
        (seen("usage_window", "anthropic", 600), ["retry_at"]),
        (seen("usage_window", "anthropic", 10_802, after=PROMPTLY + 1), ["paused"]),
    ],
)
def test_a_pause_is_right_in_all_that_it_says(paused: ObservedPause, wrong: list[str]) -> None:
    found = wrong_in(paused, BY_NAME["window"], "claude", NOW)
    assert [said.split()[0] for said in found] == wrong


def test_a_retry_time_without_a_source_is_wrong() -> None:
    found = wrong_in(seen("credits", "openai", 900), BY_NAME["credits"], "codex", NOW)
    assert len(found) == 1


def test_googles_day_ends_in_california() -> None:
    paused = seen("usage_window", "google", 10 * 3600)
    assert wrong_in(paused, BY_NAME["window"], "gemini", NOW) == []


def test_the_page_claims_what_was_run_and_nothing_else() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert "Not run yet." in with_table(page, [], "2026-11-25")
    wrong = ("reason credits, not usage_window",)
    column = [
        CellResult("codex", "credits", 9, 1.2, "0.1"),
        CellResult("codex", "window", 9, 1, "0.1", wrong),
    ]
    shown = with_table(page, column, "2026-11-25")
    assert "| codex 0.1, 2026-11-25 |" in shown
    assert "| credits | credits | ok, 1 s |" in shown
    assert "**fails**: reason credits" in shown
    assert "| kill -9 | interrupted | not run |" in shown
    assert "old" not in shown
    assert "claude" not in shown
    assert shown.startswith("before")
    assert shown.endswith("after\n")


def test_a_column_stays_as_its_last_run_left_it() -> None:
    page = f"{BEGIN}\n{END}\n"
    first = with_table(page, [CellResult("codex", "credits", 9, 1.2, "0.1")], "2026-11-25")
    both = with_table(first, [CellResult("claude", "credits", 9, 3.2, "2.1")], "2026-11-26")
    assert "| claude 2.1, 2026-11-26 | codex 0.1, 2026-11-25 |" in both
    assert "| credits | credits | ok, 3 s | ok, 1 s |" in both
    again = with_table(both, [CellResult("codex", "credits", 9, 2.2, "0.2")], "2026-11-27")
    assert "codex 0.1" not in again
    assert "| credits | credits | ok, 3 s | ok, 2 s |" in again


def test_the_page_has_a_place_for_the_table() -> None:
    page = PAGE.read_text("utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page.index(BEGIN) < page.index(END)


def test_every_kind_of_trouble_is_asked() -> None:
    assert {cell.trouble["do"] for cell in CELLS} >= {
        *("credit", "usage_window", "rate_limit", "overloaded", "server_error", "reset", "auth"),
    }
    assert {cell.signal for cell in CELLS} == {
        None,
        "SIGTERM",
        "SIGKILL",
    }
