"""The sessions of docs/transcripts/terminal, played again."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.sessions import PAGES, SESSIONS, Session, UserMachine, page, play, stage_in

pytestmark = pytest.mark.real_agent

LEAST = 0.6
"""The share of a page's lines that has to be seen again: what else is on a machine differs."""


@pytest.fixture(scope="module")
def stage() -> Iterator[UserMachine]:
    # A short path: that of a socket has its limit.
    folder = Path(tempfile.mkdtemp(prefix="rover-sessions-"))
    try:
        with stage_in(folder) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def plain(text: str) -> list[str]:
    """The lines without their numbers and columns."""
    lines = (re.sub(r"\d+", "0", " ".join(line.split())) for line in text.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.name)
def test_a_session_is_still_as_its_page_says(session: Session, stage: UserMachine) -> None:
    """They follow each other, as on the pages.

    python -m tests.clients.sessions writes them anew.
    """
    now = plain(page(session, play(session, stage), stage))
    then = plain((PAGES / f"{session.name}.md").read_text("utf-8"))
    typed = [line for line in then if line.startswith("$ ")]
    assert [line for line in now if line.startswith("$ ")] == typed
    again = sum(line in now for line in then)
    assert again >= LEAST * len(then), f"{again} of {len(then)} lines are as on the page"


def test_there_are_ten() -> None:
    assert len(SESSIONS) == 10
    assert sorted(p.stem for p in PAGES.glob("*.md")) == [s.name for s in SESSIONS]
