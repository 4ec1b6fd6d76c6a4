"""The page of a report: what is on its first screen, and that it is small whatever it shows."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.report.chrome_trace import chrome_trace
from rover_mcp.report.patch_parts import patch_files
from rover_mcp.report.report_models import LogReport, TaskReport
from rover_mcp.report.report_page import MOST_BYTES, NextCommand, report_html, verdict_of
from rover_mcp.tasks.view_models import FileChange, PauseView
from tests.support.sample_reports import BEGIN, PATCH, usual_report

NEXT = NextCommand("rover diff 12", "review what it changed")


class _Text(HTMLParser):
    """The text of a page, and its tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _read(html: str) -> tuple[str, _Text]:
    page = _Text()
    page.feed(html)
    return " ".join(" ".join(page.words).split()), page


def test_the_first_screen_says_what_a_reader_asks_first() -> None:
    html = report_html(usual_report(), [NEXT])
    text, _ = _read(html[: html.index("<nav")])
    for words in (
        "Make session tokens short-lived and revocable",
        "completed It is done.",
        "3 files +24 −4",
        "1 to look at first",
        "passed Run the tests",
        "$3.99",
        "1.25 M tokens, budget $10.00",
        "worked 45 min",
        "waited 3 h 12 min for Anthropic",
        "Branch rover/12-short-lived-tokens in /home/ada/shop",
        "rover diff 12",
    ):
        assert words in text


def test_the_sections_show_iterations_changes_logs_and_origins() -> None:
    html = report_html(usual_report(), [NEXT])
    text, page = _read(html)
    for words in (
        "Keep the old token format readable",
        "waited for Anthropic usage window: 5-hour limit reached",
        "2 tries",
        "run by GitHub Actions",
        "120 passed",
        "claude 2.1.4",
        "rover-task:5d1f0c2e9a7b",
        "9b" * 32,
        "github:acme/shop/issue/212",
    ):
        assert words in text
    changes = html[html.index('id="changes"') :]
    assert changes.index("ci.yml</code>") < changes.index("tokens.py</code>")
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "iframe", "link", "object", "form", "base"}
    assert not [a for _, a in page.tags if any(n.startswith("on") or n == "style" for n in a)]


def test_a_report_survives_its_way_as_json() -> None:
    report = usual_report()
    again = TaskReport.model_validate_json(report.model_dump_json())
    assert again == report
    assert report_html(again, [NEXT]) == report_html(report, [NEXT])


@pytest.mark.parametrize("status", list(TaskStatus))
def test_every_status_has_a_verdict_and_a_page(status: TaskStatus) -> None:
    report = usual_report()
    report.task.status = status
    report.task.pause = None
    assert verdict_of(report)
    assert str(status).lower().replace("_", " ") in report_html(report, [])


def test_a_pause_says_until_when_or_for_whom() -> None:
    report = usual_report()
    report.task.status = TaskStatus.PAUSED
    report.task.pause = PauseView(
        reason=PauseReason.USAGE_WINDOW, message="full", since=BEGIN, auto_resume=True,
        retry_at=BEGIN + timedelta(hours=3), max_retries=5,
    )  # fmt: skip
    assert "resumes automatically at 2026-11-30 12:12Z" in verdict_of(report)
    report.task.pause.retry_at, report.task.pause.auto_resume = None, False
    report.task.pause.waits_because = "the work needs a person"
    said = "It is paused (usage window): Full. It waits for you: the work needs a person."
    assert verdict_of(report) == said


def test_a_task_without_anything_has_a_page() -> None:
    report = usual_report(
        iterations=[], patch="", logs=[], waits=[], models=[], summary=None, checks=None,
        description="",
    )  # fmt: skip
    report.task.changes = report.task.usage = report.task.budget = None
    report.task.status = TaskStatus.NEW
    text, _ = _read(report_html(report, []))
    assert "Nothing has run yet." in text
    assert "no price known" in text
    assert "never waited" in text


