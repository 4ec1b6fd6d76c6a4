"""Bringing home what a sandbox committed, and handing it to the next one."""

from __future__ import annotations

from pathlib import Path

from agent_runner.journal import read_journal
from agent_runner.models import Snapshot
from agent_runner.spec import Restore
from rover_mcp.control.live import UNREADABLE
from rover_mcp.control.ports import ProjectHub
from rover_mcp.store.rows import TaskRow
from rover_mcp.tasks.folders import TaskFolders


def import_snapshots(task: TaskRow, folders: TaskFolders, hub: ProjectHub) -> Snapshot | None:
    """Fetch the bundles that the journal names into the hub, oldest first; the last snapshot.

    Raises:
        RoverError: a bundle is not what the journal says, or there is no room for it.
    """
    last = None
    for last in journal_snapshots(folders.journal):
        hub.import_bundle(task.id, folders.run / "bundles" / last.bundle, last, task.branch)
    return last


def export_restore(
    task: TaskRow, folders: TaskFolders, attempt: int, hub: ProjectHub
) -> Restore | None:
    """Put the last snapshot at hand for a sandbox whose work tree was lost (I6)."""
    last = import_snapshots(task, folders, hub)
    if last is None:
        return None
    dest = folders.spec(attempt) / "restore.bundle"
    hub.export_restore(task.id, last, task.base_commit, dest)
    return Restore(commit=last.commit, head=last.head)


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
