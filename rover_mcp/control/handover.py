"""What an attempt is handed of what the ones before it left: checkpoint, snapshots, work tree."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from agent_runner.journal.journal import is_locked
from agent_runner.journal.journal_reader import JournalDamaged, JournalTooNew, stream_journal
from agent_runner.journal.run_state import RunStateFold, fold
from agent_runner.models import Snapshot
from agent_runner.spec import Restore
from rover_mcp.control.control_ports import ProjectHub
from rover_mcp.control.journal_watch import UNREADABLE
from rover_mcp.control.snapshots import (
    journal_snapshots,
    known_snapshots,
    last_at_home,
    with_hub,
)
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.records import RESTART, AttemptRow, TaskRow


@dataclass(frozen=True)
class Handover:
    """`restore` is the work tree as the last snapshot holds it, in the attempt's spec folder.
    `first_snapshot` is the first number that no snapshot has. `rebundle`: the next snapshot's
    bundle is to build on nothing but the base, because the hub lacks the last one. `warnings` are
    for the task."""

    restore: Restore | None = None
    first_snapshot: int = 1
    rebundle: bool = False
    restart: bool = False
    warnings: tuple[str, ...] = ()


def hand_over(
    task: TaskRow, attempt: AttemptRow, folders: TaskFolders, hub: ProjectHub, engine: Engine
) -> Handover:
    """Make ready what is there, idempotently.

    Raises:
        RoverError: "work_lost" where neither the work tree nor its last snapshot can be had (I6);
            or the hub cannot be asked.
        OSError: the data folder cannot be read or written.
    """
    warnings: list[str] = []
    # Only a person decides that a checkpoint is given up (C2, F3).
    if attempt.client_id is not None and attempt.before is not None:
        warnings += set_aside_damaged(folders)
    here = known_snapshots(task, hub)
    if attempt.before is not None and not _begins_iteration(task, attempt):
        warnings += _keep_unnamed(task, attempt.attempt, folders, hub, here)
    restore, lacking = _restore(task, attempt.attempt, folders, hub, engine)
    return Handover(
        restore,
        _first_free(folders, known_snapshots(task, hub)),
        rebundle=bool(lacking),
        restart=attempt.detail == RESTART,
        warnings=(*warnings, *lacking),
    )


def _begins_iteration(task: TaskRow, attempt: AttemptRow) -> bool:
    """Whether the attempt is the first of a further iteration, which has no journal yet."""
    before = (attempt.before or {}).get("iteration")
    return before is not None and before < task.iteration


def set_aside_damaged(folders: TaskFolders) -> list[str]:
    """Move a journal that is damaged out of the way, whole; what a person has to know of it."""
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
    """Keep what the hub holds beyond a journal that is missing or was shortened."""
    named = journal_snapshots(folders.journal)
    newest = max(here, default=0)
    lost = not _has_records(folders.journal) if not named else newest > named[-1].sequence
    if not lost or not newest:
        return []
    ref = hub.keep(task.id, f"{task.iteration}-{attempt}", here[newest])
    what = f"names no snapshot after {named[-1].sequence}" if named else "is gone"
    return [f"the journal {what}: the work of snapshot {newest} is kept in the hub as {ref}"]


def damage(journal: Path) -> str | None:
    """What is wrong with a journal, with its place; None: nothing, or there is none.

    Raises:
        OSError: it cannot be read here and now.
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
    """Whether a run can go on from this journal (I5)."""
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
    """Put the last snapshot at hand for a sandbox whose work tree was lost (I6)."""
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
    """The warning where the work tree itself is still there; else what would be lost.

    Raises:
        RoverError: "work_lost"; or `error`, where it says nothing of the snapshot itself.
    """
    if error.code not in ("bundle_refused", "bundle_incomplete"):
        raise error
    named = journal_snapshots(folders.journal)
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
    """After every snapshot that the hub knows or that lies in the run folder: a journal that was
    lost or shortened names fewer."""
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
