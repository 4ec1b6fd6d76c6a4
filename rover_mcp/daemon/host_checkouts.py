"""Checkouts of tasks' branches, in work trees of users' repositories."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_merges import delivered_head, delivered_tip
from rover_mcp.domain.errors import Conflict, UserFixable
from rover_mcp.git.branch_blocked import work_trees
from rover_mcp.git.branch_merge import ChangedPath, changed_paths
from rover_mcp.git.hook_files import active_hooks
from rover_mcp.git.locate import locate, read_head
from rover_mcp.git.new_work_tree import NewWorkTree
from rover_mcp.git.push_checks import EMPTY_TREE, changed_since
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.switch_branch import BranchSwitch, unsaved_commits
from rover_mcp.git.work_tree import (
    check_can_write,
    check_clean,
    filtered_paths,
    work_tree_of,
)
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.checkout import CheckoutPlan, CheckoutRequest
from rover_mcp.tasks.operation_log import settled

HOOKS = ("post-checkout",)


@dataclass(frozen=True)
class HostCheckouts:
    """Reads and changes the user's repository through views of it. `home` is the data folder."""

    repositories: GitRepositories
    home: Path

    def plan(self, task: TaskRow, request: CheckoutRequest, cwd: Path) -> CheckoutPlan:
        repository = Path(task.project_path)
        with opened(repository) as view:
            head = delivered_head(self.repositories, task)
            commit = delivered_tip(self.repositories, view, task, head)
            changed = changed_since(view, task.base_commit, commit)
            plan = CheckoutPlan(
                repository=str(repository),
                branch=task.branch,
                commit=commit,
                folder="",
                files=[one.path for one in changed if not one.deleted],
                hooks=active_hooks(view, HOOKS),
            )
            top = work_tree_of(view, task.branch)
            if top is not None:
                return _there(plan, top, self._wanted(request, cwd, view))
            if request.here:
                return _switch(plan, cwd, view)
            folder = request.into or repository.with_name(f"{repository.name}-{task.number}")
            self._check_folder(view, (cwd / folder).resolve())
            _check_filters(view, commit, repository, task.branch, cwd / folder)
            return replace(plan, folder=str((cwd / folder).resolve()))

    def carry_out(self, operation: str, move: Mapping[str, Any]) -> None:
        if move["old"] is None:
            with opened(Path(move["repository"])) as view:
                _new_work_tree(view, operation, move).add()
            return
        with opened(Path(move["folder"])) as view:
            _branch_switch(view, operation, move).switch()

    def settle(self, operation: str, move: Mapping[str, Any]) -> bool:
        return settled(lambda: _settled(operation, move))

    def _wanted(self, request: CheckoutRequest, cwd: Path, view: RepositoryView) -> Path | None:
        if request.here:
            return locate(cwd).top
        return (cwd / request.into).resolve() if request.into else None

    def _check_folder(self, view: RepositoryView, folder: Path) -> None:
        """That a work tree can be made there.

        Raises:
            UserFixable: it cannot ("folder_in_use", "inside_repository", "inside_data_folder").
        """
        if folder.is_relative_to(self.home.resolve()):
            raise UserFixable(
                f"{folder} is inside Rover's own data folder",
                hint="name another folder",
                code="inside_data_folder",
            )
        if not folder.exists() and folder in (top for top, _ in work_trees(view.place)):
            raise _missing(folder)
        tops = [view.place.common, *(top for top, _ in work_trees(view.place))]
        if inside := next((top for top in tops if folder.is_relative_to(top.resolve())), None):
            raise UserFixable(
                f"{folder} is inside {inside}, whose git would take it for files of its own",
                hint="name a folder outside of the repository",
                code="inside_repository",
            )
        if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise UserFixable(
                f"{folder} is not an empty folder",
                hint="name another folder",
                code="folder_in_use",
            )
        if not folder.parent.is_dir():
            raise UserFixable(
                f"{folder.parent} does not exist",
                hint="create it first, or name another folder",
                code="not_a_directory",
            )


def _missing(top: Path) -> UserFixable:
    return UserFixable(
        f"git still has a work tree in {top}, which is missing",
        hint="have git forget it: git worktree prune; then call again",
        code="folder_in_use",
    )


def _there(plan: CheckoutPlan, top: Path, wanted: Path | None) -> CheckoutPlan:
    """The plan where a work tree has the branch already.

    Raises:
        Conflict: another was asked for ("branch_in_use").
    """
    if not top.exists():
        raise _missing(top)
    if wanted is not None and wanted.resolve() != top.resolve():
        raise Conflict(
            f"the branch {plan.branch} is checked out in {top} already",
            hint="git checks a branch out in one work tree at a time: use that one, or remove it: "
            f"git -C {shlex.quote(plan.repository)} worktree remove {shlex.quote(str(top))}",
            code="branch_in_use",
        )
    return replace(plan, folder=str(top), already=True)


def _switch(plan: CheckoutPlan, cwd: Path, view: RepositoryView) -> CheckoutPlan:
    """The plan for the work tree that the caller works in.

    Raises:
        UserFixable: it is none of the repository's ("not_here").
        Conflict: it is not clean, or commits would be lost.
    """
    place = locate(cwd)
    if place.top is None or place.common != view.place.common:
        raise UserFixable(
            f"{cwd} is not in a work tree of {plan.repository}",
            hint="go there first, or give --into a folder",
            code="not_here",
        )
    with opened(place.top) as here:
        head = os.fsdecode(read_head(place.git_dir) or b"").strip()
        old = here.run(["rev-parse", "--verify", "-q", "HEAD^{commit}"]).text
        if not head.startswith("ref:") and unsaved_commits(here, old):
            raise Conflict(
                f"{place.top} is at commit {old[:10]}, which no branch, tag or remote has: nothing "
                "would lead to it any more",
                hint="give it a branch first: git branch <name>",
                code="unsaved_commits",
            )
        check_clean(here, place.top)
        check_can_write(here, place.top, changed_paths(here, old, plan.commit), plan.commit)
    return replace(plan, folder=str(place.top), old=old, head=head)


def _check_filters(
    view: RepositoryView, commit: str, repository: Path, branch: str, folder: Path
) -> None:
    """That every file can be written without a program that the repository names.

    Raises:
        Conflict: one passes through a filter such as git-lfs ("filtered_files").
    """
    everything: Sequence[ChangedPath] = changed_paths(view, EMPTY_TREE, commit)
    if filtered := filtered_paths(view, everything, commit):
        words = ["git", "-C", str(repository), "worktree", "add", str(folder), branch]
        raise Conflict(
            f"{filtered[0]} passes through a filter such as git-lfs, which Rover does not run",
            hint=f"do it with git itself: {shlex.join(words)}",
            code="filtered_files",
        )


def _settled(operation: str, move: Mapping[str, Any]) -> bool:
    if move["old"] is None:
        with opened(Path(move["repository"])) as view:
            return _new_work_tree(view, operation, move).settle()
    with opened(Path(move["folder"])) as view:
        return _branch_switch(view, operation, move).settle()[0]


def _new_work_tree(view: RepositoryView, operation: str, move: Mapping[str, Any]) -> NewWorkTree:
    return NewWorkTree(view, operation, Path(move["folder"]), move["branch"], move["commit"])


def _branch_switch(view: RepositoryView, operation: str, move: Mapping[str, Any]) -> BranchSwitch:
    return BranchSwitch(
        view, operation, Path(move["folder"]), move["head"], move["old"], move["branch"],
        move["commit"],
    )  # fmt: skip
