"""Makes rows of a journal's records: a step with its retries is one row, a pause is a gap, and what
ran in a loop is inside the loop's row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.models import (
    AgentSession,
    Pause,
    PauseReason,
    StepStatus,
    Usage,
    loop_positions,
    verdict_line,
)
from rover_mcp.report.report_models import (
    IterationReport,
    LoopPass,
    LoopRow,
    MarkRow,
    PauseRow,
    Row,
    StepRow,
    StepTry,
)

MOST_ROWS: Final = 600
"""Rows of an iteration, and of one pass of a loop. Of more, the first and the last are kept."""
FIRST_ROWS: Final = 100
MOST_PASSES: Final = 40
"""Passes of a loop; of more, the last are kept."""
MOST_TRIES: Final = 20
TEXT_KEPT: Final = 600
"""Characters of a message or an error."""
YOU: Final = "you"
MACHINE: Final = "the machine"
_NAMES: Final = {"openai": "OpenAI", "github-copilot": "GitHub Copilot", "openrouter": "OpenRouter"}
_PERSON: Final = frozenset(
    {PauseReason.REQUESTED, PauseReason.BUDGET, PauseReason.AUTH, PauseReason.NEEDS_LOOK}
)


def waits_for(reason: PauseReason, provider: str | None) -> str:
    """For whom a task waits in such a pause."""
    if reason in _PERSON:
        return YOU
    if reason is PauseReason.INTERRUPTED:
        return MACHINE
    name = provider or "its provider"
    return _NAMES.get(name, name[:1].upper() + name[1:] if provider else name)


@dataclass
class _Known:
    """A step as the workflow defines it."""

    name: str
    type: str
    parent: str | None
    limit: int | None


@dataclass
class Timeline:
    """The rows of one iteration, built record by record."""

    number: int
    _report: IterationReport = field(init=False)
    _known: dict[str, _Known] = field(default_factory=dict[str, _Known])
    _rows: dict[tuple[str, tuple[int, ...]], StepRow | LoopRow] = field(
        default_factory=dict[tuple[str, tuple[int, ...]], StepRow | LoopRow]
    )
    _latest: dict[str, StepRow | LoopRow] = field(default_factory=dict[str, StepRow | LoopRow])
    _pause: PauseRow | None = None
    _ran_since: datetime | None = None
    _last: datetime | None = None

    def __post_init__(self) -> None:
        self._report = IterationReport(number=self.number, status="new")

    def add(self, record: Record) -> None:
        """Take the next record. One that does not fit is left out."""
        handle = _HANDLERS.get(record.type)
        if handle is not None:
            handle(self, record)
        self._last = record.at

    def damaged(self, record: Record, error: Exception) -> None:
        """Note that a record was left out."""
        self._last = record.at
        self._report.damage = f"record {record.seq} ({record.type}): {error}"[:TEXT_KEPT]

    def finish(self, now: datetime, *, running: bool) -> IterationReport:
        """The iteration as it stands. `running`: its runner works at this moment."""
        report = self._report
        if self._ran_since is not None:
            end = now if running else self._last or self._ran_since
            report.worked_s += (end - self._ran_since).total_seconds()
            self._ran_since = None
            if not running:
                self._stop_steps(end, StepStatus.INTERRUPTED, None)
        if self._pause is not None:
            report.waited_s += max(0.0, (now - self._pause.at).total_seconds())
        report.rows, report.left_out = _kept(report.rows)
        return report

    # --- records of a run ---

    def run_start(self, record: Record) -> None:
        for raw in record.data["steps"]:
            self._known[str(raw["id"])] = _Known(
                str(raw["name"]), str(raw["type"]), raw.get("parent"), raw.get("limit")
            )
        report = self._report
        self._resumed(record)
        if report.at is None:
            report.at = record.at
        elif record.data.get("restart"):
            self._rows.clear()
            report.rows.append(MarkRow(at=record.at, text="started over from its base"))
        report.status = "running"

    def _resumed(self, record: Record) -> None:
        """Close the pause before; a run that ended without a record was interrupted."""
        if self._ran_since is not None and self._last is not None:
            reason = PauseReason.INTERRUPTED
            self._begin_pause(self._last, reason, "its sandbox ended without a record", MACHINE)
        if self._pause is not None:
            self._pause.until = record.at
            self._report.waited_s += max(0.0, (record.at - self._pause.at).total_seconds())
            self._pause = None
        self._ran_since = record.at
        self._report.until = None

    def resume(self, record: Record) -> None:
        self._report.status = "running"

    def _begin_pause(
        self, at: datetime, reason: PauseReason, message: str, who: str, step: str | None = None
    ) -> None:
        self._ended(at)
        self._stop_steps(at, StepStatus.INTERRUPTED, f"paused: {reason}")
        self._pause = PauseRow(
            reason=reason, message=message[:TEXT_KEPT], who=who, step=step, at=at
        )
        self._beside(step).append(self._pause)

    def pause(self, record: Record) -> None:
        pause = Pause.model_validate(record.data["pause"])
        who = waits_for(pause.reason, pause.provider)
        self._begin_pause(record.at, pause.reason, pause.message, who, pause.step)
        self._report.status = "paused"

    def _ended(self, at: datetime) -> None:
        if self._ran_since is not None:
            self._report.worked_s += max(0.0, (at - self._ran_since).total_seconds())
        self._ran_since = None
        self._report.until = at

    def complete(self, record: Record) -> None:
        self._ended(record.at)
        self._report.status = "completed"

    def fail(self, record: Record) -> None:
        self._ended(record.at)
        self._stop_steps(record.at, StepStatus.FAILED, None)
        self._report.status = "failed"

    def warning(self, record: Record) -> None:
        """A retry in place is a warning that names its step."""
        message = str(record.data["message"])
        for step_id, row in self._latest.items():
            prefix = f"step {step_id} failed: "
            if isinstance(row, StepRow) and row.until is None and message.startswith(prefix):
                why = message.removeprefix(prefix)
                self._close_try(row, record.at, why)
                row.tries.append(StepTry(at=record.at))

    # --- records of a step ---

    def step_start(self, record: Record) -> None:
        step_id, place = self._place(record)
        row = self._rows.get((step_id, place))
        if row is None or row.status in (StepStatus.COMPLETED, StepStatus.SKIPPED):
            row = self._new_row(step_id, record.at)
            self._rows[step_id, place] = row
            self._beside(step_id, place).append(row)
        row.status, row.until, row.error = StepStatus.RUNNING, None, None
        if isinstance(row, StepRow):
            row.tries.append(StepTry(at=record.at))
            # The first and the last ones say what happened.
            del row.tries[1 : max(1, len(row.tries) - MOST_TRIES + 1)]
        self._latest[step_id] = row
        self._run_around(step_id)

    def _run_around(self, step_id: str) -> None:
        """What is around a step that runs again after a pause runs again, too."""
        known = self._known.get(step_id)
        while known is not None and known.parent is not None:
            row = self._latest.get(known.parent)
            if row is not None and row.status is StepStatus.INTERRUPTED:
                row.status, row.until = StepStatus.RUNNING, None
            known = self._known.get(known.parent)

    def _new_row(self, step_id: str, at: datetime) -> StepRow | LoopRow:
        known = self._known.get(step_id) or _Known(step_id, "step", None, None)
        holds = any(other.parent == step_id for other in self._known.values())
        if known.type in ("loop", "parallel") or holds:
            row = LoopRow(
                id=step_id, name=known.name, type=known.type, status=StepStatus.RUNNING, at=at,
                limit=known.limit,
            )  # fmt: skip
            if known.type != "loop":
                row.passes.append(LoopPass(number=1))
            return row
        self._report.steps += 1
        return StepRow(
            id=step_id, name=known.name, type=known.type, status=StepStatus.RUNNING, at=at
        )

    def loop_iteration(self, record: Record) -> None:
        step_id, _ = self._place(record)
        row = self._latest.get(step_id)
        if isinstance(row, LoopRow):
            row.passes.append(LoopPass(number=int(record.data["iteration"])))
            if len(row.passes) > MOST_PASSES:
                row.left_out += 1
                del row.passes[0]

    def session(self, record: Record) -> None:
        row = self._latest.get(str(record.data["step"]))
        session = AgentSession.model_validate(record.data["session"])
        if isinstance(row, StepRow):
            row.agent = f"{session.agent} {session.version}" if session.version else session.agent

    def usage(self, record: Record) -> None:
        more = Usage.model_validate(record.data["usage"])
        self._report.usage = self._report.usage.plus(more)
        row = self._latest.get(str(record.data["step"]))
        if isinstance(row, StepRow):
            row.usage = (row.usage or Usage()).plus(more)

    def step_end(self, record: Record) -> None:
        step_id, _ = self._place(record)
        row = self._latest.get(step_id)
        if row is None or row.until is not None:
            return
        failed = record.type is RecordType.STEP_FAIL
        row.status = StepStatus.FAILED if failed else StepStatus.COMPLETED
        row.until = record.at
        error = str(record.data.get("error") or "")[:TEXT_KEPT] if failed else ""
        row.error = error or None
        if verdict := record.data.get("verdict"):
            self._report.verdict = verdict_line(str(verdict))
        if isinstance(row, LoopRow):
            return
        detail = record.data.get("detail")
        row.detail = None if detail is None else str(detail)[:TEXT_KEPT]
        row.tolerated = failed and bool(record.data.get("tolerated"))
        self._report.failed += failed and not row.tolerated
        self._close_try(row, record.at, error or None)

    def step_skip(self, record: Record) -> None:
        step_id, place = self._place(record)
        row = self._new_row(step_id, record.at)
        row.status, row.until = StepStatus.SKIPPED, record.at
        self._rows[step_id, place] = self._latest[step_id] = row
        self._beside(step_id, place).append(row)

    # --- helpers ---

    def _place(self, record: Record) -> tuple[str, tuple[int, ...]]:
        positions = loop_positions(record.data)
        return str(record.data["step"]), tuple(p.iteration for p in positions)

    def _beside(self, step_id: str | None, place: tuple[int, ...] | None = None) -> list[Row]:
        """The rows among which a step's row stands: those of the present pass around it."""
        known = self._known.get(step_id or "")
        around = self._latest.get(known.parent or "") if known else None
        rows = self._report.rows
        if isinstance(around, LoopRow) and around.passes:
            rows = around.passes[-1].rows
        return rows

    def _stop_steps(self, at: datetime, status: StepStatus, why: str | None) -> None:
        for row in self._latest.values():
            if row.until is None:
                row.status, row.until = status, at
                if isinstance(row, StepRow):
                    self._close_try(row, at, why)

    @staticmethod
    def _close_try(row: StepRow, at: datetime, why: str | None) -> None:
        if row.tries and row.tries[-1].until is None:
            row.tries[-1].until = at
            row.tries[-1].why = why[:TEXT_KEPT] if why else None


