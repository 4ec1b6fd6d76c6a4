"""Delivery of a task's branch into the user's repository, of which nothing else is changed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain import disk_full_error
from rover_mcp.domain.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.git.branch_blocked import checked_out_in
from rover_mcp.git.git_errors import disk_full
from rover_mcp.git.git_process import FROM_FILES, UNCHECKED, UPLOAD_PACK
from rover_mcp.git.locate import RepositoryPaths, locate
from rover_mcp.git.repository import is_branch_name
from rover_mcp.git.repository_view import RepositoryView, opened
from rover_mcp.git.unfinished_commit import UnfinishedWork, commit_unfinished, unfinished_snapshot


@dataclass(frozen=True)
class PublishResult:
    """`commit` is where `branch` is now, `previous` where it was; `changed`: it has moved."""

    branch: str
    commit: str
    previous: str | None
    changed: bool


def publish(
    hub: Path,
    task_id: str,
    commit: str,
    user_repo: Path,
    branch: str,
    unfinished: UnfinishedWork | None = None,
) -> PublishResult:
    """Bring a task's branch, which `hub` has at `commit`, to `refs/heads/<branch>` of
    `user_repo`, with one more commit if there is `unfinished` work.

    Only objects and that one reference are written: not the checkout, the index, the configuration
    or FETCH_HEAD, and no hook runs. The branch only ever moves forward, unless it is at unfinished
    work that Rover committed. Repeating it is harmless.

    Raises:
        UserFixable: `branch` is not a branch name ("malformed_branch").
        Conflict: it is checked out in a work tree ("branch_checked_out"), has other commits
            ("branch_diverged"), or its name clashes with another branch ("branch_clash").
        EnvironmentFault: git failed ("publish_failed").
    """
    if not is_branch_name(branch):
        raise UserFixable(f"{branch[:80]!r} is not a branch name", code="malformed_branch")
    with opened(user_repo) as view:
        target = f"refs/heads/{branch}"
        previous = _resolve(view, target)
        if previous == commit and unfinished is None:
            return PublishResult(branch, commit, previous, changed=False)
        _refuse_checked_out(view.place, branch)
        _fetch(view, hub, _sources(task_id, unfinished), user_repo, branch)
        if unfinished is not None:
            unfinished_commit = commit_unfinished(view, task_id, commit, unfinished)
            if unfinished_commit is None:
                return PublishResult(branch, commit, previous, changed=False)
            commit = unfinished_commit
        if previous is not None and unfinished_snapshot(view, previous, task_id) is None:
            _refuse_diverged(view, previous, commit, user_repo, branch)
        _move(view, user_repo, target, commit, previous)
        return PublishResult(branch, commit, previous, changed=previous != commit)


def _sources(task_id: str, unfinished: UnfinishedWork | None) -> Sequence[str]:
    """The references of the hub whose objects a delivery needs."""
    head = f"refs/rover/{task_id}/head"
    if unfinished is None:
        return [head]
    return [head, f"refs/rover/{task_id}/snapshots/{unfinished.snapshot.sequence}"]


def check_delivery(user_repo: Path, prefix: str, branches: Collection[str]) -> None:
    """Check that a branch below `prefix` can be made in the repository, which has these `branches`:
    an obstacle to `publish` is better reported before the work is done.

    Raises:
        Conflict: the prefix, or its beginning, is a branch itself ("branch_clash").
        UserFixable: the repository is not writable ("repository_read_only").
    """
    # A reference is a file: where `rover` is a branch, `rover/1-fix` cannot be one.
    parts = prefix.split("/")
    for name in ("/".join(parts[: n + 1]) for n in range(len(parts))):
        if name in branches:
            raise Conflict(
                f"the branch {name} in {user_repo} is in the way of branches named {prefix}/...",
                hint=f"rename it (git branch -m {name} <other name>), or set branch_prefix in "
                "config.yaml to another name",
                code="branch_clash",
            )
    common = locate(user_repo).common
    for folder in (common, common / "objects", common / "refs" / "heads"):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise UserFixable(
                f"{folder} is not writable, so a task's branch could not be brought there",
                hint="make it writable for the user that runs rover, or use a clone of it",
                code="repository_read_only",
            )


def _fetch(
    view: RepositoryView, hub: Path, refs: Sequence[str], user_repo: Path, branch: str
) -> None:
    # Without a destination, so that the reference is written afterwards by compare-and-swap: a
    # fetch would overwrite what somebody has committed on the branch in the meantime.
    fetched = view.run(
        ["fetch", "-q", UPLOAD_PACK, "--no-tags", "--no-write-fetch-head", "--no-auto-gc",
         "--refmap=", "--no-recurse-submodules", "--no-prune", "--no-prune-tags",
         "--", str(hub), *refs],
        extra_env=FROM_FILES,
        settings=UNCHECKED,
    )  # fmt: skip
    if disk_full(fetched):
        raise disk_full_error.disk_full(f"{branch} cannot be brought into {user_repo}", user_repo)
    if fetched.code != 0:
        raise EnvironmentFault(
            f"{branch} cannot be brought into {user_repo}: {fetched.reason}",
            hint="check that the repository is writable and its disk has space",
            code="publish_failed",
        )


def _refuse_diverged(
    view: RepositoryView, previous: str, commit: str, user_repo: Path, branch: str
) -> None:
    if not _is_ancestor(view, previous, commit):
        raise Conflict(
            f"the branch {branch} in {user_repo} has other commits than the task's",
            hint=f"rename it (git branch -m {branch} <other name>), then try again",
            code="branch_diverged",
        )


def _move(
    view: RepositoryView, user_repo: Path, target: str, commit: str, previous: str | None
) -> None:
    argv = ["update-ref", "-m", "rover: published", target, commit, previous or "0" * 40]
    moved = view.run(argv)
    # Another daemon may have published the same commit first.
    if moved.code == 0 or _resolve(view, target) == commit:
        return
    name = target.removeprefix("refs/heads/")
    if "exists; cannot create" in moved.stderr:
        raise Conflict(
            f"the branch {name} cannot be made: {moved.reason}",
            hint="rename the branch that is in the way, then try again",
            code="branch_clash",
        )
    if disk_full(moved):
        raise disk_full_error.disk_full(f"the branch {name} cannot be set", user_repo)
    raise EnvironmentFault(
        f"the branch {name} in {user_repo} cannot be set: {moved.reason}",
        hint="check that the repository is writable, then try again",
        code="publish_failed",
    )


def _refuse_checked_out(place: RepositoryPaths, branch: str) -> None:
    where = checked_out_in(place, branch)
    if where is not None:
        raise Conflict(
            f"the branch {branch} is checked out in {where}",
            hint=f"run: git -C {shlex.quote(str(where))} switch <another branch>, then try again",
            code="branch_checked_out",
        )


def _is_ancestor(view: RepositoryView, old: str, new: str) -> bool:
    return view.run(["merge-base", "--is-ancestor", old, new]).code == 0


def _resolve(view: RepositoryView, ref: str) -> str | None:
    resolved = view.run(["rev-parse", "--verify", "-q", ref])
    return resolved.text if resolved.code == 0 else None
