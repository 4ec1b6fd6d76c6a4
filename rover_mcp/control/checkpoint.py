"""A task's checkpoint: its journal and its last snapshot.

What a sandbox committed is imported into the hub, again where the hub lost it, and an attempt is
given what the attempts before it left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from agent_runner.journal.journal import is_locked
from agent_runner.journal.journal_reader import JournalDamaged, JournalTooNew, stream_journal
from agent_runner.journal.run_state import RunStateFold, fold
from agent_runner.models import Snapshot
from agent_runner.spec import Restore
from rover_mcp.control.control_ports import ProjectHub
from rover_mcp.control.journal_watch import UNREADABLE
from rover_mcp.domain.errors import EnvironmentFault, NotFound, RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.rebase_notes import rebase_notes
from rover_mcp.store.records import RESTART, AttemptRow, TaskRow

T = TypeVar("T")

_SUSPECT = frozenset(
    {"bundle_refused", "bundle_incomplete", "git_failed", "hub_failed", "publish_failed"}
)
"""Codes of errors that a damaged hub can cause, but other faults too."""

_LOST = frozenset({"snapshot_missing", "unknown_commit"})
"""Codes of errors that always mean that objects are missing in the hub."""


def with_hub(
    task: TaskRow, folders: TaskFolders, hub: ProjectHub, work: Callable[[Snapshot | None], T]
) -> T:
    """Import the task's snapshots and do `work` with the last one. A hub or base that is missing or
    damaged is made again first, from the repository and the bundles.

    Raises:
        RoverError: a bundle is not what the journal says, the disk is full, or lost objects cannot
            be recovered; or what `work` raises.
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
    """The snapshots that the hub has of the task. A hub that cannot be read is made again."""
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
    """Import the bundles that the journal names and the hub lacks, oldest first; the last snapshot.
    With `again` all bundles are imported. A missing bundle does no harm if a later one has its
    objects.

    Raises:
        RoverError: as with_hub; only the base is made again here.
    """
    named, begin = named_snapshots(folders), _begin(task, folders)
    if begin and begin not in named and (folders.rebases / begin.bundle).exists():
        # A stop of a rebase, which the host made for this iteration.
        named = [begin, *named]
    if not named and folders.iteration > 1:
        # An iteration continues on the work of the one before it, unless it was sent back to an
        # earlier state. That is then in the hub, too: the numbers of snapshots count on.
        earlier = replace(folders, iteration=folders.iteration - 1)
        last = import_snapshots(task, earlier, hub, again=again)
        return begin or last
    if not named and begin:
        # Of a task that was forked: its first snapshot lies where its own runner would put it.
        named = [begin]
    if not named:
        return None
    hub.secure(Path(task.project_path), task.base_commit, folders.base_objects)
    here = {} if again else known_snapshots(task, hub)
    if not here:
        _import_earlier(task, folders, hub)
    _import_lacking(task, folders, hub, named, here)
    return named[-1]


def _import_lacking(
    task: TaskRow,
    folders: TaskFolders,
    hub: ProjectHub,
    named: Sequence[Snapshot],
    here: dict[int, str],
) -> None:
    """Import those of the named snapshots that are not `here`. Only the last one is needed: if it
    can be imported, a failure of an earlier one does not count."""
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


def _begin(task: TaskRow, folders: TaskFolders) -> Snapshot | None:
    """What an iteration without a snapshot of its own was sent back to, if it was."""
    given = task.iteration_input
    return given.begin if given and folders.iteration == task.iteration else None


def _import(task: TaskRow, folders: TaskFolders, hub: ProjectHub, snapshot: Snapshot) -> None:
    bundle = folders.rebases / snapshot.bundle
    if not bundle.exists():
        bundle = folders.run / "bundles" / snapshot.bundle
    hub.import_bundle(task.id, task.base_commit, bundle, snapshot, task.branch)


