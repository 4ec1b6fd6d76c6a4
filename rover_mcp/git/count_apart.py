"""How far a task's branch and its base have gone apart, by what the repository knows: nothing is
fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from rover_mcp.domain.base_distance import BaseDistance
from rover_mcp.git.branch_merge import tip
from rover_mcp.git.repository import is_branch_name
from rover_mcp.git.repository_view import RepositoryView

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
SECONDS = 2.0
"""For each count: it is only a remark."""
_REMOTE = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")


def base_distance(view: RepositoryView, branch: str, base: str, stood_on: str) -> BaseDistance:
    """The distance from a branch, or where that is missing from `stood_on`, to `base`: the local
    branch of this name, and the remote's as it was fetched last."""
    here = tip(view, branch) or stood_on
    ahead, behind, seen = 0, dict[str, int](), set[str]()
    references = tuple(_references(view, base))
    for (name, _), at in zip(references, _commits(view, references), strict=False):
        if not _COMMIT.fullmatch(at) or at in seen:
            continue
        seen.add(at)
        counted = view.run(
            ["rev-list", "--left-right", "--count", f"{here}...{at}"], timeout=SECONDS
        )
        left, _, right = counted.text.partition("\t")
        if counted.code != 0 or not left.isdecimal() or not right.isdecimal():
            continue
        # The local branch comes first, and says what a merge into it would bring.
        ahead = ahead or int(left)
        if int(right):
            behind[name] = int(right)
    return BaseDistance(ahead, behind)


def _commits(view: RepositoryView, references: Sequence[tuple[str, str]]) -> Sequence[str]:
    """A line for each: the commit, or that it is missing."""
    expressions = "".join(f"{ref}^{{commit}}\n" for _, ref in references)
    if not expressions:
        return ()
    argv = ["cat-file", "--batch-check=%(objectname)"]
    return view.run(argv, stdin=os.fsencode(expressions)).text.splitlines()


def _references(view: RepositoryView, base: str) -> Iterator[tuple[str, str]]:
    if not is_branch_name(base):
        return
    yield base, f"refs/heads/{base}"
    yield base, f"refs/remotes/{base}"  # a task may be made from origin/main
    remote = next(reversed(view.config.get(f"branch.{base}.remote", ())), "origin")
    merged = next(reversed(view.config.get(f"branch.{base}.merge", ())), "")
    name = merged.removeprefix("refs/heads/") or base
    if _REMOTE.fullmatch(remote) and is_branch_name(name):
        yield f"{remote}/{name}", f"refs/remotes/{remote}/{name}"
