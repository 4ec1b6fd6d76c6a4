"""What does not show, or moves what does, is shown as an escape."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.domain.text import MARK, marked, visible, visible_line, visible_patch


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b2J nul\x00 del\x7f back\x08", r"\x9b2J nul\x00 del\x7f back\x08"),
        ("over\rwritten", r"over\rwritten"),
        ("access\u202e/*\u2066 admin", r"access\u202e/*\u2066 admin"),
        ("ad\u200bmin \u2028 \ufeffx \xad", r"ad\u200bmin \u2028 \ufeffx \xad"),
        ("a\u200db", r"a\u200db"),
        ("tag \U000e0041\U000e007f", r"tag \U000e0041\U000e007f"),
        ("\U0001f469\u200d\U0001f52c \u0646\u200c\u0645 ünï 日本\ttab\n", "same"),
    ],
)
def test_nothing_is_left_out_and_nothing_is_obeyed(raw: str, shown: str) -> None:
    assert visible(raw) == (raw if shown == "same" else shown)


def test_a_name_stays_one_line() -> None:
    assert visible_line("a\nb\tc\u202e") == r"a\nb\tc\u202e"


def test_a_changed_line_end_shows_and_others_do_not() -> None:
    patch = " same\r\n-old\n+old\r\n in\rside\r\n"
    assert visible_patch(patch) == " same\n-old\n+old\\r\n in\\rside\n"


@given(st.text(max_size=80))
def test_what_is_shown_has_no_character_that_is_obeyed(text: str) -> None:
    for c in visible(text).replace("\n", "").replace("\t", ""):
        assert unicodedata.category(c) != "Cc"
        assert unicodedata.bidirectional(c) not in {
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        }  # fmt: skip


def test_a_log_marks_what_it_leaves_out_but_for_colours() -> None:
    """A program's colours are everywhere and hide nothing once they are gone."""
    raw = "\x1b[1;31mred\x1b[0m 10%\r20% \x1b[2K\x1b[1Gdone \x1b]52;c;cm0=\x07!\r\n"
    assert marked(raw) == f"red 10%{MARK}20% {MARK}done {MARK}!\n"
