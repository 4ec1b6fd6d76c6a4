"""Control characters of untrusted text reach no terminal."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta

import pytest

from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.terminal_text import (
    Paint,
    clean,
    clock,
    dated,
    shorten,
    size,
    table,
    when,
    width_of,
    wrap,
)
from rover_mcp.domain.durations import about, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("title\x1b]0;owned\x07", "title"),
        ("over\rwritten", "overwritten"),
        ("a\x9b31mb", "ab"),
        ("abc\u202etxt.exe", "abctxt.exe"),
        ("two\nlines\t and  blanks", "two lines and blanks"),
        ("ünïcödé ✔ 日本", "ünïcödé ✔ 日本"),
    ],
)
def test_what_a_terminal_would_obey_is_stripped(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_lines_stay_lines_where_they_are_wanted() -> None:
    assert clean("a\n\tb\x00", one_line=False) == "a\n\tb"


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Paint(Terminal())("x", "red") == "\x1b[31mx\x1b[0m"
    assert Paint(io.StringIO())("x", "red") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Paint(Terminal())("x", "red") == "x"


def test_columns_are_aligned() -> None:
    lines = table([("1", "long one", "x"), ("22", "b", "y")], Paint(io.StringIO()), ("#", "n", ""))
    assert lines == ["#   n", "1   long one  x", "22  b         y"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (60, "1 min"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_durations_are_said_as_people_do(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_time_to_come_says_in_how_long() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert when((now + timedelta(minutes=15)).isoformat(), now).endswith("(in 15 min)")
    assert when((now - timedelta(minutes=1)).isoformat(), now).endswith("(now)")


def test_sizes_and_cuts() -> None:
    assert (size(999), size(82_900_000_000)) == ("999 B", "82.9 GB")
    assert (shorten("abcdef", 4), shorten("abc", 4)) == ("abc…", "abc")


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301tude", 5, "e\u0301tude"),
        ("abc", None, "abc"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_text_is_cut_by_the_columns_that_it_takes(text: str, width: int | None, cut: str) -> None:
    assert shorten(text, width) == cut
    assert width is None or width_of(cut) <= width


def test_wide_characters_do_not_break_columns() -> None:
    lines = table([("日本", "x"), ("abcd", "y")], Paint(io.StringIO()))
    assert lines == ["日本  x", "abcd  y"]


def test_a_table_ends_where_its_terminal_does() -> None:
    paint = Paint(io.StringIO())
    paint.width = 10
    assert table([("1", "x" * 50)], paint) == ["1  xxxxxx…"]


def test_text_is_wrapped_on_a_terminal_only() -> None:
    assert wrap("one two three", 10) == ["  one two", "  three"]
    assert wrap("one two three", None) == ["  one two three"]
    assert wrap("", 10) == ["  "]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "0 s"), (59, "59 s"), (714, "12 min"), (7830, "2 h 10 min"), (270_000, "3 d 3 h")],
)
def test_a_wait_is_told_without_what_does_not_matter(seconds: float, expected: str) -> None:
    assert about(seconds) == expected


def test_a_time_that_is_not_near_has_its_day() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert clock((now + timedelta(hours=3)).isoformat(), now).count(":") == 1
    assert "26 Nov" in when((now + timedelta(days=3)).isoformat(), now)


def test_what_the_daemon_writes_in_utc_is_told_on_the_local_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C.10: one clock on a screen, with its name. What is no time of the daemon's stays."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        told = "opens 2026-11-23 20:30Z, the 5-hour window 02:10Z; v1:20Z, 2026-11-23T20:30Z"
        assert for_terminal(told) == (
            "opens 2026-11-24 05:30 JST, the 5-hour window 11:10 JST; v1:20Z, 2026-11-23T20:30Z"
        )
        now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        assert when("2026-11-23T13:00:00Z", now) == "22:00 JST (in 1 h 0 min)"
        assert dated("2026-11-23T20:30:00Z") == "2026-11-24 05:30 JST"
    finally:
        monkeypatch.undo()
        time.tzset()
