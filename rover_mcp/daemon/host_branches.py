"""Deletes tasks' branches in users' repositories, and gives them back."""

from __future__ import annotations

import logging
from pathlib import Path

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.domain.errors import RoverError, UserFixable
from rover_mcp.git import branch_trash
from rover_mcp.git.branch_trash import BranchFacts
from rover_mcp.git.repository_view import opened
from rover_mcp.store.records import TaskRow

log = logging.getLogger("rover.daemon")


class HostBranches:
    """See tasks.task_branch.TaskBranches."""

    def __init__(self, repositories: GitRepositories) -> None:
        self._repositories = repositories

    def facts(self, task: TaskRow) -> BranchFacts:
        head = self._repositories.hub(task.project_id).head(task.id)
        with opened(Path(task.project_path)) as view:
            return branch_trash.branch_facts(view, task.branch, task.id, head, task.base_commit)

    def put_aside(self, task: TaskRow, tip: str) -> None:
        with opened(Path(task.project_path)) as view:
            branch_trash.put_aside(view, task.branch, tip, task.id)

    def is_aside(self, task: TaskRow) -> bool:
        try:
            with opened(Path(task.project_path)) as view:
                return branch_trash.kept_aside(view, task.id) is not None
        except UserFixable as error:
            log.info("the repository of task %s cannot be inspected: %s", task.id, error)
            return False

    def put_back(self, task: TaskRow) -> bool:
        try:
            with opened(Path(task.project_path)) as view:
                return branch_trash.put_back(view, task.branch, task.id)
        except UserFixable as error:
            # A repository that is gone or was moved: the task comes back without the branch, which
            # is delivered again when it is needed.
            log.warning("the branch of task %s cannot be restored: %s", task.id, error)
            return False


def drop_aside(task: TaskRow) -> None:
    """Remove what is kept of a task's deleted branch. What cannot be removed is only a name in the
    repository."""
    try:
        with opened(Path(task.project_path)) as view:
            branch_trash.drop(view, task.id)
    except RoverError as error:
        log.info("%s of task %s stays: %s", branch_trash.ASIDE, task.id, error)
