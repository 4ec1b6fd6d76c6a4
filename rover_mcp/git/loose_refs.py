"""References read as the files that git writes them to: a process of git costs as much as some of
the questions that are answered with it."""

from __future__ import annotations

import os
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


def loose_refs(repository: Path, folder: str) -> dict[str, str] | None:
    """The commits that the references directly in a folder of a bare repository name, by the last
    part of their names. None where git has to be asked: references are packed, one is not a plain
    file with an id, or the repository does not look complete."""
    head = read_small(repository / "HEAD") or b""
    if not head.startswith(b"ref: refs/") or not (repository / "objects").is_dir():
        return None
    if not (repository / "refs").is_dir() or os.path.lexists(repository / "packed-refs"):
        return None
    try:
        names = [path.name for path in (repository / folder).iterdir()]
    except FileNotFoundError:
        names = []
    except OSError:
        return None
    commits: dict[str, str] = {}
    for name in names:
        # The lock of a git that is writing, or was killed.
        if name.endswith(".lock"):
            continue
        commit = loose_ref(repository, f"{folder}/{name}")
        if commit is None:
            return None
        commits[name] = commit
    return commits
