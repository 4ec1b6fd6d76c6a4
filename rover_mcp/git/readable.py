"""Whether git can make a work tree of a commit, known before a task is based on it.

What `git fsck` finds wrong with people, dates, modes and the order of names does not matter: git
reads past it, and so do tasks.
"""

from __future__ import annotations

import shlex

from rover_mcp.errors import UserFixable
from rover_mcp.git.view import View

_LISTING = 64 * 1024**2
# As in a task's clone, see agent_runner/worktree.py.
_PROTECTED = ("core.protectHFS=true", "core.protectNTFS=true")


def check_readable(view: View, commit: str) -> None:
    """That git can read all files of the commit, check them out and compare them with others.

    Raises:
        UserFixable: it cannot ("unreadable_base").
    """
    where = view.place.top or view.place.common
    git = f"git -C {shlex.quote(str(where))}"
    files = view.run(["rev-list", "--objects", "--no-walk", "--quiet", commit])
    if files.code != 0:
        raise _unreadable(
            view,
            commit,
            files.reason,
            f"see what is missing ({git} fsck), fetch it again ({git} fetch --refetch, of git 2.36 "
            "or later), or base the task on another commit",
        )
    index = {"GIT_INDEX_FILE": str(view.folder / "index-of-base")}
    read = view.run(["read-tree", commit], extra_env=index, settings=_PROTECTED)
    if why := read.reason if read.code != 0 else _odd_name(view, commit):
        raise _unreadable(
            view,
            commit,
            why,
            "base the task on a commit without that name; to take it out of this one, "
            f"rewrite the branch, for example with git filter-repo ({git} fsck names all of them)",
        )


def _odd_name(view: View, commit: str) -> str:
    """Which name git checks out and then takes for changed: one with a slash in itself, or one that
    stands twice in its folder. Of such a folder git read-tree counts more than it reads, and git
    write-tree then leaves out what comes after it."""
    argv = ["ls-tree", "-r", "-t", "-z", "--full-tree", commit]
    folders, seen = {b""}, set[bytes]()
    for line in view.run(argv, output_limit=_LISTING).stdout.split(b"\0")[:-1]:
        facts, _, path = line.partition(b"\t")
        shown = repr(path.decode("utf-8", "backslashreplace"))
        if path.rpartition(b"/")[0] not in folders:
            return f"the name {shown} holds a slash"
        if path in seen:
            return f"the name {shown} stands twice in its folder"
        seen.add(path)
        if b" tree " in facts:
            folders.add(path)
    return ""


def _unreadable(view: View, commit: str, why: str, hint: str) -> UserFixable:
    where = view.place.top or view.place.common
    return UserFixable(
        f"git can make no work tree of the commit {commit[:12]} of {where}: {why}",
        hint=hint,
        code="unreadable_base",
    )
