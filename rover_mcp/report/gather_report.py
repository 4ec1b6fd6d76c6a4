"""Reads what a report says of a task: from the store, its journals, the hub and its logs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agent_runner.journal.journal_reader import JournalError, stream_journal
from agent_runner.journal.record_lines import Record
from rover_mcp import __version__
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import RUNNING, Event, TaskStatus
from rover_mcp.domain.usage_window import time_of
from rover_mcp.report.log_tails import log_tails
from rover_mcp.report.report_models import (
    AgentReport,
    IterationReport,
    LoopRow,
    ModelReport,
    PauseRow,
    Provenance,
    Row,
    StepRow,
    TaskReport,
    WaitReport,
)
from rover_mcp.report.timeline import timeline
from rover_mcp.sandbox.protocol import IMAGE_FILE
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.history import snapshots_of
from rover_mcp.tasks.race import checks_of
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.task_ports import DiffResult
from rover_mcp.tasks.view_models import ChangesView

MOST_ITERATIONS: Final = 12
"""Iterations of a report, the last ones."""
TEXT_KEPT: Final = 20_000
"""Characters of a description or a summary."""

Redact = Callable[[str], str]


@dataclass(frozen=True)
class GatherReport:
    """Reads a task's report. `redactor` gives what hides the secrets of a task in a text."""

    tasks: TaskService
    redactor: Callable[[TaskRow], Redact]

    def __call__(self, task: TaskRow) -> TaskReport:
        """
        Raises:
            RoverError: the record of the task, or what is to be hidden, cannot be read.
        """
        redact = self.redactor(task)
        now = time_of(self.tasks.now())
        # The work tree of a task at work changes under its reader.
        at_work = task.status in (TaskStatus.NEW, *RUNNING)
        view = (self.tasks.view if at_work else self.tasks.inspect)(task, full=True)
        diff = None if at_work else self._diff(task)
        view.changes = diff.changes if diff else None
        numbers = range(max(1, task.iteration - MOST_ITERATIONS + 1), task.iteration + 1)
        iterations = self._iterations(task, numbers, now)
        state = task.run_state
        home = self.tasks.settings.home
        logs, logs_left_out = log_tails(home, task.id, numbers, redact)
        report = TaskReport(
            made_at=now,
            task=view,
            description=redact(task.description)[:TEXT_KEPT],
            checks=checks_of(task.status, state),
            summary=redact(state.summary)[:TEXT_KEPT] if state and state.summary else None,
            worked_s=round(self.tasks.store.attempts.seconds_at_work(task.id), 1),
            waits=waits_of(iterations, now),
            models=self._models(task),
            iterations=iterations,
            iterations_left_out=numbers.start - 1,
            patch=diff.patch if diff else "",
            patch_cut=diff.truncated if diff else False,
            logs=logs,
            logs_left_out=logs_left_out,
            provenance=self._provenance(task, iterations),
        )
        report.provenance.context = list(view.context or ())
        return TaskReport.model_validate(redacted(report.model_dump(mode="json"), redact))

    def _diff(self, task: TaskRow) -> DiffResult | None:
        """None where the work cannot be read, of which a warning of the view tells."""
        with suppress(RoverError):
            return self.tasks.diff(task, (), stat_only=False)
        return None

    def _models(self, task: TaskRow) -> list[ModelReport]:
        uses = self.tasks.store.usage.by_model(task.id)
        return [
            ModelReport(
                provider=use.provider, model=use.model, calls=use.calls, usage=use.usage,
                estimated=use.estimated,
            )
            for use in uses
        ]  # fmt: skip

    def _iterations(
        self, task: TaskRow, numbers: Sequence[int], now: datetime
    ) -> list[IterationReport]:
        given = self._instructions(task)
        totals = self._totals(task, numbers)
        reports: list[IterationReport] = []
        for number in numbers:
            running = number == task.iteration and task.status in RUNNING
            report = timeline(number, self._records(task, number), now, running=running)
            text = given.get(number)
            report.instructions = text[:TEXT_KEPT] if text else None
            if (total := totals.get(number)) is not None:
                report.files, report.added, report.removed = total
            reports.append(report)
        return reports

    def _records(self, task: TaskRow, number: int) -> Iterator[Record]:
        # What was read before the damage counts; the daemon's own check names the damage.
        with suppress(JournalError, OSError, ValueError):
            yield from stream_journal(
                TaskFolders(self.tasks.settings.home, task.id, number).journal
            )

    def _instructions(self, task: TaskRow) -> dict[int, str]:
        """What each further iteration was asked to do."""
        events = self.tasks.store.events.of_kinds(task.id, [Event.ITERATE])
        return {
            int(event.data.get("iteration") or 0): str(event.data.get("instructions") or "")
            for event in events
        }

    def _totals(self, task: TaskRow, numbers: Sequence[int]) -> dict[int, tuple[int, int, int]]:
        """How much of the base each iteration's last snapshot has changed."""
        if task.status in (TaskStatus.NEW, *RUNNING):
            return {}
        last = {e.iteration: e for e in snapshots_of(self.tasks.settings.home, task)}
        known = [number for number in numbers if number in last]
        bases = [task.stands_on if n == task.iteration else task.base_commit for n in known]
        pairs = [(base, last[n].snapshot.commit) for base, n in zip(bases, known, strict=True)]
        counted: Sequence[ChangesView | None] = ()
        with suppress(RoverError):
            counted = self.tasks.work.totals(task, pairs) if pairs else ()
        return {
            number: (total.files, total.added, total.removed)
            for number, total in zip(known, counted, strict=False)
            if total is not None
        }

    def _provenance(self, task: TaskRow, iterations: Sequence[IterationReport]) -> Provenance:
        snapshot = task.run_state.snapshot if task.run_state else None
        agents = dict.fromkeys(
            row.agent for it in iterations for row in _steps(it.rows) if row.agent
        )
        config = task.config
        return Provenance(
            asked_by=f"{task.owner}, over HTTP" if task.owner else "the user of this machine",
            created_at=time_of(task.created_at),
            base_commit=task.base_commit,
            commit=snapshot.head if snapshot else None,
            tree=snapshot.tree if snapshot else None,
            workflow=task.workflow,
            workflow_file=config.workflow_file if config else None,
            agents=[_agent(text) for text in agents] or [AgentReport(name=task.agent)],
            engine=task.engine,
            images=self._images(task),
            config_digest=config.digest if config else None,
            description_sha256=hashlib.sha256(task.description.encode()).hexdigest(),
            rover=__version__,
        )

    def _images(self, task: TaskRow) -> list[str]:
        """The tags of the images that its sandboxes were made from; each names its content."""
        home = self.tasks.settings.home
        places = TaskFolders(home, task.id, 1).root.glob(f"iterations/*/spec-*/{IMAGE_FILE}")
        tags: dict[str, None] = {}
        for path in sorted(places):
            with suppress(OSError, UnicodeDecodeError):
                tags[path.read_text(encoding="utf-8")[:300].strip()] = None
        return list(tags)[-5:]


