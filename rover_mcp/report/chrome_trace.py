"""A report's timeline as a trace that Perfetto and Chrome show.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU, "JSON
Array Format" with complete events (`ph` "X", times in microseconds) and metadata (`ph` "M").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from agent_runner.json_object import Json
from rover_mcp.report.report_models import LoopRow, MarkRow, PauseRow, Row, StepRow, TaskReport

_STEPS: Final = 1
_PAUSES: Final = 2
_MICROSECONDS: Final = 1_000_000


def chrome_trace(report: TaskReport) -> Json:
    """The trace: a process for each iteration, with a thread for steps and one for pauses. Loops
    are around their steps; each try of a step is an event of its own."""
    events: list[Json] = []
    for iteration in report.iterations:
        events += _names(iteration.number)
        events += _events(iteration.rows, iteration.number, report.made_at)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _names(number: int) -> list[Json]:
    named = [("process_name", 0, f"iteration {number}")]
    named += [("thread_name", _STEPS, "steps"), ("thread_name", _PAUSES, "pauses")]
    return [
        {"ph": "M", "pid": number, "tid": thread, "name": kind, "args": {"name": name}}
        for kind, thread, name in named
    ]


def _events(rows: Sequence[Row], number: int, now: datetime) -> Iterator[Json]:
    for row in rows:
        match row:
            case StepRow():
                for place, one in enumerate(row.tries, start=1):
                    args = {"step": row.id, "try": place, "status": str(row.status)}
                    args |= {"why": one.why} if one.why else {}
                    yield _event(row.name, row.type, number, _STEPS, one.at, one.until or now, args)
            case LoopRow():
                args = {"step": row.id, "status": str(row.status)}
                yield _event(row.name, row.type, number, _STEPS, row.at, row.until or now, args)
                for one in row.passes:
                    yield from _events(one.rows, number, now)
            case PauseRow():
                name = f"waits for {row.who}"
                args = {"reason": str(row.reason), "message": row.message}
                yield _event(name, "pause", number, _PAUSES, row.at, row.until or now, args)
            case MarkRow():
                yield {
                    "ph": "i", "s": "p", "pid": number, "tid": _STEPS, "name": row.text,
                    "ts": _microseconds(row.at),
                }  # fmt: skip


def _event(
    name: str, kind: str, number: int, thread: int, at: datetime, until: datetime, args: Any
) -> Json:
    begin = _microseconds(at)
    return {
        "ph": "X", "pid": number, "tid": thread, "name": name, "cat": kind,
        "ts": begin, "dur": max(0, _microseconds(until) - begin), "args": args,
    }  # fmt: skip


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * _MICROSECONDS)
