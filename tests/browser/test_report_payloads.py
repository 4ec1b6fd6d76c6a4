"""R3: no text of an agent, a provider or a forge can run, load or fake anything in a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.report.report_page import MOST_BYTES, NextCommand, report_html
from tests.support.browser import Page
from tests.support.hostile_reports import MARKER, PAYLOADS, hostile_report
from tests.support.sample_reports import usual_report

WIDE = (
    "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && "
    "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))"
)


def test_there_are_at_least_thirty_payloads() -> None:
    assert len(set(PAYLOADS)) >= 30


@pytest.mark.parametrize("width", [1400, 400])
def test_no_payload_runs_loads_or_breaks_anything(page: Page, tmp_path: Path, width: int) -> None:
    """All payloads in every text of a report at once."""
    path = tmp_path / "report.html"
    html = report_html(hostile_report(), [NextCommand(text, text) for text in PAYLOADS])
    path.write_text(html, encoding="utf-8", errors="replace")
    assert path.stat().st_size <= MOST_BYTES

    page.open(path, width)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    # Whatever waits for a turn of the page's own loop has had one after two frames.
    page.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    assert page.evaluate(f"typeof window.{MARKER}") == "undefined"
    assert page.requests == [path.as_uri()]
    assert page.console == []
    assert page.dialogs == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(WIDE) == []
    expected = ["asked", "iterations", "timeline", "changes", "logs", "provenance"]
    sections = "[...document.querySelectorAll('main > section[id]')].map(s => s.id)"
    assert page.evaluate(sections) == expected
    assert page.evaluate("document.querySelectorAll('script, img, iframe, form').length") == 0
    links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.protocol)")
    assert set(links) <= {"file:", "http:", "https:", "mailto:"}


def test_the_policy_stops_what_escaping_would_let_through(page: Page, tmp_path: Path) -> None:
    """The second line: even HTML that got into a page neither runs nor loads anything."""
    html = report_html(usual_report(), [])
    path = tmp_path / "report.html"
    path.write_text(html.replace("<main>", "<main>" + "".join(PAYLOADS[:2] + PAYLOADS[5:8])))
    page.open(path)
    assert page.evaluate(f"typeof window.{MARKER}") == "undefined"
    assert page.requests[0] == path.as_uri()
    assert page.requests[1:]
    assert page.requests[1:] == page.blocked
    assert any("Content Security Policy" in text for text in page.console)
