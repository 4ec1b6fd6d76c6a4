"""The section of a report with what happened when: steps, pauses and loops as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from agent_runner.models import StepStatus
from rover_mcp.report.report_models import (
    IterationReport,
    LoopPass,
    LoopRow,
    MarkRow,
    PauseRow,
    Row,
    StepRow,
)
from rover_mcp.report.section_budget import SectionBudget

MOST_SEGMENTS: Final = 300
WIDTH: Final = 1000
"""Units of the width of a bar."""

Macro = Callable[..., Markup]


@dataclass(frozen=True)
class Span:
    """A part of a bar, in units of its width. `kind`: work or wait."""

    kind: str
    x: float
    width: float


@dataclass(frozen=True)
class Scale:
    """Places moments on a bar."""

    begin: datetime
    end: datetime

    def span(self, kind: str, at: datetime, until: datetime | None) -> Span:
        total = max((self.end - self.begin).total_seconds(), 1e-3)
        x = (at - self.begin).total_seconds() / total * WIDTH
        width = ((until or self.end) - at).total_seconds() / total * WIDTH
        # What is too short to be seen is drawn two units wide.
        x = min(max(0.0, x), WIDTH - 2.0)
        return Span(kind, round(x, 1), round(min(max(2.0, width), WIDTH - x), 1))


def scale_of(iteration: IterationReport, now: datetime) -> Scale | None:
    """The scale of an iteration's bars; None: it has not begun."""
    if iteration.at is None:
        return None
    waits = any(row.until is None for row in pauses(iteration.rows))
    end = now if waits or iteration.until is None else iteration.until
    return Scale(iteration.at, max(end, iteration.at))


def overview(iterations: Sequence[IterationReport], now: datetime) -> list[Span]:
    """The bar of a task: when it worked, and when it waited. Between its iterations it is empty."""
    scales = [(one, scale) for one in iterations if (scale := scale_of(one, now)) is not None]
    if not scales:
        return []
    every = Scale(min(s.begin for _, s in scales), max(s.end for _, s in scales))
    spans: list[Span] = []
    for iteration, scale in scales:
        begin = scale.begin
        for pause in list(pauses(iteration.rows))[:MOST_SEGMENTS]:
            if pause.at > begin:
                spans.append(every.span("work", begin, pause.at))
            spans.append(every.span("wait", pause.at, pause.until))
            begin = pause.until or scale.end
        if begin < scale.end:
            spans.append(every.span("work", begin, scale.end))
    return spans


def pauses(rows: Sequence[Row]) -> Iterator[PauseRow]:
    """Every pause, those in loops included, in the order of time."""
    for row in rows:
        if isinstance(row, PauseRow):
            yield row
        elif isinstance(row, LoopRow):
            for one in row.passes:
                yield from pauses(one.rows)


def rows_html(
    rows: Sequence[Row], scale: Scale, macros: Any, budget: SectionBudget
) -> tuple[Markup, int]:
    """The rows that fit, and how many do not."""
    html, count = budget.fitting(_row(row, scale, macros, budget) for row in rows)
    return html, len(rows) - count


def _row(row: Row, scale: Scale, macros: Any, budget: SectionBudget) -> Markup:
    match row:
        case StepRow():
            last = row.until or scale.end
            spans = [scale.span("work", t.at, t.until or last) for t in row.tries[:MOST_SEGMENTS]]
            worked = sum(((t.until or last) - t.at).total_seconds() for t in row.tries)
            return macros.step_row(row, spans, worked)
        case PauseRow():
            span = scale.span("wait", row.at, row.until)
            return macros.pause_row(row, [span], seconds_of(row, scale.end))
        case LoopRow():
            span = scale.span("loop", row.at, row.until)
            inner, count = budget.fitting(
                _pass(row, one, scale, macros, budget) for one in row.passes
            )
            missing = row.left_out + len(row.passes) - count
            unfolded = row.status in (StepStatus.FAILED, StepStatus.RUNNING)
            return macros.loop_row(
                row, [span], seconds_of(row, scale.end), inner, missing, unfolded
            )
        case MarkRow():
            return macros.mark_row(row)


def _pass(row: LoopRow, one: LoopPass, scale: Scale, macros: Any, budget: SectionBudget) -> Markup:
    inner, missing = rows_html(one.rows, scale, macros, budget)
    return macros.loop_pass(row, one, inner, missing + one.left_out)


def seconds_of(row: PauseRow | LoopRow, now: datetime) -> float:
    """How long it lasted, until now where it lasts."""
    return max(0.0, ((row.until or now) - row.at).total_seconds())
