"""Whether git can make a work tree of a commit, known before a task is based on it.

What `git fsck` finds wrong with people, dates, modes and the order of names does not matter: git
reads past it, and so do tasks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.repository_view import RepositoryView

# As in a task's clone, see agent_runner/worktree/worktree.py.
_PROTECTED = ("core.protectHFS=true", "core.protectNTFS=true")
# What git may refuse to check out: names that are, or stand for, `.`, `..`, `.git`, or nothing, and
# a link in the place of .gitmodules. Git itself decides, which takes longer than all the rest.
_DOUBTFUL = re.compile(
    rb"[\t/](?:\.{0,2}(?=[/\0])|\.(?:git(?![a-z])|[^/\0]*[\xe2\xef])|git~)"
    rb"|(?:^|\0)120000 [^\0]*git?mod",
    re.IGNORECASE,
)


def check_readable(view: RepositoryView, commit: str, listing: bytes) -> None:
    """That git has all files of the commit, can check them out, and reads the same as it wrote.
    `listing` is what `git ls-tree -r -t -l -z` said, with status 0.

    Raises:
        UserFixable: it does not ("unreadable_base").
    """
    parts = (line.partition(b"\t") for line in listing.split(b"\0")[:-1])
    lines = [(facts, path) for facts, _, path in parts]
    for facts, path in lines:
        if facts.endswith(b"BAD"):
            raise missing(view, commit, f"{_shown(path)} is missing")
    if why := _refused(view, commit, listing) or _odd_name(lines):
        where = shlex.quote(str(_where(view)))
        raise UserFixable(
            f"git can make no work tree of the commit {commit[:12]} of {_where(view)}: {why}",
            hint="base the task on a commit without that name; to take it out of this one, rewrite "
            f"the branch, for example with git filter-repo (git -C {where} fsck names them all)",
            code="unreadable_base",
        )


def missing(view: RepositoryView, commit: str, why: str) -> UserFixable:
    """The error for a commit of which something is missing."""
    git = f"git -C {shlex.quote(str(_where(view)))}"
    return UserFixable(
        f"git can make no work tree of the commit {commit[:12]} of {_where(view)}: {why}",
        hint=f"see what is missing ({git} fsck), fetch it again ({git} fetch --refetch, of git "
        "2.36 or later), or base the task on another commit",
        code="unreadable_base",
    )


def _refused(view: RepositoryView, commit: str, listing: bytes) -> str:
    """What git says where it does not read the names."""
    if not _DOUBTFUL.search(listing):
        return ""
    index = {"GIT_INDEX_FILE": str(view.folder / "index-of-base")}
    read = view.run(["read-tree", commit], extra_env=index, settings=_PROTECTED)
    return read.reason if read.code != 0 else ""


def _odd_name(lines: Sequence[tuple[bytes, bytes]]) -> str:
    """Which name git checks out and then takes for changed: one with a slash in itself, or one that
    stands twice in its folder. Of such a folder git read-tree counts more than it reads, and git
    write-tree then leaves out what comes after it."""
    folders = {b"", *(path for facts, path in lines if b" tree " in facts)}
    for parent in {path.rpartition(b"/")[0] for _, path in lines} - folders:
        return f"a name that begins with {_shown(parent)} holds a slash"
    seen = set[bytes]()
    for _, path in lines:
        if path in seen:
            return f"the name {_shown(path)} stands twice in its folder"
        seen.add(path)
    return ""


def _where(view: RepositoryView) -> str:
    return str(view.place.top or view.place.common)


def _shown(path: bytes) -> str:
    return repr(path.decode("utf-8", "backslashreplace"))[:200]
