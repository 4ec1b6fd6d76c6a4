"""Bringing home what a sandbox committed."""

from __future__ import annotations

from pathlib import Path

from agent_runner.journal import read_journal
from agent_runner.models import Snapshot
from rover_mcp.control.live import UNREADABLE
from rover_mcp.control.ports import ProjectHub
from rover_mcp.errors import RoverError
from rover_mcp.store.rows import TaskRow
from rover_mcp.tasks.folders import TaskFolders


def import_snapshots(task: TaskRow, folders: TaskFolders, hub: ProjectHub) -> Snapshot | None:
    """Fetch the bundles that the journal names and the hub lacks, oldest first; the last
    snapshot. What it costs grows with what is new.

    Raises:
        RoverError: a bundle is not what the journal says, or there is no room for it.
    """
    named = journal_snapshots(folders.journal)
    here = hub.snapshots(task.id) if named else {}
    for snapshot in named:
        if here.get(snapshot.sequence) != snapshot.commit:
            bundle = folders.run / "bundles" / snapshot.bundle
            hub.import_bundle(task.id, bundle, snapshot, task.branch)
    return named[-1] if named else None


def last_at_home(task: TaskRow, folders: TaskFolders, hub: ProjectHub) -> Snapshot | None:
    """The newest snapshot that the journal names and the hub holds, as far as it can be asked."""
    named = journal_snapshots(folders.journal)
    try:
        here = hub.snapshots(task.id) if named else {}
    except RoverError:
        return None
    return next((s for s in reversed(named) if here.get(s.sequence) == s.commit), None)


def journal_snapshots(journal: Path) -> list[Snapshot]:
    """Every snapshot that a journal names, in order. A damaged journal gives none."""
    found: dict[int, Snapshot] = {}
    try:
        for record in read_journal(journal).records:
            for key in ("start_snapshot", "snapshot"):
                if named := record.data.get(key):
                    snapshot = Snapshot.model_validate(named)
                    found[snapshot.sequence] = snapshot
    except UNREADABLE:
        return []
    return [found[sequence] for sequence in sorted(found)]
