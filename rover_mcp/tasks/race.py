"""How the tasks of a race compare: the project's checks, what each changed, cost and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from agent_runner.models import RunState, StepStatus
from rover_mcp.domain.durations import about
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.stacking import SATISFIES
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.domain.usage_window import time_of
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.quoted_text import named, quoted
from rover_mcp.tasks.task_ports import Work
from rover_mcp.tasks.task_trash import DAY
from rover_mcp.tasks.view_models import (
    ChangesView,
    NextAction,
    RacerView,
    RaceView,
    TaskView,
)

_NAME_SHOWN: Final = 80
_VERDICT_SHOWN: Final = 120
MOST_PAGES: Final = 4
"""Pages of changed files that are read of each task; what they have in common is counted in
these."""
COMMON_SHOWN: Final = 10


@dataclass(frozen=True)
class RaceReader:
    """Reads a race. `keep_days`: how long the trash keeps a task."""

    store: Store
    work: Work
    keep_days: float

    def rows(self, task: TaskRow) -> list[TaskRow]:
        """The tasks of its race that are still known, those of the trash included. One whose record
        is damaged is left out: list_tasks names it."""
        rows: list[TaskRow] = []
        for racer in task.links.race if task.links else ():
            with suppress(DamagedRecord):
                row = self.store.tasks.get(racer.task, deleted=True)
                rows += [row] if row is not None else []
        return rows

    def __call__(self, rows: Sequence[TaskRow], views: Sequence[TaskView]) -> RaceView:
        """The race of these tasks, each with its view."""
        changes = [self._changes(row) for row in rows]
        paths = [{file.path for file in c.paths} if c else set[str]() for c in changes]
        shared = Counter(path for some in paths for path in some)
        trash = {row.task_id: row.deleted_at for row in self.store.deletions.list()}
        racers: list[RacerView] = []
        # Two tasks that changed the same file are easily compared there; a file of one alone is
        # where to look first.
        for row, view, change, mine in zip(rows, views, changes, paths, strict=True):
            racer = self._racer(row, view)
            if change is not None:
                racer.files, racer.added, racer.removed = change.files, change.added, change.removed
                racer.in_common = sum(shared[path] > 1 for path in mine)
            if row.id in trash:
                racer.in_trash_until = time_of(trash[row.id] + self.keep_days * DAY)
            racers.append(racer)
        common = sorted(path for path, times in shared.items() if times == len(rows))
        return RaceView(
            standing=standing(racers),
            budget=budget_of_all(rows),
            racers=racers,
            common=[named(path) for path in common[:COMMON_SHOWN]] or None,
        )

    def _racer(self, row: TaskRow, view: TaskView) -> RacerView:
        # What a task did is what its sandboxes ran; the rest is the queue, and pauses that an
        # account or a person had to end. Only the first says something about the agent.
        worked = self.store.attempts.seconds_at_work(row.id)
        still = row.status in (TaskStatus.NEW, TaskStatus.PAUSED, *RUNNING)
        end = self.store.database.now() if still or row.ended_at is None else row.ended_at
        pause = view.pause
        return RacerView(
            task=row.id,
            number=row.number,
            agent=row.agent,
            model=row.model,
            status=view.status,
            phase=view.phase,
            checks=checks_of(row.status, row.run_state),
            cost_usd=view.usage.cost_usd if view.usage else None,
            tokens=view.usage.tokens if view.usage else None,
            worked_s=round(worked, 1),
            waited_s=round(max(0.0, end - row.created_at - worked), 1),
            waits_for=pause.reason if pause else None,
            waits_until=pause.retry_at if pause else None,
        )

    def _changes(self, row: TaskRow) -> ChangesView | None:
        """What it changed so far, with as many names of files as are compared; None while it is at
        work, and where its work cannot be read."""
        # The work tree of a task at work changes under the reader, and reading it would take a
        # snapshot of it.
        if row.status in (TaskStatus.NEW, *RUNNING):
            return None
        with suppress(RoverError):
            changes = self.work.diff(row, (), stat_only=True).changes
            for _ in range(MOST_PAGES - 1):
                if not changes.truncated:
                    break
                offset = len(changes.paths)
                more = self.work.diff(row, (), stat_only=True, offset=offset).changes
                changes.paths += more.paths
                changes.truncated = more.truncated
            return changes
        return None


def checks_of(status: TaskStatus, state: RunState | None) -> str | None:
    """What the last command of the workflow said, which is the project's tests where a workflow
    runs any. None where there is no result yet to be checked."""
    if state is None or status not in (*SATISFIES, TaskStatus.FAILED):
        return None
    if state.verdict:
        return f"failed: {quoted(state.verdict, _VERDICT_SHOWN)}"
    ended = (StepStatus.COMPLETED, StepStatus.FAILED)
    # Workflows test before the change, too, and repeat the test while it fails: the last command
    # that ended is the one that saw the result.
    commands = [s for s in state.steps if s.type == "command" and s.status in ended]
    if not commands:
        return "none ran" if status in SATISFIES else None
    last = commands[-1]
    if last.status is StepStatus.FAILED:
        return f"failed: {named(last.name, _NAME_SHOWN)}"
    # A run that failed elsewhere may have passed a check of what was there before.
    return f"passed: {named(last.name, _NAME_SHOWN)}" if status in SATISFIES else None


def standing(racers: Sequence[RacerView]) -> str:
    """How the race stands. Only a person decides it: one that waits has not lost."""
    left = [racer for racer in racers if racer.in_trash_until is None]
    if len(left) < 2:
        chosen = f": task {left[0].number} ({left[0].agent}) is left" if left else ""
        return f"decided{chosen}"
    done = [racer for racer in left if racer.status in SATISFIES]
    parts = [f"undecided: {len(done)} of {len(left)} are done"]
    for racer in left:
        if racer.status is TaskStatus.PAUSED:
            at = f" until {utc_minute(racer.waits_until)}" if racer.waits_until else ""
            why = f" ({racer.waits_for})" if racer.waits_for else ""
            parts.append(f"task {racer.number} ({racer.agent}) waits{at}{why}")
    return "; ".join(parts)


def budget_of_all(rows: Sequence[TaskRow]) -> str | None:
    """What all of them together may cost: each has a budget of its own."""
    budgets = [row.budget for row in rows if row.budget is not None]
    if not budgets or len(budgets) < len(rows):
        return None
    parts: list[str] = []
    usd = [b.usd for b in budgets if b.usd is not None]
    tokens = [b.tokens for b in budgets if b.tokens is not None]
    if len(usd) == len(rows):
        parts.append(f"${sum(usd):,.2f}")
    if len(tokens) == len(rows):
        parts.append(f"{sum(tokens):,} tokens")
    if not parts:
        return None
    return f"each of the {len(rows)} has its own; together {' and '.join(parts)}"


def racer_line(racer: RacerView) -> str:
    """One of them in words."""
    parts = [f"{racer.status} ({racer.phase})"]
    if racer.in_trash_until:
        parts.append(f"in the trash until {utc_minute(racer.in_trash_until)}")
    if racer.waits_for:
        at = f" until {utc_minute(racer.waits_until)}" if racer.waits_until else ""
        parts.append(f"waits{at} ({racer.waits_for})")
    if racer.checks:
        parts.append(f"checks {racer.checks}")
    if racer.files is not None:
        common = f", {racer.in_common} in common" if racer.in_common is not None else ""
        files = "1 file" if racer.files == 1 else f"{racer.files} files"
        parts.append(f"{files} +{racer.added} -{racer.removed}{common}")
    if racer.cost_usd is not None:
        parts.append(f"${racer.cost_usd:.2f}")
    if racer.tokens:
        parts.append(f"{racer.tokens:,} tokens")
    parts.append(f"worked {about(racer.worked_s)}, waited {about(racer.waited_s)}")
    model = f" {racer.model}" if racer.model else ""
    return f"Task {racer.number}, {racer.agent}{model}: {'; '.join(parts)}"


def race_lines(race: RaceView) -> list[str]:
    """A race in words, a line for each task."""
    budget = f" Budget: {race.budget}." if race.budget else ""
    common = f"All of them changed: {', '.join(race.common)}" if race.common else ""
    lines = [f"Race {race.standing}.{budget}", *map(racer_line, race.racers)]
    return [*lines, common] if common else lines


def choosing(race: RaceView, task: TaskRow) -> list[NextAction]:
    """The call that would choose a task, where it can be chosen."""
    rivals = [one for one in race.racers if one.task != task.id and one.in_trash_until is None]
    if not rivals or task.status not in SATISFIES:
        return []
    arguments = {"task": task.id, "others": True}
    why = "choose it: see what would happen to the others of its race"
    return [NextAction(tool="delete_task", arguments=arguments, why=why)]
