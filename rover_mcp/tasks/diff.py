"""What a task changed, limited to the paths that a caller names."""

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
    """What differs from the task's base, limited to the paths if there are any. Where none of those
    files differs, the result says how many others do. `offset`: see `Work.diff`.

    Raises:
        UserFixable: a path leads out of the repository.
    """
    chosen = _chosen(task, paths)
    result = work.diff(task, chosen, stat_only=stat_only, offset=offset)
    if not chosen or result.changes.files:
        return result
    return replace(result, elsewhere=work.diff(task, (), stat_only=True).changes.files or None)


def write_patch(work: Work, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
    """Write the complete patch of these changes. Raises as `changed` does."""
    work.write_patch(task, _chosen(task, paths), out)


def _chosen(task: TaskRow, paths: Sequence[str]) -> list[str]:
    """The paths as git names them; empty where the whole repository is meant."""
    chosen = [_within(task.project_path, path) for path in paths]
    return [] if "." in chosen else chosen


def _within(root: str, path: str) -> str:
    """One path as git names it. The caller may have named it by its place in the user's
    checkout."""
    inside = posixpath.relpath(posixpath.join(root, path), root)
    if inside == ".." or inside.startswith("../"):
        raise UserFixable(
            f"the path {path[:200]!r} is not in the repository {root}",
            code="path_outside",
            hint="give it as get_diff with stat_only lists it, from the repository's root",
            instead={"paths": None, "stat_only": True},
        )
    return inside