def _import_earlier(task: TaskRow, folders: TaskFolders, hub: ProjectHub) -> None:
    """Import the snapshots of earlier iterations into a hub that has nothing of a task: it may be a
    new one."""
    for iteration in range(1, task.iteration):
        earlier = TaskFolders(folders.home, task.id, iteration)
        for snapshot in named_snapshots(earlier):
            with suppress(RoverError):
                _import(task, earlier, hub, snapshot)


def last_at_home(task: TaskRow, folders: TaskFolders, hub: ProjectHub) -> Snapshot | None:
    """The newest snapshot that the journal names and the hub holds; None if the hub cannot be
    read."""
    named = named_snapshots(folders)
    try:
        here = hub.snapshots(task.id) if named else {}
    except RoverError:
        return None
    return next((s for s in reversed(named) if here.get(s.sequence) == s.commit), None)


def named_snapshots(folders: TaskFolders) -> list[Snapshot]:
    """Every snapshot of an iteration, in order: those of its journal, and those that a rebase of
    its result made afterwards."""
    rebased = [note.snapshot for note in rebase_notes(folders)]
    return [*journal_snapshots(folders.journal), *rebased]


def journal_snapshots(journal: Path) -> list[Snapshot]:
    """Every snapshot that a journal names, in order; none if the journal is damaged."""
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


@dataclass(frozen=True)
class Checkpoint:
    """What an attempt resumes from. `restore` is the work tree of the last snapshot, in the
    attempt's spec folder. `first_snapshot` is the first free number. `rebundle`: the next
    snapshot's bundle has to build on the base alone, because the hub lacks the last one.
    `begins_iteration`: it is the first of a further iteration, which has no journal yet. `warnings`
    are for the task."""

    restore: Restore | None = None
    first_snapshot: int = 1
    rebundle: bool = False
    restart: bool = False
    begins_iteration: bool = False
    warnings: tuple[str, ...] = ()


def prepare_checkpoint(
    task: TaskRow, attempt: AttemptRow, folders: TaskFolders, hub: ProjectHub, engine: Engine
) -> Checkpoint:
    """Prepare what an attempt resumes from. Repeating it is harmless.

    Raises:
        RoverError: "work_lost" if both the work tree and its last snapshot are gone, or the hub
            cannot be read.
        OSError: the data folder cannot be read or written.
    """
    warnings: list[str] = []
    # Running an iteration again from its start gives up finished steps, so an automatic resume
    # never does it: `client_id` says that a person asked.
    if attempt.client_id is not None and attempt.before is not None:
        warnings += set_aside_damaged(folders)
    here = known_snapshots(task, hub)
    begins = _begins_iteration(task, attempt)
    if attempt.before is not None and not begins:
        warnings += _keep_unnamed(task, attempt.attempt, folders, hub, here)
    restore, lacking = _restore(task, attempt.attempt, folders, hub, engine)
    return Checkpoint(
        restore,
        _first_free(folders, known_snapshots(task, hub)),
        rebundle=bool(lacking),
        restart=attempt.detail == RESTART,
        begins_iteration=begins,
        warnings=(*warnings, *lacking),
    )


def _begins_iteration(task: TaskRow, attempt: AttemptRow) -> bool:
    """Whether the attempt is the first one of a further iteration, which has no journal yet."""
    if attempt.before is None:
        # Only the next round of a task that resolves conflicts begins without a stop before it.
        return attempt.attempt > 1
    before = attempt.before.get("iteration")
    return before is not None and before < task.iteration


def set_aside_damaged(folders: TaskFolders) -> list[str]:
    """Rename a damaged journal, so that nothing of it is lost; warnings about it for the user."""
    why = damage(folders.journal)
    if why is None or is_locked(folders.run):
        return []
    aside = _free_name(folders.journal)
    folders.journal.rename(aside)
    _sync_folder(folders.run)
    return [
        f"the journal was damaged ({why}): it was set aside as {aside.name}, and the iteration "
        "runs from its start"
    ]


