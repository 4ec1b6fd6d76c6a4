"""Whether git can make a work tree of a commit, which is checked before a task is based on it.

`git fsck` would also complain about authors, dates, modes and the order of names, which old
histories are full of. Git reads those commits all the same, and so do tasks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.repository_view import RepositoryView

# As in a task's clone, see agent_runner/worktree/worktree.py.
_PROTECTED = ("core.protectHFS=true", "core.protectNTFS=true")
# What git may refuse to check out: names that are `.`, `..`, `.git` or empty, or that another file
# system takes for one of these, and a link in the place of .gitmodules. Git itself decides, but
# only where this finds something, because it takes longer than all other checks together.
_DOUBTFUL = re.compile(
    rb"[\t/](?:\.{0,2}(?=[/\0])|\.(?:git(?![a-z])|[^/\0]*[\xe2\xef])|git~)"
    rb"|(?:^|\0)120000 [^\0]*git?mod",
    re.IGNORECASE,
)


def check_readable(view: RepositoryView, commit: str, listing: bytes) -> None:
    """Check that git has all files of the commit, can check them out, and reads back what it wrote.
    `listing` is the output of `git ls-tree -r -t -l -z`, which succeeded.

    Raises:
        UserFixable: a file is missing, or has an impossible name ("unreadable_base").
    """
    parts = (line.partition(b"\t") for line in listing.split(b"\0")[:-1])
    lines = [(facts, path) for facts, _, path in parts]
    for facts, path in lines:
        if facts.endswith(b"BAD"):
            raise missing(view, commit, f"{_shown(path)} is missing")
    if why := _refused(view, commit, listing) or _odd_name(lines):
        where = shlex.quote(str(_where(view)))
        raise UserFixable(
            f"git cannot create a work tree of the commit {commit[:12]} of {_where(view)}: {why}",
            hint="base the task on a commit without that name; to take it out of this one, rewrite "
            f"the branch, for example with git filter-repo (git -C {where} fsck names them all)",
            code="unreadable_base",
        )


def missing(view: RepositoryView, commit: str, why: str) -> UserFixable:
    """The error for a commit of which an object is missing."""
    git = f"git -C {shlex.quote(str(_where(view)))}"
    return UserFixable(
        f"git cannot create a work tree of the commit {commit[:12]} of {_where(view)}: {why}",
        hint=f"see what is missing ({git} fsck), fetch it again ({git} fetch --refetch, of git "
        "2.36 or later), or base the task on another commit",
        code="unreadable_base",
    )


def _refused(view: RepositoryView, commit: str, listing: bytes) -> str:
    """Git's reason for refusing a name; empty where it accepts all."""
    if not _DOUBTFUL.search(listing):
        return ""
    index = {"GIT_INDEX_FILE": str(view.folder / "index-of-base")}
    read = view.run(["read-tree", commit], extra_env=index, settings=_PROTECTED)
    return read.reason if read.code != 0 else ""


def _odd_name(lines: Sequence[tuple[bytes, bytes]]) -> str:
    """A name that git checks out and then takes for changed: one that contains a slash, or one that
    occurs twice in its folder; empty where there is none. For such a folder `git read-tree` counts
    more entries than it reads, and `git write-tree` then omits what comes after it."""
    folders = {b"", *(path for facts, path in lines if b" tree " in facts)}
    for parent in {path.rpartition(b"/")[0] for _, path in lines} - folders:
        return f"a name that begins with {_shown(parent)} holds a slash"
    seen = set[bytes]()
    for _, path in lines:
        if path in seen:
            return f"the name {_shown(path)} occurs twice in its folder"
        seen.add(path)
    return ""


def _where(view: RepositoryView) -> str:
    return str(view.place.top or view.place.common)


def _shown(path: bytes) -> str:
    return repr(path.decode("utf-8", "backslashreplace"))[:200]
