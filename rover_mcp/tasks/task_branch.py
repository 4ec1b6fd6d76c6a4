"""What becomes of a task's branch in the user's repository when the task is deleted: it stays,
unless that is asked for, and then it goes into the trash with the task."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rover_mcp.domain.errors import Conflict
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.quoted_text import printable


class FactsOfBranch(Protocol):
    """See git.branch_trash.BranchFacts."""

    @property
    def tip(self) -> str | None: ...
    @property
    def foreign(self) -> int: ...
    @property
    def only_here(self) -> bool: ...
    @property
    def work_tree(self) -> Path | None: ...


class TaskBranches(Protocol):
    """Tasks' branches in users' repositories."""

    def facts(self, task: TaskRow) -> FactsOfBranch:
        """
        Raises:
            RoverError: the repository cannot be looked at.
        """
        ...

    def put_aside(self, task: TaskRow, tip: str) -> None:
        """Delete the branch, if it is at `tip`, and keep it aside. It is safe to repeat.

        Raises:
            RoverError: it has moved or is checked out, or git failed; nothing has changed.
        """
        ...

    def is_aside(self, task: TaskRow) -> bool:
        """Whether the branch is kept aside."""
        ...

    def put_back(self, task: TaskRow) -> bool:
        """Give the branch back; False where none was put aside. It is safe to repeat.

        Raises:
            Conflict: there is another branch of its name.
            EnvironmentFault: git failed.
        """
        ...


def checked_branch(task: TaskRow, facts: FactsOfBranch, *, kept: bool) -> str | None:
    """The commit of the branch that is to be deleted; None where there is no branch. `kept`: the
    trash keeps it.

    Raises:
        Conflict: it is checked out, or has commits that would be lost.
    """
    if facts.tip is None:
        return None
    branch = task.branch
    if facts.work_tree is not None:
        raise Conflict(
            f"the branch {branch} is checked out in {printable(str(facts.work_tree), 500)}",
            hint="switch that work tree to another branch, or remove it, then call again; or "
            "delete the task without its branch",
            code="branch_checked_out",
        )
    if facts.foreign:
        count = "1 commit" if facts.foreign == 1 else f"{facts.foreign} commits"
        raise Conflict(
            f"the branch {branch} has {count} that the task did not make, and that no other branch "
            "has",
            hint="delete the task without its branch, and the branch with git, if you are sure: "
            f"git branch -D {branch}",
            code="branch_holds_more",
        )
    if facts.only_here and not kept:
        raise Conflict(
            f"no other branch has all of {branch}, and with trash_days: 0 nothing would be kept",
            hint="merge it first; or delete the task without its branch, and the branch with git, "
            f"if you are sure: git branch -D {branch}",
            code="branch_holds_more",
        )
    return facts.tip
