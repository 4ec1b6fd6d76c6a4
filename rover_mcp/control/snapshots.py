"""Bringing home what a sandbox committed, and again where the hub lost it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from agent_runner.journal.journal_reader import stream_journal
from agent_runner.models import Snapshot
from rover_mcp.control.control_ports import ProjectHub
from rover_mcp.control.journal_watch import UNREADABLE
from rover_mcp.domain.errors import EnvironmentFault, NotFound, RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.store.records import TaskRow

T = TypeVar("T")

_SUSPECT = frozenset(
    {"bundle_refused", "bundle_incomplete", "git_failed", "hub_failed", "publish_failed"}
)
"""What fails too where the hub is damaged."""

_LOST = frozenset({"snapshot_missing", "unknown_commit"})
"""What cannot fail once all snapshots are in the hub, but for what is missing there."""


def with_hub(
    task: TaskRow, folders: TaskFolders, hub: ProjectHub, work: Callable[[Snapshot | None], T]
) -> T:
    """What `work` makes of the last snapshot, once that is in the hub. Where the hub or the base
    is gone or damaged, they are made again first, from the repository and the bundles.

    Raises:
        RoverError: a bundle is not what the journal says, there is no room for it, or what was
            lost cannot be had again; or what `work` raises.
    """
    try:
        return work(import_snapshots(task, folders, hub))
    except (EnvironmentFault, NotFound) as error:
        suspect = error.code in _SUSPECT and not hub.is_whole(task.id, task.base_commit)
        if not suspect and error.code not in _LOST:
            raise
    hub.renew()
    return work(import_snapshots(task, folders, hub, again=True))


def known_snapshots(task: TaskRow, hub: ProjectHub) -> dict[int, str]:
    """What the hub has of the task; a hub that cannot say so is made again."""
    try:
        return hub.snapshots(task.id)
    except EnvironmentFault as error:
        if error.code not in _SUSPECT:
            raise
    hub.renew()
    return hub.snapshots(task.id)


def import_snapshots(
    task: TaskRow, folders: TaskFolders, hub: ProjectHub, *, again: bool = False
) -> Snapshot | None:
    """Fetch the bundles that the journal names and the hub lacks, oldest first; the last
    snapshot. What it costs grows with what is new; `again` takes none for known. A bundle that is
    gone does no harm where a later one holds what it held.

    Raises:
        RoverError: as with_hub; nothing is made again but the base.
    """
    named = journal_snapshots(folders.journal)
    if not named and folders.iteration > 1:
        # An iteration continues on the work of the one before it.
        earlier = replace(folders, iteration=folders.iteration - 1)
        return import_snapshots(task, earlier, hub, again=again)
    if not named:
        return None
    hub.secure(Path(task.project_path), task.base_commit, folders.base_objects)
    here = {} if again else known_snapshots(task, hub)
    if not here:
        _import_earlier(task, folders, hub)
    failed: RoverError | None = None
    for snapshot in named:
        if here.get(snapshot.sequence) == snapshot.commit:
            continue
        try:
            _import(task, folders, hub, snapshot)
        except RoverError as error:
            failed = failed or error
        else:
            here[snapshot.sequence] = snapshot.commit
    if failed is not None and here.get(named[-1].sequence) != named[-1].commit:
        raise failed
    return named[-1]


def _import(task: TaskRow, folders: TaskFolders, hub: ProjectHub, snapshot: Snapshot) -> None:
    bundle = folders.run / "bundles" / snapshot.bundle
    hub.import_bundle(task.id, task.base_commit, bundle, snapshot, task.branch)


def _import_earlier(task: TaskRow, folders: TaskFolders, hub: ProjectHub) -> None:
    """A hub that has nothing of a task may be a new one: what its earlier iterations left."""
    for iteration in range(1, task.iteration):
        earlier = TaskFolders(folders.home, task.id, iteration)
        for snapshot in journal_snapshots(earlier.journal):
            with suppress(RoverError):
                _import(task, earlier, hub, snapshot)


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
    snapshots: dict[int, Snapshot] = {}
    try:
        for record in stream_journal(journal):
            for key in ("start_snapshot", "snapshot"):
                if named := record.data.get(key):
                    snapshot = Snapshot.model_validate(named)
                    snapshots[snapshot.sequence] = snapshot
    except UNREADABLE:
        return []
    return [snapshots[sequence] for sequence in sorted(snapshots)]
