"""Delivery of a task's branch into the user's repository, and nothing else of it touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rover_mcp.errors import Conflict, EnvironmentFault, UserFixable
from rover_mcp.git.process import run_git
from rover_mcp.git.repository import is_branch_name

_LONG = 1800.0


@dataclass(frozen=True)
class PublishResult:
    """`commit` is where `branch` is now, `previous` where it was; `changed` says if it moved."""

    branch: str
    commit: str
    previous: str | None
    changed: bool


def publish(hub: Path, ref: str, commit: str, user_repo: Path, branch: str) -> PublishResult:
    """Bring `ref` of `hub`, which is at `commit`, to `refs/heads/<branch>` of `user_repo`.

    Only objects and that one ref are written: not the checkout, the index, the config or
    FETCH_HEAD, and no hook runs. The branch is only ever moved forward. Repeating it is harmless.

    Raises:
        UserFixable: `branch` is no branch name.
        Conflict: it is checked out in a work tree ("branch_checked_out"), has other commits
            ("branch_diverged"), or its name clashes with another branch ("branch_clash").
        EnvironmentFault: git failed ("publish_failed").
    """
    if not is_branch_name(branch):
        raise UserFixable(f"{branch[:80]!r} is not a branch name", code="malformed_branch")
    target = f"refs/heads/{branch}"
    previous = _resolve(user_repo, target)
    if previous == commit:
        return PublishResult(branch, commit, previous, changed=False)
    _refuse_checked_out(user_repo, branch)
    # Without a destination: objects first, the ref afterwards and by compare-and-swap.
    fetched = run_git(
        ["fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--refmap=",
         "--no-recurse-submodules", "--no-prune", "--no-prune-tags", "--", str(hub), ref],
        user_repo,
        timeout=_LONG,
    )  # fmt: skip
    if fetched.code != 0:
        raise EnvironmentFault(
            f"{branch} cannot be brought into {user_repo}: {fetched.reason}",
            hint="see that the repository is writable and its disk has space",
            code="publish_failed",
        )
    if previous is not None and not _is_ancestor(user_repo, previous, commit):
        raise Conflict(
            f"the branch {branch} in {user_repo} has other commits than the task's",
            hint=f"rename it (git branch -m {branch} <other name>), then try again",
            code="branch_diverged",
        )
    _move(user_repo, target, commit, previous)
    return PublishResult(branch, commit, previous, changed=True)


def _move(user_repo: Path, target: str, commit: str, previous: str | None) -> None:
    argv = ["update-ref", "-m", "rover: published", target, commit, previous or "0" * 40]
    moved = run_git(argv, user_repo)
    if moved.code == 0 or _resolve(user_repo, target) == commit:
        return
    name = target.removeprefix("refs/heads/")
    if "exists; cannot create" in moved.stderr:
        raise Conflict(
            f"the branch {name} cannot be made: {moved.reason}",
            hint="rename the branch that is in the way, then try again",
            code="branch_clash",
        )
    raise EnvironmentFault(
        f"the branch {name} in {user_repo} cannot be set: {moved.reason}",
        hint="see that the repository is writable, then try again",
        code="publish_failed",
    )


def _refuse_checked_out(user_repo: Path, branch: str) -> None:
    listed = run_git(["worktree", "list", "--porcelain"], user_repo)
    where = ""
    for line in listed.text.splitlines():
        if line.startswith("worktree "):
            where = line.removeprefix("worktree ")
        elif line == f"branch refs/heads/{branch}":
            raise Conflict(
                f"the branch {branch} is checked out in {where}",
                hint=f"run: git -C {where} switch <another branch>, then try again",
                code="branch_checked_out",
            )


def _is_ancestor(repo: Path, old: str, new: str) -> bool:
    return run_git(["merge-base", "--is-ancestor", old, new], repo).code == 0


def _resolve(repo: Path, ref: str) -> str | None:
    found = run_git(["rev-parse", "--verify", "-q", ref], repo)
    return found.text if found.code == 0 else None