def timeline(
    number: int, records: Iterable[Record], now: datetime, *, running: bool
) -> IterationReport:
    """The report of an iteration. A record without what its type requires is left out: the journal
    may be damaged, and what is known of the rest is still worth reading."""
    line = Timeline(number)
    for record in records:
        try:
            line.add(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            line.damaged(record, error)
    return line.finish(now, running=running)


def _kept(rows: list[Row]) -> tuple[list[Row], int]:
    for row in rows:
        for one in row.passes if isinstance(row, LoopRow) else ():
            one.rows, one.left_out = _kept(one.rows)
    if len(rows) <= MOST_ROWS:
        return rows, 0
    last = rows[FIRST_ROWS - MOST_ROWS :]
    return [*rows[:FIRST_ROWS], *last], len(rows) - MOST_ROWS


_HANDLERS: Final[Mapping[RecordType, Callable[[Timeline, Record], Any]]] = {
    RecordType.RUN_START: Timeline.run_start,
    RecordType.STEP_START: Timeline.step_start,
    RecordType.AGENT_SESSION: Timeline.session,
    RecordType.USAGE: Timeline.usage,
    RecordType.STEP_COMPLETE: Timeline.step_end,
    RecordType.STEP_SKIP: Timeline.step_skip,
    RecordType.STEP_FAIL: Timeline.step_end,
    RecordType.LOOP_ITERATION: Timeline.loop_iteration,
    RecordType.WARNING: Timeline.warning,
    RecordType.WORKFLOW_PAUSE: Timeline.pause,
    RecordType.WORKFLOW_RESUME: Timeline.resume,
    RecordType.WORKFLOW_COMPLETE: Timeline.complete,
    RecordType.WORKFLOW_FAIL: Timeline.fail,
}
