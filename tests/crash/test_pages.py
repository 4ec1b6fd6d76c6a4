"""The figures of long runs are written into a page that people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import __main__ as kills
from tests.crash import git_kills

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
MARKERS = [(kills.BEGIN, kills.END), (git_kills.BEGIN, git_kills.END)]


@pytest.mark.parametrize("markers", MARKERS)
def test_figures_take_the_place_of_the_last_ones(tmp_path: Path, markers: tuple[str, str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(text := PAGE.read_text("utf-8"), "utf-8")
    kills.write_page(page, ["| a new figure |"], markers)
    written = page.read_text("utf-8")
    before, after = text.partition(markers[0])[0], text.partition(markers[1])[2]
    assert written.startswith(before)
    assert written.endswith(after)
    assert "\n".join([markers[0], "", "| a new figure |", "", markers[1]]) in written


def test_a_page_without_a_place_for_figures_stays_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Reliability\n", "utf-8")
    with pytest.raises(ValueError, match="figures of the killed gits"):
        kills.write_page(page, ["| a figure |"], MARKERS[1])
    assert page.read_text("utf-8") == "# Reliability\n"
