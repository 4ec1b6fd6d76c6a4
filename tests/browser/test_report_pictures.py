"""A report as people see it: compared with stored pictures, and checked for what keeps some people
from reading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.report.report_page import report_html
from tests.support import pictures
from tests.support.browser import Page
from tests.support.fetched import npm_modules
from tests.support.hostile_reports import hostile_report
from tests.support.pictures import COMMANDS, LOOKS, SHARE, Look
from tests.support.sample_reports import usual_report

AXE = "axe-core@4.10.3"
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture(scope="module")
def axe() -> str:
    folder = npm_modules("axe-core-4.10.3", AXE)
    return (folder / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def _file(folder: Path, html: str) -> Path:
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_report_looks_as_its_stored_picture(page: Page, tmp_path: Path, look: Look) -> None:
    """At most 2 % of the pixels may differ by more than 48 of 255 in a colour."""
    file = _file(tmp_path, report_html(usual_report(), COMMANDS))
    page.open(file, look.width, dark=look.dark)
    picture = page.picture()
    kept, stored = pictures.keep(f"{look.name}.png", picture), pictures.stored(look)
    share = pictures.differing_share(page, picture, stored.read_bytes())
    assert share <= SHARE, f"{share:.1%} differ: compare {kept} with {stored}"


def test_two_pages_that_differ_do_not_count_as_the_same(page: Page) -> None:
    light, dark = (pictures.stored(Look(400, dark)).read_bytes() for dark in (False, True))
    assert pictures.differing_share(page, light, dark) > SHARE
    assert pictures.differing_share(page, light, light) == 0


def test_the_picture_of_the_readme_is_of_this_page(page: Page, tmp_path: Path) -> None:
    page.open(_file(tmp_path, report_html(usual_report(), COMMANDS)), pictures.README_WIDTH)
    picture = page.picture(pictures.README_HEIGHT)
    pictures.keep("readme.png", picture)
    stored = pictures.README_PICTURE.read_bytes()
    assert pictures.differing_share(page, picture, stored) <= SHARE


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
@pytest.mark.parametrize("make", [usual_report, hostile_report], ids=["usual", "hostile"])
def test_axe_has_nothing_against_a_report(
    page: Page, tmp_path: Path, axe: str, look: Look, make: object
) -> None:
    """Contrast, roles, names and order, by the rules of WCAG 2.2 AA."""
    assert callable(make)
    page.open(_file(tmp_path, report_html(make(), COMMANDS)), look.width, dark=look.dark)
    page.evaluate(UNFOLD)
    page.evaluate(axe)
    options = f"{{runOnly: {list(WCAG)!r}, resultTypes: ['violations']}}"
    violations = page.evaluate(
        f"axe.run(document, {options}).then(r => r.violations.map(v => [v.id, v.nodes.length, "
        "v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + n.failureSummary)]))"
    )
    assert violations == []
