"""Deleting a task's branch in the user's repository so that it can be given back.

It is kept under a reference that no listing of branches shows: so git keeps its commits, also those
that are nowhere else.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import Conflict, EnvironmentFault
from rover_mcp.git.branch_merge import tip
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.unfinished_commit import unfinished_snapshot
from rover_mcp.git.work_tree import work_tree_of

ASIDE = "refs/rover/trash/"
"""Followed by the task's id."""


@dataclass(frozen=True)
class BranchFacts:
    """A task's branch in the user's repository: its commit, None where there is no such branch.
    `foreign`: how many commits are on it that neither the task nor another branch, local or remote,
    or a tag has. `only_here`: no other branch and no tag has all of it."""

    tip: str | None
    foreign: int = 0
    only_here: bool = False
    work_tree: Path | None = None


def branch_facts(
    view: RepositoryView, branch: str, task_id: str, head: str | None, base: str
) -> BranchFacts:
    """The facts about a branch. `head` is what the task delivered, `base` what it began with.

    Raises:
        EnvironmentFault: git failed ("git_failed").
    """
    at = tip(view, branch)
    if at is None:
        return BranchFacts(None)
    # What Rover committed of unfinished work is in a snapshot, too.
    own = unfinished_snapshot(view, at, task_id) is not None
    known = [commit for commit in (head, base) if commit]
    return BranchFacts(
        tip=at,
        foreign=_count_outside(view, f"{at}^" if own else at, branch, known),
        only_here=_count_outside(view, at, branch, ()) > 0,
        work_tree=work_tree_of(view, branch),
    )


def _count_outside(
    view: RepositoryView, commit: str, branch: str, known: list[str] | tuple[str, ...]
) -> int:
    others = ["--not", *known, f"--exclude={branch}", "--branches", "--remotes", "--tags"]
    counted = view.run(["rev-list", "--count", "--ignore-missing", commit, *others])
    if not counted.text.isdecimal():
        raise EnvironmentFault(f"commits cannot be counted: {counted.reason}", code="git_failed")
    return int(counted.text)


def kept_aside(view: RepositoryView, task_id: str) -> str | None:
    """The commit of a branch that was put aside; None where none was."""
    resolved = view.run(["rev-parse", "--verify", "-q", f"{ASIDE}{task_id}"])
    return resolved.text if resolved.code == 0 else None


def put_aside(view: RepositoryView, branch: str, at: str, task_id: str) -> None:
    """Delete a branch that is at this commit, and keep it aside. Repeating it is harmless.

    Raises:
        Conflict: it has moved or is checked out ("branch_moved", "branch_checked_out").
        EnvironmentFault: git failed ("git_failed"); the branch is there.
    """
    if tip(view, branch) is None and kept_aside(view, task_id) == at:
        return
    if (top := work_tree_of(view, branch)) is not None:
        raise checked_out(branch, top)
    _change(
        view,
        [f"update {ASIDE}{task_id} {at}", f"delete refs/heads/{branch} {at}"],
        f"the branch {branch} cannot be deleted",
    )


def checked_out(branch: str, top: Path) -> Conflict:
    """The error for a branch that a work tree has checked out."""
    return Conflict(
        f"the branch {branch} is checked out in {top}",
        hint=f"run: git -C {shlex.quote(str(top))} switch <another branch>; or remove the work "
        "tree; then call again",
        code="branch_checked_out",
    )


def put_back(view: RepositoryView, branch: str, task_id: str) -> bool:
    """Give a branch back that was put aside; False where none was. Repeating it is harmless.

    Raises:
        Conflict: there is another branch of its name ("branch_exists").
        EnvironmentFault: git failed ("git_failed").
    """
    kept = kept_aside(view, task_id)
    if kept is None:
        return False
    now = tip(view, branch)
    if now not in (None, kept):
        raise Conflict(
            f"there is another branch {branch} now",
            hint=f"rename it (git branch -m {branch} <other name>), then call again",
            code="branch_exists",
        )
    created = [] if now else [f"create refs/heads/{branch} {kept}"]
    gone = f"delete {ASIDE}{task_id} {kept}"
    _change(view, [*created, gone], f"the branch {branch} cannot be restored")
    return True


def drop(view: RepositoryView, task_id: str) -> None:
    """Remove what was kept aside, if there is any."""
    if kept := kept_aside(view, task_id):
        _change(view, [f"delete {ASIDE}{task_id} {kept}"], "a deleted branch cannot be dropped")


def _change(view: RepositoryView, commands: list[str], what: str) -> None:
    done = view.run(["update-ref", "--stdin"], stdin="".join(f"{c}\n" for c in commands).encode())
    if done.code == 0:
        return
    if "but expected" in done.stderr or "reference already exists" in done.stderr:
        raise Conflict(
            f"{what}: it has moved meanwhile",
            hint="nothing was done; call again to see what would happen now",
            code="branch_moved",
        )
    raise EnvironmentFault(
        f"{what}: {done.reason}",
        hint="check that the repository is writable, then call again",
        code="git_failed",
    )
