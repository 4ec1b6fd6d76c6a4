"""References read as the files that git writes them to: a process of git costs as much as some of
the questions that are answered with it."""

from __future__ import annotations

import re
from pathlib import Path

from rover_mcp.git.locate import read_small
from rover_mcp.git.repository import is_branch_name

_COMMIT = re.compile(rb"([0-9a-f]{40})\n", re.ASCII)


def loose_ref(git_dir: Path, name: str) -> str | None:
    """The commit that the file of a reference names; None where git has to be asked, because the
    reference is packed, symbolic or missing. Such a file outranks the packed references."""
    if not is_branch_name(name):
        return None
    match = _COMMIT.fullmatch(read_small(git_dir / name) or b"")
    return match[1].decode() if match else None
