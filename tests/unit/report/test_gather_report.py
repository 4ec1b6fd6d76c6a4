"""A report of what the store, the journals and the logs have of a task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_runner.models import RunStatus
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.report.gather_report import GatherReport
from rover_mcp.report.log_tails import LOG_BYTES, LOGS_BYTES, log_tails
from rover_mcp.report.report_page import MOST_BYTES, report_html
from rover_mcp.report.timeline_section import pauses
from rover_mcp.store.records import TaskRow
from tests.support.desk import ServerHarness, open_desk
from tests.support.large_tasks import write_large_task
from tests.support.samples import run_state, task_row


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ServerHarness]:
    with open_desk(tmp_path) as opened:
        yield opened


def _task() -> TaskRow:
    state = run_state(RunStatus.COMPLETED)
    row = task_row(iteration=5, status=TaskStatus.COMPLETED, run_state=state)
    return replace(row, ended_at=row.updated_at)


def test_a_large_task_has_a_small_page(desk: ServerHarness) -> None:
    """R1: of 20 MB of logs little more is read than is shown."""
    task = _task()
    write_large_task(desk.home, task.id)
    report = GatherReport(desk.tasks, lambda _: str)(task)
    assert len(report.iterations) == 5
    assert sum(one.steps for one in report.iterations) == 500
    assert sum(len(list(pauses(one.rows))) for one in report.iterations) == 40
    assert sum(len(log.text) for log in report.logs) <= LOGS_BYTES
    assert report.logs_left_out > 400
    html = report_html(report, [])
    assert len(html.encode()) <= MOST_BYTES
    assert html.count("waited for Anthropic") == 40


def test_every_text_of_a_report_is_redacted(desk: ServerHarness) -> None:
    task = replace(_task(), title="a sesame-1234", description="b sesame-1234", iteration=1)
    logs = TaskFolders(desk.home, task.id, 1).run / "logs"
    logs.mkdir(parents=True)
    (logs / "x.log").write_text("c sesame-1234\n")
    desk.work.patch = "diff --git a/x b/x\n@@ -0,0 +1 @@\n+d sesame-1234\n"

    def hide(text: str) -> str:
        return text.replace("sesame-1234", "***")

    report = GatherReport(desk.tasks, lambda _: hide)(task)
    assert "sesame" not in report.model_dump_json()
    shown = (report.task.title, report.description, report.logs[0].text)
    assert shown == ("a ***", "b ***", "c ***\n")
    assert "+d ***" in report.patch


def test_a_secret_at_the_edge_of_what_is_shown_is_redacted_first(tmp_path: Path) -> None:
    logs = TaskFolders(tmp_path, "t", 1).run / "logs"
    logs.mkdir(parents=True)
    secret = "sesame-1234"
    for offset in range(len(secret) + 1):
        text = f"{secret}{'x' * (LOG_BYTES - offset)}"
        (logs / "x.log").write_text(text)
        [log], _ = log_tails(tmp_path, "t", [1], lambda t: t.replace(secret, "*"))
        assert not any(part in log.text for part in (secret[:5], secret[-5:]))


def test_logs_are_the_newest_first_and_links_are_not_followed(tmp_path: Path) -> None:
    for iteration in (1, 2):
        logs = TaskFolders(tmp_path, "t", iteration).run / "logs"
        logs.mkdir(parents=True)
        for place, name in enumerate(("a", "b")):
            (logs / f"{name}.log").write_text(f"{iteration}{name}\n")
            os.utime(logs / f"{name}.log", (place, place))
    (logs / "c.log").symlink_to("/etc/passwd")
    (logs / "d.log").write_text("")
    shown, left_out = log_tails(tmp_path, "t", [1, 2], str)
    assert [log.text.strip() for log in shown] == ["2b", "2a", "1b", "1a"]
    assert left_out <= 1


def test_a_task_at_work_has_a_report_without_its_changes(desk: ServerHarness) -> None:
    task = replace(_task(), status=TaskStatus.ITERATING, ended_at=None)
    report = GatherReport(desk.tasks, lambda _: str)(task)
    assert (report.patch, report.task.changes) == ("", None)
    assert "not read while it is at work" in report_html(report, [])
    assert desk.work.compared == []
