"""Every surface puts a pause into the same words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rover_mcp
from rover_mcp.domain import pause_words as w

AT = "17:40"
ELSEWHERE = ("domain/pause_words.py", "launcher/glance.py")
"""The launcher uses the standard library alone and cannot import the words; a test of its own holds
it to the same sentence."""


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"automatic": True, "at": AT, "because": None}, "it resumes automatically at 17:40"),
        ({"automatic": True, "at": None, "because": "X first"}, "it waits: X first"),
        ({"automatic": False, "at": AT, "because": "Y", "waits_for": "you"}, "it waits for you: Y"),
        ({"automatic": False, "at": None, "because": None}, "it waits: nothing is lost"),
    ],
)
def test_a_pause_says_whether_and_when_it_ends(state: dict[str, object], words: str) -> None:
    assert w.resumption(**state) == words  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_line_of_a_list_says_what_a_pause_waits_for() -> None:
    assert w.resumption_in_short(automatic=False, at=AT, obstacle=None) == "waits for you"
    assert w.resumption_in_short(automatic=True, at=AT, obstacle=None) == "resumes at 17:40"
    assert w.resumption_in_short(automatic=True, at=None, obstacle="waits for X") == "waits for X"
    assert "credential" in w.resumption_in_short(automatic=True, at=None, obstacle=None)


def test_automatic_resumes_are_counted_where_they_end() -> None:
    assert w.next_resume("transient", 1, 5) == "automatic resume 2 of 5"
    assert w.next_resume("credits", 1, 5) == "automatic resume 2"


def test_no_other_module_words_when_a_pause_ends() -> None:
    package = Path(rover_mcp.__file__).parent
    words = re.compile(r"resumes automatically at \{|waits for you\b")
    places = [
        str(path.relative_to(package))
        for path in sorted(package.rglob("*.py"))
        if words.search(path.read_text())
    ]
    assert [place for place in places if place not in ELSEWHERE] == []
