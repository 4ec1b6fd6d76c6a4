"""What prevents that a branch of the user's repository is set, as far as its files show it. Git is
not started: this is asked every few seconds while a delivery waits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rover_mcp.git.locate import RepositoryPaths, locate, read_head, read_small


def blocked(user_repo: Path, branch: str) -> str | None:
    """What prevents that a branch is set; None where nothing is seen.

    Raises:
        UserFixable: the path is not in a repository.
        OSError: the repository cannot be read.
    """
    place = locate(user_repo)
    where = checked_out_in(place, branch)
    if where is not None:
        return f"it is checked out in {where}"
    ref = place.common / "refs" / "heads" / branch
    lock = ref.with_name(f"{ref.name}.lock")
    if lock.exists():
        return f"{lock} exists"
    folder = next(parent for parent in ref.parents if parent.exists())
    for needed in (place.common / "objects", folder):
        if not os.access(needed, os.W_OK | os.X_OK):
            return f"{needed} is not writable"
    return None


def checked_out_in(place: RepositoryPaths, branch: str) -> Path | None:
    """The work tree that has a branch checked out, where there is one."""
    for where, git_dir in work_trees(place):
        if read_head(git_dir) == f"ref: refs/heads/{branch}".encode():
            return where
    return None


def work_trees(place: RepositoryPaths) -> Iterator[tuple[Path, Path]]:
    """Every work tree of the repository with its git folder. A bare repository counts as one: git
    refuses to move the branch that its HEAD names, too."""
    common = place.common
    yield (common.parent if common.name == ".git" else common), common
    for git_dir in sorted(common.glob("worktrees/*")):
        dot_git = Path(os.fsdecode((read_small(git_dir / "gitdir") or b"").rstrip(b"\n")))
        yield dot_git.parent, git_dir
