"""Makes the page of a report: one file that needs no script and loads nothing.

It is at most MOST_BYTES: each section has a budget, and what every page has is bounded by the
limits of its texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup, escape

from rover_mcp.domain.pause_words import resumption, sentence
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.domain.text import visible
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.pages.markdown import markdown_html
from rover_mcp.pages.page_shell import environment, render_page, style_of
from rover_mcp.pages.terminal_colours import terminal_html
from rover_mcp.report.diff_section import FileSection, file_sections
from rover_mcp.report.report_models import IterationReport, LogReport, TaskReport
from rover_mcp.report.section_budget import SectionBudget
from rover_mcp.report.timeline_section import overview, rows_html, scale_of

MOST_BYTES: Final = 2_000_000
TIMELINE_BYTES: Final = 450_000
DIFF_BYTES: Final = 700_000
LOGS_BYTES: Final = 450_000
TEXT_BYTES: Final = 60_000
"""Of a text in Markdown as HTML; one that takes more is shown as it was written."""
TEXT_SHOWN: Final = 8_000
"""Characters of a text that is shown as it was written."""
_TEMPLATES: Final = Path(__file__).parent / "templates"
_TONES: Final = {
    TaskStatus.COMPLETED: "good",
    TaskStatus.MERGED: "good",
    TaskStatus.PUSHED: "good",
    TaskStatus.FAILED: "bad",
    TaskStatus.PAUSED: "warn",
    TaskStatus.CANCELLED: "",
}


@dataclass(frozen=True)
class NextCommand:
    """What the reader can do next: a command, and why."""

    command: str
    why: str


@dataclass(frozen=True)
class _IterationSection:
    report: IterationReport
    rows: Markup
    left_out: int


@dataclass(frozen=True)
class _LogSection:
    log: LogReport
    html: Markup
    unfolded: bool


def report_html(report: TaskReport, commands: Sequence[NextCommand]) -> str:
    """The page, in UTF-8 at most MOST_BYTES long."""
    for share in (1.0, 0.5, 0.2, 0.0):
        html = _page(report, commands, share)
        if len(html.encode(errors="replace")) <= MOST_BYTES:
            break
    return html  # pyright: ignore[reportPossiblyUnbound]  # there are shares


def _page(report: TaskReport, commands: Sequence[NextCommand], share: float) -> str:
    task = report.task
    macros: Any = environment(_TEMPLATES).get_template("timeline.html").module
    logs = list(_logs(report, SectionBudget(int(share * LOGS_BYTES))))
    files = _files(report, SectionBudget(int(share * DIFF_BYTES)))
    return render_page(
        _TEMPLATES,
        "report.html",
        title=f"Task {task.number}: {visible(task.title)[:200]}",
        style=style_of(_TEMPLATES / "report.css"),
        report=report,
        task=task,
        tone=_TONES.get(task.status, "busy"),
        verdict=verdict_of(report),
        commands=commands,
        project=task.repo_path.rstrip("/").rpartition("/")[2],
        description=text_html(report.description),
        summary=text_html(report.summary) if report.summary else None,
        bar_spans=overview(report.iterations, report.made_at),
        begun=min((it.at for it in report.iterations if it.at), default=None),
        ended=max((it.until or report.made_at for it in report.iterations), default=None),
        iterations=_iterations(report, macros, SectionBudget(int(share * TIMELINE_BYTES))),
        files=files,
        hand_off=[file for file in files if file.run_by],
        logs=logs,
        logs_left_out=report.logs_left_out + len(report.logs) - len(logs),
    )


def verdict_of(report: TaskReport) -> str:
    """How the task stands, in a sentence."""
    task = report.task
    match task.status:
        case TaskStatus.PAUSED if task.pause:
            return _paused(report)
        case TaskStatus.FAILED:
            return task.error or "It failed."
        case TaskStatus.COMPLETED | TaskStatus.MERGED | TaskStatus.PUSHED if task.verdict:
            return f"It is done, but: {task.verdict}"
        case TaskStatus.COMPLETED:
            return "It is done. Its branch is ready to be reviewed."
        case TaskStatus.MERGED:
            return "It is done, and its branch was merged."
        case TaskStatus.PUSHED:
            return "It is done, and its branch was pushed."
        case TaskStatus.CANCELLED:
            return "It was cancelled. What it did until then is kept."
        case _:
            return f"It is still at work: {task.phase}. This page shows it as it was then."


def _paused(report: TaskReport) -> str:
    pause = report.task.pause
    assert pause is not None  # noqa: S101  # for the type checker: the caller has looked
    after = resumption(
        automatic=pause.auto_resume,
        at=utc_minute(pause.retry_at) if pause.retry_at else None,
        because=pause.waits_because,
        waits_for="you",
    )
    reason = str(pause.reason).replace("_", " ")
    return f"It is paused ({reason}): {sentence(pause.message.rstrip('.'))} {sentence(after)}"


def text_html(text: str) -> Markup:
    """A person's or an agent's text: as Markdown, unless that takes too much room."""
    html = markdown_html(text)
    if len(html.encode(errors="replace")) <= TEXT_BYTES:
        return html
    more = len(text) - TEXT_SHOWN
    note = f"\n[{more:,} more characters]" if more > 0 else ""
    return Markup("<pre class=plain>{}</pre>").format(visible(text[:TEXT_SHOWN]) + note)


def _iterations(report: TaskReport, macros: Any, budget: SectionBudget) -> list[_IterationSection]:
    sections: list[_IterationSection] = []
    # The newest first gets its room: it is the one that is asked about.
    for iteration in reversed(report.iterations):
        scale = scale_of(iteration, report.made_at)
        if scale is None:
            sections.append(_IterationSection(iteration, Markup(""), 0))
            continue
        rows, left_out = rows_html(iteration.rows, scale, macros, budget)
        sections.append(_IterationSection(iteration, rows, left_out + iteration.left_out))
    return sections


def _files(report: TaskReport, budget: SectionBudget) -> list[FileSection]:
    paths = report.task.changes.paths if report.task.changes else []
    run_by = {file.path: file.run_by for file in paths if file.run_by}
    return list(file_sections(report.patch, run_by, budget))[:1000]


def _logs(report: TaskReport, budget: SectionBudget) -> Iterator[_LogSection]:
    failed = report.task.status is TaskStatus.FAILED
    for place, log in enumerate(report.logs):
        html = terminal_html(log.text)
        # Colours can take many times the room of the text that they colour.
        if len(html) > 4 * len(log.text) + 1000:
            html = escape(visible(log.text))
        if not budget.take(html):
            return
        yield _LogSection(log, html, unfolded=failed and place == 0)
