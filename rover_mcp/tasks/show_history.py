"""The use case of looking back: a task's snapshots, and what one of them changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rover_mcp.domain.errors import RoverError
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.history import SnapshotEntry, find_snapshot, snapshots_of
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.task_ports import DiffResult, Work
from rover_mcp.tasks.view_models import ChangesView, SnapshotView

MOST_SHOWN: Final = 50
"""Snapshots of a list; a loop can take hundreds. Older ones can still be named."""


@dataclass(frozen=True)
class History:
    """The newest snapshots, the oldest of them first; `more` are older. `diff` is what the one that
    was asked for changed, if one was."""

    snapshots: Sequence[SnapshotView]
    more: int = 0
    diff: DiffResult | None = None


@dataclass(frozen=True)
class ShowHistory:
    """Reads what a task's journals and the hub have of its snapshots."""

    home: Path
    work: Work

    def __call__(self, task: TaskRow, snapshot: str | None = None) -> History:
        """All snapshots, or one with its diff against the one before it.

        Raises:
            NotFound: the task has no such snapshot.
            RoverError: the one that is asked for cannot be read.
        """
        entries = snapshots_of(self.home, task)
        if snapshot is None:
            shown = entries[-MOST_SHOWN:]
            views = self._views(task, entries, shown)
            return History(views, len(entries) - len(shown))
        entry = find_snapshot(entries, snapshot)
        [view] = self._views(task, entries, [entry])
        old, new = _span(task, entries, entry)
        return History([view], diff=self.work.diff(task, (), stat_only=False, between=(old, new)))

    def _views(
        self, task: TaskRow, entries: Sequence[SnapshotEntry], shown: Sequence[SnapshotEntry]
    ) -> list[SnapshotView]:
        spans = [_span(task, entries, entry) for entry in shown]
        try:
            totals = self.work.totals(task, spans) if spans else ()
        except RoverError:
            # The list is worth something without the numbers.
            totals = [None for _ in spans]
        return [_view(entry, total) for entry, total in zip(shown, totals, strict=True)]


def _span(task: TaskRow, entries: Sequence[SnapshotEntry], entry: SnapshotEntry) -> tuple[str, str]:
    """The commits between which a snapshot's changes lie: the one before it, or the base."""
    place = entries.index(entry)
    before = entries[place - 1].snapshot.commit if place else task.base_commit
    return before, entry.snapshot.commit


def _view(entry: SnapshotEntry, total: ChangesView | None) -> SnapshotView:
    return SnapshotView(
        id=entry.name,
        at=entry.at,
        iteration=entry.iteration,
        step=printable(entry.step, 200) if entry.step else None,
        when=printable(entry.when, 200),
        files=total.files if total else None,
        added=total.added if total else None,
        removed=total.removed if total else None,
        commit=entry.snapshot.commit[:12],
    )
