"""What a task changed, of the paths that a caller names."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from typing import IO

from rover_mcp.domain.errors import UserFixable
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.task_ports import DiffResult, Work


def changed(
    work: Work, task: TaskRow, paths: Sequence[str], *, stat_only: bool, offset: int = 0
) -> DiffResult:
    """What differs from the task's base, of the paths if there are any; where nothing of them
    does, how many other files do. `offset`: see Work.diff.

    Raises:
        UserFixable: a path leads out of the repository.
    """
    chosen = _chosen(task, paths)
    result = work.diff(task, chosen, stat_only=stat_only, offset=offset)
    if not chosen or result.changes.files:
        return result
    return replace(result, elsewhere=work.diff(task, (), stat_only=True).changes.files or None)


def write_patch(work: Work, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
    """The same as a whole patch. Raises as `changed` does."""
    work.write_patch(task, _chosen(task, paths), out)


def _chosen(task: TaskRow, paths: Sequence[str]) -> list[str]:
    """The paths as git has them; none where the whole repository is meant."""
    chosen = [_within(task.project_path, path) for path in paths]
    return [] if "." in chosen else chosen


def _within(root: str, path: str) -> str:
    """A path as git has it, which may be given as it is in the user's checkout."""
    inside = posixpath.relpath(posixpath.join(root, path), root)
    if inside == ".." or inside.startswith("../"):
        raise UserFixable(
            f"the path {path[:200]!r} is not in the repository {root}",
            code="path_outside",
            hint="give it as get_diff with stat_only lists it, from the repository's root",
            instead={"paths": None, "stat_only": True},
        )
    return inside