def waits_of(iterations: Sequence[IterationReport], now: datetime) -> list[WaitReport]:
    """For whom the task waited, the longest wait first."""
    seconds: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for iteration in iterations:
        for row in _pauses(iteration.rows):
            seconds[row.who] += max(0, round(((row.until or now) - row.at).total_seconds()))
            times[row.who] += 1
    return [
        WaitReport(who=who, seconds=total, times=times[who]) for who, total in seconds.most_common()
    ]


def redacted(value: Any, redact: Redact) -> Any:
    """The same with every text in it redacted."""
    if isinstance(value, str):
        # Nothing that is recognised as a secret is shorter.
        return redact(value) if len(value) >= 8 else value
    if isinstance(value, list):
        return [redacted(one, redact) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: redacted(one, redact) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def _pauses(rows: Sequence[Row]) -> Iterator[PauseRow]:
    for row in rows:
        if isinstance(row, PauseRow):
            yield row
        elif isinstance(row, LoopRow):
            for one in row.passes:
                yield from _pauses(one.rows)


def _steps(rows: Sequence[Row]) -> Iterator[StepRow]:
    for row in rows:
        if isinstance(row, StepRow):
            yield row
        elif isinstance(row, LoopRow):
            for one in row.passes:
                yield from _steps(one.rows)


def _agent(text: str) -> AgentReport:
    name, _, version = text.partition(" ")
    return AgentReport(name=name, version=version or None)