def _keep_unnamed(
    task: TaskRow, attempt: int, folders: TaskFolders, hub: ProjectHub, here: dict[int, str]
) -> list[str]:
    """Keep snapshots in the hub that a missing or shortened journal does not name any more."""
    named = journal_snapshots(folders.journal)
    newest = max(here, default=0)
    lost = not _has_records(folders.journal) if not named else newest > named[-1].sequence
    if not lost or not newest:
        return []
    ref = hub.keep(task.id, f"{task.iteration}-{attempt}", here[newest])
    what = f"names no snapshot after {named[-1].sequence}" if named else "is gone"
    return [f"the journal {what}: the work of snapshot {newest} is kept in the hub as {ref}"]


def damage(journal: Path) -> str | None:
    """What is wrong with a journal, with the place; None if it is sound or there is none.

    Raises:
        OSError: it cannot be read now.
    """
    try:
        fold(stream_journal(journal))
    except JournalTooNew:
        return None
    except JournalDamaged as error:
        return f"line {error.line}, byte {error.offset}: {error.reason}"
    except ValueError as error:
        return str(error)
    return None


def has_checkpoint(journal: Path) -> bool:
    """Whether a run can continue from this journal."""
    folded, any_records = RunStateFold(), False
    try:
        for record in stream_journal(journal):
            folded.add(record)
            any_records = True
    except UNREADABLE:
        return False
    return any_records


def _restore(
    task: TaskRow, attempt: int, folders: TaskFolders, hub: ProjectHub, engine: Engine
) -> tuple[Restore | None, list[str]]:
    """Write the last snapshot as a bundle, for a sandbox whose work tree was lost."""
    bundle = folders.spec(attempt) / "restore.bundle"

    def export(last: Snapshot | None) -> Restore | None:
        if last is None:
            return None
        hub.export_restore(task.id, last, task.base_commit, bundle)
        return Restore(commit=last.commit, head=last.head)

    try:
        return with_hub(task, folders, hub, export), []
    except RoverError as error:
        return None, [_without_snapshot(task, folders, hub, engine, error)]


def _without_snapshot(
    task: TaskRow, folders: TaskFolders, hub: ProjectHub, engine: Engine, error: RoverError
) -> str:
    """The warning about a snapshot that cannot be imported, if the work tree itself still exists.

    Raises:
        RoverError: "work_lost" if it does not; or `error`, if that does not concern the snapshot.
    """
    if error.code not in ("bundle_refused", "bundle_incomplete"):
        raise error
    named = named_snapshots(folders)
    if not named and folders.iteration > 1:
        earlier = replace(folders, iteration=folders.iteration - 1)
        return _without_snapshot(task, earlier, hub, engine, error)
    newest = named[-1]
    home = last_at_home(task, folders, hub)
    held = f"the newest that the hub holds is {home.sequence}" if home else "the hub holds none"
    warning = f"snapshot {newest.sequence} could not be taken over ({error.message}); {held}"
    if engine.holds_work(task.id):
        return warning
    raise EnvironmentFault(
        f"the work tree is gone, and {warning}: what was done since would be lost",
        hint=f"put {newest.bundle} back into {folders.run / 'bundles'}, then resume_task",
        code="work_lost",
    ) from error


def _first_free(folders: TaskFolders, here: dict[int, str]) -> int:
    """The number after every snapshot in the hub and in the run folder. A journal that was lost or
    shortened names fewer, and a number that is used again would be another snapshot's."""
    numbers = [0, *here]
    bundles = (folders.run / "bundles").glob("[0-9]" * 6 + ".bundle")
    return max([*numbers, *(int(bundle.stem) for bundle in bundles)]) + 1


def _has_records(journal: Path) -> bool:
    try:
        return journal.stat().st_size > 0
    except FileNotFoundError:
        return False


def _free_name(journal: Path) -> Path:
    number = 1
    while (aside := journal.with_name(f"journal.damaged-{number}")).exists():
        number += 1
    return aside


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
