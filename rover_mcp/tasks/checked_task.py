"""A task that has passed every check, and the files that its sandbox will read."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_runner.agents.scripted import ScriptError, load_script
from agent_runner.worktree.local_files import FILE_NAME as COPIES
from agent_runner.worktree.local_files import LocalFile
from agent_runner.worktree.worktree import IGNORED
from rover_mcp.context.pieces import Piece
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.store.records import NewTask
from rover_mcp.tasks.catalog import CatalogEntry
from rover_mcp.tasks.checkout_files import write_copies
from rover_mcp.tasks.context import FOLDER as CONTEXT
from rover_mcp.tasks.context import write_pieces
from rover_mcp.tasks.task_ports import Repository


@dataclass(frozen=True)
class CheckedTask:
    """A task that has been checked and not been written."""

    new: NewTask
    entry: CatalogEntry
    copies: Sequence[LocalFile]
    repository: Repository
    pieces: Sequence[Piece] = ()


def write_input(
    folder: Path, checked: CheckedTask, script: str | None, ignored: bytes | None
) -> None:
    """Write what the runner reads at its start. `script` is for the scripted agent; `ignored` is
    the checkout's own list of ignored files.

    Raises:
        ScriptError, OSError: see `input_faults`.
    """
    folder.mkdir(parents=True)
    # The bytes that were read and consented to: the file itself may have changed since.
    (folder / "workflow.yaml").write_bytes(checked.entry.data)
    if script is not None:
        (folder / "script.yaml").write_text(script, "utf-8")
        # Parsed here for its error only, which would otherwise appear in a log inside the sandbox.
        load_script(folder / "script.yaml")
    if ignored:
        (folder / IGNORED).write_bytes(ignored)
    if checked.copies:
        write_copies(folder / COPIES, checked.copies)
    if checked.new.config is not None:
        write_pieces(folder / CONTEXT, checked.new.config.context, checked.pieces)


@contextmanager
def input_faults(home: Path) -> Generator[None]:
    """Report what goes wrong with a task's files as an error that says what to do.

    Raises:
        UserFixable: the script is invalid.
        EnvironmentFault: the data folder cannot be written.
    """
    try:
        yield
    except ScriptError as error:
        raise UserFixable(
            str(error), code="invalid_script", hint="see docs/workflows.md"
        ) from error
    except OSError as error:
        raise EnvironmentFault(
            f"the task's files cannot be written: {error}",
            hint=f"check that {home} is writable and its disk not full",
            code="data_folder",
        ) from error
