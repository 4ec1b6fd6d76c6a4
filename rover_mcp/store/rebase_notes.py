"""What rebases added to the snapshots of an iteration.

A journal is the runner's alone, so the daemon cannot write there that the work has another base
now. It keeps a note beside the journal instead: a snapshot with a number of its own, with the
bundle that carries it. Wherever the snapshots of a journal are read, those of the notes follow.

<iteration>/rebases/<number>.json, <number>.bundle
<iteration>/rebases/conflicts.json: why the last rebase could not be done
<iteration>/rebases/round.json: of a task that resolves conflicts, which rebase that is, and what
the iteration begins with
"""

from __future__ import annotations

from contextlib import suppress

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_runner.atomic_write import replace_file
from agent_runner.models import Snapshot
from rover_mcp.domain.conflicted_file import ConflictedFile
from rover_mcp.domain.disk_full_error import write_fault
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_links import ResolvesFor

CONFLICTS = "conflicts.json"
ROUND = "round.json"


class RebaseNote(BaseModel):
    """The branch went from the commit `old` to the snapshot's head, which stands on `onto`, a
    commit of `base_branch`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    snapshot: Snapshot
    old: str = Field(pattern=r"^[0-9a-f]{40}$")
    onto: str = Field(pattern=r"^[0-9a-f]{40}$")
    base_branch: str


def rebase_notes(folders: TaskFolders) -> list[RebaseNote]:
    """The notes of an iteration, oldest first; a damaged one is left out, as a damaged journal's
    snapshots are: the hub still has what it names."""
    notes: list[RebaseNote] = []
    for file in sorted(folders.rebases.glob("[0-9]*.json")):
        try:
            notes.append(RebaseNote.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError):
            continue
    return notes


def write_note(folders: TaskFolders, note: RebaseNote) -> None:
    """Keep a note. From now on the snapshot is the iteration's last.

    Raises:
        EnvironmentFault: the data folder cannot be written.
    """
    name = f"{note.snapshot.sequence:06}.json"
    _write(folders, name, note, "the rebase cannot be recorded")


class RoundNote(BaseModel):
    """What an iteration of a task that resolves conflicts begins with: what its record says, too,
    and none of its other files does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resolves: ResolvesFor
    given: IterationInput


def round_note(folders: TaskFolders) -> RoundNote | None:
    """The note of an iteration; None where there is none, or it is damaged."""
    with suppress(OSError, ValidationError):
        return RoundNote.model_validate_json((folders.rebases / ROUND).read_bytes())
    return None


def write_round(folders: TaskFolders, note: RoundNote) -> None:
    """Keep the note. Repeating it is harmless.

    Raises:
        EnvironmentFault: the data folder cannot be written.
    """
    _write(folders, ROUND, note, "the round cannot be recorded")


class RebaseConflicts(BaseModel):
    """The files that kept the branch at `tip` from being rebased onto the commit `onto`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    branch: str
    tip: str
    base_branch: str
    onto: str
    files: tuple[ConflictedFile, ...]


def write_conflicts(folders: TaskFolders, conflicts: RebaseConflicts) -> None:
    """Keep what a rebase stopped at; the next rebase of the same result replaces it.

    Raises:
        EnvironmentFault: the data folder cannot be written.
    """
    _write(folders, CONFLICTS, conflicts, "the conflicts cannot be recorded")


def _write(folders: TaskFolders, name: str, record: BaseModel, fault: str) -> None:
    try:
        folders.rebases.mkdir(parents=True, exist_ok=True)
        replace_file(folders.rebases / name, record.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise write_fault(fault, folders.rebases, error) from error
