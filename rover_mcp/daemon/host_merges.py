"""Merges tasks' branches in users' repositories."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.remembered import Remembered
from rover_mcp.domain.errors import Conflict, NotFound, RoverError, UserFixable
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.git.branch_merge import (
    Merged,
    commit_merge,
    contains,
    count_beyond,
    has_object,
    merge,
    tip,
)
from rover_mcp.git.branch_trash import kept_aside
from rover_mcp.git.hook_files import active_hooks
from rover_mcp.git.move_branch import BranchMove, move_branch, settle
from rover_mcp.git.repository import info_attributes, is_branch_name, list_branches
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.user_identity import committer
from rover_mcp.git.work_tree import work_tree_of
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.merge import MergePlan
from rover_mcp.tasks.operation_log import settled

log = logging.getLogger("rover.merge")

BRANCHES_NAMED = 10
MERGES_KEPT = 8

Search = Callable[[RepositoryView, TaskRow, str, Sequence[str]], list[SecretMatch]]
"""Finds secrets in what a commit reaches and none of some others does."""


class HostMerges:
    """Plans and makes merges, through views of the user's repository alone."""

    def __init__(self, repositories: GitRepositories, search: Search) -> None:
        self._repositories = repositories
        self._search = search
        self._merged = Remembered[tuple[Path, str, str, bytes], Merged](MERGES_KEPT)

    def plan(self, task: TaskRow, into: str | None, hooks: Sequence[str]) -> MergePlan:
        repository = Path(task.project_path)
        with opened(repository) as view:
            head = delivered_head(self._repositories, task)
            # One that was merged and then deleted is not made again to be looked at.
            merged_before = task.status is TaskStatus.MERGED and kept_if_deleted(view, task)
            source = merged_before or delivered_tip(self._repositories, view, task, head)
            into, old = _target(view, task, into)
            with ThreadPoolExecutor(2) as aside:
                # None of the three needs what the others find out.
                present = aside.submit(active_hooks, view, hooks)
                searched = aside.submit(self._secrets, view, task, source, old)
                merged = self._merge(view, old, source)
            top = work_tree_of(view, into)
            return MergePlan(
                repository=str(repository),
                branch=task.branch,
                into=into,
                source=source,
                old=old,
                tree=merged.tree,
                conflicts=merged.conflicts,
                files=[one.path for one in merged.changed if not one.deleted],
                changed=len(merged.changed),
                commits=merged.commits,
                beyond=count_beyond(view, source, head),
                forward=merged.forward,
                contained=merged.contained,
                work_tree=str(top) if top else None,
                hooks=present.result(),
                secrets=() if merged.contained else searched.result(),
            )

    def _merge(self, view: RepositoryView, old: str, source: str) -> Merged:
        """The merge of the two, which a preview and the merge that follows need once."""
        if view.bare:
            return merge(view, old, source)  # some versions of git obey the attributes of HEAD
        key = (view.place.common, old, source, info_attributes(view.place.common))
        merged = self._merged.get(key, lambda: merge(view, old, source))
        if merged.tree and not has_object(view, merged.tree, "tree"):
            # Nothing refers to the tree, so that a git gc may have removed it.
            return merge(view, old, source)
        return merged

    def _secrets(
        self, view: RepositoryView, task: TaskRow, source: str, old: str
    ) -> Sequence[SecretMatch] | None:
        """The secrets in what enters the branch. Those of the task's base are the user's own."""
        try:
            return self._search(view, task, source, [old, task.base_commit])
        except RoverError as error:
            log.info("what a merge brings cannot be searched for secrets: %s", error.message)
            return None

    def commit(
        self, plan: MergePlan, parents: Sequence[str], message: str, environ: Mapping[str, str]
    ) -> str:
        with opened(Path(plan.repository)) as view:
            me = committer(view, environ)
            return commit_merge(view, plan.tree or "", parents, message, me)

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        move_branch(branch_move(operation, move))

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        done, _ = settled(lambda: settle(branch_move(operation, move)))
        return done


def kept_if_deleted(view: RepositoryView, task: TaskRow) -> str | None:
    """The commit of a task's branch that was deleted and is kept aside, as long as no other branch
    has its name."""
    return None if tip(view, task.branch) else kept_aside(view, task.id)


def delivered_head(repositories: GitRepositories, task: TaskRow) -> str:
    """The commit that the task delivered.

    Raises:
        Conflict: it has made none ("nothing_delivered").
    """
    head = repositories.hub(task.project_id).head(task.id)
    if head is None:
        raise Conflict(
            f"task {task.number} has made no commit, so it has no branch",
            code="nothing_delivered",
        )
    return head


def delivered_tip(
    repositories: GitRepositories, view: RepositoryView, task: TaskRow, head: str
) -> str:
    """Where the task's branch is: at `head`, which the task delivered, or further. A branch that is
    missing is delivered again.

    Raises:
        Conflict: the branch does not have what the task delivered ("branch_diverged").
    """
    at = tip(view, task.branch)
    if at is None:
        hub = repositories.hub(task.project_id)
        return hub.publish(task.id, Path(task.project_path), task.branch).commit
    if not contains(view, at, head):
        raise Conflict(
            f"the branch {task.branch} does not have what task {task.number} delivered",
            code="branch_diverged",
            hint=f"somebody moved it; rename it (git branch -m {task.branch} <other name>), then "
            "call again: the task's branch is made again",
        )
    return at


def _target(view: RepositoryView, task: TaskRow, into: str | None) -> tuple[str, str]:
    """The target branch of the merge, and its commit."""
    named = into if into is not None and is_branch_name(into) else None
    at = tip(view, named) if named else None
    if named is None or at is None:
        some = ", ".join(sorted(list_branches(Path(task.project_path)))[:BRANCHES_NAMED])
        what = f"there is no branch {into!r}" if into else "the task was made from no branch"
        raise NotFound(
            f"{what} in {task.project_path}",
            hint=f"name a branch as into: {some}",
            code="unknown_branch",
        )
    if named == task.branch:
        raise UserFixable(f"{named} is the task's own branch", code="own_branch")
    return named, at


def branch_move(operation: str, move: Mapping[str, Any]) -> BranchMove:
    """The move that an operation's row describes."""
    top = move["work_tree"]
    return BranchMove(
        name=operation,
        repository=Path(move["repository"]),
        branch=move["branch"],
        old=move["old"],
        new=move["new"],
        work_tree=Path(top) if top else None,
        reason=move["reason"],
    )