@pytest.mark.parametrize(
    "patch",
    [
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n" + "+\n" * 300_000,
        "diff --git a/x.py b/x.py\n+++ b/x.py\n@@ -1 +1 @@\n+" + "&" * 1_000_000,
        "".join(f"diff --git a/{n} b/{n}\n@@ -0,0 +1 @@\n+<\n" for n in range(20_000)),
    ],
    ids=["short lines", "a long line", "many files"],
)
def test_a_large_patch_makes_no_large_page(patch: str) -> None:
    html = report_html(usual_report(patch=patch, patch_cut=True), [NEXT])
    assert len(html.encode()) <= MOST_BYTES
    assert "rover diff 12" in html


def test_large_texts_make_no_large_page() -> None:
    bad = "|" * 3000 + "\n" + "|-" * 3000 + "\n" + "a\n" * 1000
    colours = "".join(f"\x1b[3{n % 8}m<" for n in range(4000))
    logs = [
        LogReport(iteration=1, step=f"s{n}", path="/p" * 300, size=9, text=colours)
        for n in range(100)
    ]
    report = usual_report(description=bad, summary="*a*" * 6000, logs=logs)
    report.task.warnings = ['"' * 5000] * 500
    report.task.title = "&" * 100_000
    html = report_html(report, [NextCommand("&" * 9000, "<" * 9000)] * 50)
    assert len(html.encode()) <= MOST_BYTES
    assert re.search(r"\d+ more logs are not shown here", html)


def test_the_lines_of_a_patch_keep_their_numbers_and_their_ends() -> None:
    config, tokens, tests = patch_files(PATCH)
    assert (config.path, config.added, config.removed) == (".github/workflows/ci.yml", 1, 0)
    assert [line.new for line in config.lines if line.side == "added"] == [15]
    assert (tokens.added, tokens.removed) == (11, 3)
    assert tests.notes == ["new file mode 100644"]
    assert tests.lines[-1].new == 9


def test_names_and_lines_that_look_like_headers_are_taken_as_what_they_are() -> None:
    patch = (
        "diff --git a/old name b/new name\nsimilarity index 90%\nrename from old name\n"
        "rename to new name\n--- a/old name\n+++ b/new name\n@@ -1,2 +1,2 @@\n"
        "--- a/x\n+++ b/y\n\\ No newline at end of file\n"
        "diff --git a/bin b/bin\nBinary files a/bin and b/bin differ\n"
    )
    renamed, binary = patch_files(patch)
    assert renamed.path == "new name"
    assert [(line.side, line.text) for line in renamed.lines[1:]] == [
        ("removed", "-- a/x"), ("added", "++ b/y"), ("note", "No newline at end of file"),
    ]  # fmt: skip
    assert (binary.path, binary.notes) == ("bin", ["Binary files a/bin and b/bin differ"])


def test_files_that_programs_run_come_first_whatever_the_patch_says() -> None:
    report = usual_report()
    assert report.task.changes
    report.task.changes.paths = [
        FileChange(path="tests/test_tokens.py", added=9, removed=0, run_by="pytest")
    ]
    html = report_html(report, [])
    assert html.index("test_tokens.py</code> <span") < html.index("ci.yml</code> <span")


def test_the_trace_has_each_try_and_each_pause_at_its_time() -> None:
    report = usual_report()
    events = chrome_trace(report)["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    tries = [event for event in complete if event["name"] == "Implement" and event["pid"] == 1]
    [wait] = [event for event in complete if event["tid"] == 2]
    assert [event["args"]["try"] for event in tries] == [1, 2]
    assert (wait["name"], wait["dur"]) == ("waits for Anthropic", (3 * 3600 + 720) * 1_000_000)
    assert tries[0]["ts"] + tries[0]["dur"] == wait["ts"]
    assert {event["pid"] for event in events if event["ph"] == "M"} == {1, 2}
