"""Moving a branch of the user's repository from one commit to another, and the files of the work
tree that has it checked out, if one has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_runner.atomic_write import replace_file
from agent_runner.crashpoints import crash_point
from rover_mcp.domain.errors import Conflict, EnvironmentFault, RoverError
from rover_mcp.domain.operation import OperationPoint
from rover_mcp.git.branch_merge import changed_paths, contains, tip
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.work_tree import (
    WorkTreeChange,
    check_can_write,
    work_tree_of,
)


@dataclass(frozen=True)
class BranchMove:
    """`branch` of `repository` moves from `old` to `new`. `work_tree` had it checked out when that
    was decided. `name` is the operation's; `reason` is the entry in the reflog."""

    name: str
    repository: Path
    branch: str
    old: str
    new: str
    work_tree: Path | None
    reason: str


def move_branch(move: BranchMove) -> None:
    """Move the branch, and the files of its work tree as git would. If it fails, everything is as
    it was before.

    Raises:
        Conflict: the branch or its work tree has changed since the move was decided, or the work
            tree is not clean; nothing was done.
        EnvironmentFault: git failed; nothing was done.
    """
    if move.work_tree is None:
        with opened(move.repository) as view:
            if (top := work_tree_of(view, move.branch)) is not None:
                raise _changed(move, f"it is checked out in {top} now")
            _set_reference(view, move)
        crash_point(OperationPoint.REFERENCE_MOVED)
        return
    with opened(move.work_tree) as view:
        change = _change(view, move, move.work_tree)
        change.lock()
        crash_point(OperationPoint.LOCK_TAKEN)
        try:
            _check(change, move)
            change.write_files()
            crash_point(OperationPoint.FILES_CHANGED)
            _set_reference(view, move)
        except (RoverError, OSError):
            change.undo()
            raise
        crash_point(OperationPoint.REFERENCE_MOVED)
        _note_before(view, move.old)
        change.replace_index()


def settle(move: BranchMove) -> tuple[bool, Sequence[str]]:
    """Finish or undo a move during which the daemon died. Return whether the branch has moved, and
    which files were left alone because somebody has changed them meanwhile."""
    # The reference decides: it moves after the files and before the index. Later commits on top of
    # `new` also mean that it moved.
    with opened(move.repository) as view:
        now = tip(view, move.branch)
        done = now is not None and (now == move.new or contains(view, now, move.new))
    left: Sequence[str] = ()
    if move.work_tree is not None:
        with opened(move.work_tree) as view:
            change = _change(view, move, move.work_tree)
            if not done:
                left = change.undo()
            elif change.is_begun:
                change.replace_index()
    return done, left


def _change(view: RepositoryView, move: BranchMove, top: Path) -> WorkTreeChange:
    return WorkTreeChange(view, top, move.name, move.old, move.new)


def _check(change: WorkTreeChange, move: BranchMove) -> None:
    view, top = change.view, change.top
    if work_tree_of(view, move.branch) != top:
        raise _changed(move, f"it is not checked out in {top} any more")
    change.check_clean()
    check_can_write(view, top, changed_paths(view, move.old, move.new), move.new)


def _set_reference(view: RepositoryView, move: BranchMove) -> None:
    if view.place.linked:
        # `update-ref` also writes HEAD's reflog if HEAD names the branch. The view shares the logs
        # of the main work tree, so the HEAD of a linked one must not name it here.
        (view.folder / "HEAD").write_text(f"{move.old}\n")
    target = f"refs/heads/{move.branch}"
    moved = view.run(["update-ref", "-m", move.reason, target, move.new, move.old])
    now = tip(view, move.branch) if moved.code != 0 else move.new
    if now == move.old:
        raise EnvironmentFault(
            f"the branch {move.branch} in {move.repository} cannot be set: {moved.reason}",
            hint="check that the repository is writable, then call again",
            code="merge_failed",
        )
    if now != move.new:
        raise _changed(move, moved.reason)


def _note_before(view: RepositoryView, old: str) -> None:
    """Write where the branch was to ORIG_HEAD, as git merge does."""
    replace_file(view.place.git_dir / "ORIG_HEAD", f"{old}\n")


def _changed(move: BranchMove, why: str) -> Conflict:
    return Conflict(
        f"the branch {move.branch} in {move.repository} has changed meanwhile: {why}",
        hint="nothing was done; call again to see what would happen now",
        code="branch_moved",
    )
