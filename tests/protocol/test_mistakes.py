"""A model's mistakes are understood, or answered with a call that works (T5)."""

from __future__ import annotations

from pathlib import Path

from tests.protocol.mistakes import MISTAKES, PAGE, page, play, scene


def test_every_mistake_leads_to_what_was_meant(home: Path) -> None:
    """T5: each answer's next call is made, and works; the page is what happened."""
    assert len(MISTAKES) >= 31
    made = scene(home.parent)
    written = page(play(made), made)
    assert written == PAGE.read_text("utf-8"), "python -m tests.protocol.mistakes regenerates it"
