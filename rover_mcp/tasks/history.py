"""A task's snapshots, as its journals name them: which there are, and what was known at each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from agent_runner.journal.journal_reader import JournalError, stream_journal
from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import AgentSession, RunState, Snapshot
from rover_mcp.domain.errors import NotFound
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.store.rebase_notes import rebase_notes
from rover_mcp.store.records import TaskRow

_UNREADABLE: Final = (JournalError, OSError, ValueError)
_NAME: Final = re.compile(r"s?([1-9][0-9]{0,5})")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")
_ENDS: Final = {
    RecordType.WORKFLOW_COMPLETE: "the end",
    RecordType.WORKFLOW_PAUSE: "a pause",
    RecordType.WORKFLOW_FAIL: "a failure",
}


@dataclass(frozen=True)
class SnapshotEntry:
    """A snapshot: when it was taken, in which iteration, and at what: `step` is the step that had
    just ended, or was to begin."""

    snapshot: Snapshot
    at: datetime
    iteration: int
    step: str | None
    when: str

    @property
    def name(self) -> str:
        """Its name. No other snapshot of the task ever has the same, in whatever iteration."""
        return f"s{self.snapshot.sequence}"

    @property
    def place(self) -> str:
        """When it was taken, in words."""
        return f"{self.when}, iteration {self.iteration}"


@dataclass(frozen=True)
class HistoryPoint:
    """What was known when a snapshot was taken: the run of its iteration so far, and the newest
    conversation of each step, those of earlier iterations included."""

    entry: SnapshotEntry
    state: RunState
    sessions: Mapping[str, AgentSession]


def snapshots_of(home: Path, task: TaskRow) -> list[SnapshotEntry]:
    """Every snapshot, the oldest first. A journal that is damaged gives those before the damage."""
    entries: dict[int, SnapshotEntry] = {}
    for iteration in range(1, task.iteration + 1):
        for record in _records(home, task, iteration):
            entry = _entry(record, iteration)
            # A tree that did not change is named again, as the same snapshot.
            if entry is not None:
                entries.setdefault(entry.snapshot.sequence, entry)
    return [entries[sequence] for sequence in sorted(entries)]


def find_snapshot(entries: Sequence[SnapshotEntry], name: str) -> SnapshotEntry:
    """The snapshot with this name, or with a commit id that begins so.

    Raises:
        NotFound: there is none, or there are several.
    """
    text = name.strip().lower()
    number = _NAME.fullmatch(text)
    matches = [
        entry
        for entry in entries
        if (number and int(number[1]) == entry.snapshot.sequence)
        or (_COMMIT.fullmatch(text) and entry.snapshot.commit.startswith(text))
    ]
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(entry.name for entry in entries[-20:]) or "none yet"
    raise NotFound(
        f"the task has no snapshot {name[:80]!r}; there are: {known}",
        code="unknown_snapshot",
        instead={"snapshot": None},
    )


def checkpoint_at(home: Path, task: TaskRow, entry: SnapshotEntry) -> HistoryPoint:
    """What was known at a snapshot. What came later, conversations included, is left out."""
    sessions: dict[str, AgentSession] = {}
    state = RunState()
    for iteration in range(1, entry.iteration + 1):
        fold = RunStateFold()
        with suppress(ValueError):
            for record in _records(home, task, iteration):
                fold.add(record)
                named = _entry(record, iteration)
                if named and named.snapshot.sequence == entry.snapshot.sequence:
                    break
        state = fold.state
        sessions |= {step.id: step.session for step in state.steps if step.session}
    return HistoryPoint(entry, state, sessions)


def stood_on(home: Path, task: TaskRow, entry: SnapshotEntry) -> str | None:
    """The commit that the branch had been rebased onto when a snapshot was taken; None: it stood on
    the task's base."""
    earlier = (TaskFolders(home, task.id, number) for number in range(1, entry.iteration))
    notes = [note for folders in earlier for note in rebase_notes(folders)]
    return notes[-1].onto if notes else None


def _records(home: Path, task: TaskRow, iteration: int) -> Iterator[Record]:
    with suppress(*_UNREADABLE):
        yield from stream_journal(TaskFolders(home, task.id, iteration).journal)


def _entry(record: Record, iteration: int) -> SnapshotEntry | None:
    """The snapshot that a record names, if it names one."""
    data = record.data
    raw = data.get("start_snapshot") or data.get("snapshot")
    try:
        snapshot = Snapshot.model_validate(raw) if raw else None
    except ValueError:
        return None
    if snapshot is None:
        return None
    step = data.get("step")
    named = str(step) if step is not None else None
    if "start_snapshot" in data:
        when = "before the first step"
    else:
        when = f"after {named}" if record.type not in _ENDS else f"at {_ENDS[record.type]}"
    return SnapshotEntry(snapshot, record.at, iteration, named, when)
