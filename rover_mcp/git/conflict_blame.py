"""Who made the lines in conflict what they are, on either side of a stop."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rover_mcp.domain.conflict_report import BlamedCommit, ReportedFile
from rover_mcp.domain.conflicted_file import ConflictRegion
from rover_mcp.git.conflicts import MOST_BYTES
from rover_mcp.git.replay import Git, ReplayStop

MOST_BLAMED = 20
"""Places of a file for which git is asked."""
_BLAMED = re.compile(r"(?m)^([0-9a-f]{40}) \d+ \d+")


def reported_file(
    git: Git, stop: ReplayStop, base: str, path: str, pieces: Sequence[str | ConflictRegion]
) -> ReportedFile:
    """A file in conflict for the report. `base`: where both sides went apart."""
    regions = [piece for piece in pieces if isinstance(piece, ConflictRegion)]
    onto: list[list[str]] = []
    branch: list[list[str]] = []
    ours, theirs = (_lines_of(git, commit, path) for commit in (stop.onto, stop.commit))
    for region in regions[:MOST_BLAMED]:
        start = _start_of(region.onto, ours, region.line)
        onto.append(_blamed(git, f"{base}..{stop.onto}", path, start, region.onto))
        start = _start_of(region.branch, theirs, region.line)
        branch.append(_blamed(git, f"{base}..{stop.commit}", path, start, region.branch))
    names = dict.fromkeys(name for every in (*onto, *branch) for name in every)
    commits = {name: described(git, name) for name in names}
    return ReportedFile(path, regions, onto, branch, commits)


def described(git: Git, commit: str) -> BlamedCommit:
    """A commit with its author and message."""
    shown = git(["show", "-s", "--format=%an%x00%B", commit])
    author, _, message = shown.stdout.decode("utf-8", "replace").partition("\0")
    return BlamedCommit(commit, author, message)


def _lines_of(git: Git, commit: str, path: str) -> list[str]:
    shown = git(["cat-file", "blob", f"{commit}:{path}"], output_limit=MOST_BYTES)
    text = "" if shown.code != 0 or shown.truncated else shown.stdout.decode("utf-8", "replace")
    return text.split("\n")


def _start_of(text: str, lines: Sequence[str], near: int) -> int:
    """In which line of a side a place begins. Where the other side added lines elsewhere, it is not
    the line of the merged file: that one is only `near`."""
    wanted = text.removesuffix("\n").split("\n")
    starts = (
        start + 1
        for start in range(len(lines) - len(wanted) + 1)
        if lines[start : start + len(wanted)] == wanted
    )
    return min(starts, key=lambda start: abs(start - near), default=near)


def _blamed(git: Git, commits: str, path: str, start: int, text: str) -> list[str]:
    """The commits of a range that changed these lines; none where git cannot say it."""
    count = text.count("\n") + (not text.endswith("\n")) if text else 0
    if not count:
        return []
    lines = f"-L{start},+{count}"
    shown = git(["blame", "--porcelain", lines, commits, "--", path])
    named = dict.fromkeys(_BLAMED.findall(shown.stdout.decode("utf-8", "replace")))
    # A boundary is where both sides went apart: nobody of either side changed these lines.
    boundary = set(_boundaries(shown.text))
    return [name for name in named if name not in boundary] if shown.code == 0 else []


def _boundaries(porcelain: str) -> list[str]:
    current, found_at = "", list[str]()
    for line in porcelain.splitlines():
        if match := _BLAMED.match(line):
            current = match[1]
        elif line == "boundary":
            found_at.append(current)
    return found_at
