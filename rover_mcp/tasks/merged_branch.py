"""Deleting a task's branch once it is merged, so that it can be given back: the task stays."""

from __future__ import annotations

import logging
import shlex

from rover_mcp.domain.errors import Conflict, RoverError
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.task_branch import TaskBranches

log = logging.getLogger("rover.tasks")


def check_can_go(branches: TaskBranches, task: TaskRow) -> None:
    """That the branch can be deleted, before it is merged.

    Raises:
        Conflict: a work tree has it checked out.
        RoverError: the repository cannot be looked at.
    """
    if (top := branches.facts(task).work_tree) is not None:
        raise Conflict(
            f"the branch {task.branch} is checked out in {printable(str(top), 500)}, so it cannot "
            "be deleted; nothing was merged",
            hint="switch that work tree to another branch, or remove it, then call again; or merge "
            "without delete_branch",
            code="branch_checked_out",
        )


def delete_merged(branches: TaskBranches, task: TaskRow, source: str) -> str:
    """Delete the branch if it is still at the commit that was merged, and say what became of it.
    It is safe to repeat."""
    try:
        branches.put_aside(task, source)
    except RoverError as error:
        # The merge has happened, so this is no reason to call it a failure.
        log.warning("the merged branch of task %s stays: %s", task.id, error)
        return f"The branch {task.branch} stays: {error.message}."
    words = ["git", "-C", task.project_path, "branch", task.branch, source[:10]]
    back = " ".join(shlex.quote(printable(word, 1000)) for word in words)
    return f"The branch {task.branch} is deleted; `{back}` restores it."
