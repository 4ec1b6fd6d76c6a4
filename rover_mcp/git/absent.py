"""What a task's clone will not have of its base: submodules, and what git-lfs keeps elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from rover_mcp.errors import UserFixable
from rover_mcp.git.process import run_git
from rover_mcp.git.submodules import find_submodules
from rover_mcp.git.view import View

SHOWN = 5
_POINTER = b"version https://git-lfs.github.com/spec/"
_SIZES = range(100, 1024)
"""Bytes that a pointer can have."""

_LOOKED_AT = 2_000
"""So many small files are read, to see whether they are pointers."""

_LISTING = 64 * 1024**2
_CONTENTS = 4 * 1024**2


def absent(view: View, commit: str) -> list[str]:
    """Sentences for whoever creates a task on `commit`, of which git reads only the objects.

    Raises:
        UserFixable: not all of its files are here ("partial_clone").
    """
    repository = view.folder
    told = _partial(view, commit)
    listed = run_git(
        ["ls-tree", "-r", "-z", "--full-tree", commit], repository, output_limit=_LISTING
    )
    if listed.code != 0 or listed.truncated:
        return told
    links = False
    attributes: list[str] = []
    for line in listed.stdout.split(b"\0"):
        if line.startswith(b"160000 "):
            links = True
        elif line.endswith((b"\t.gitattributes", b"/.gitattributes")):
            attributes.append(line.split()[2].decode())
    if links and (empty := find_submodules(view.place.top or view.place.common, commit).missing):
        why = {reason: None for _, reason in empty}
        told.append(
            f"submodules are empty in the sandbox: {_shown([_printable(p) for p, _ in empty])} "
            f"({_printable('; '.join(why))}). To hand them over, run git submodule update --init "
            "--recursive in your checkout before you create the task"
        )
    if _keeps_pointers(repository, attributes) and (pointers := _pointers(repository, commit)):
        told.append(
            "git-lfs: these files are pointers in the sandbox, without their content: "
            f"{_shown(pointers)}"
        )
    return told


def _partial(view: View, commit: str) -> list[str]:
    if not view.partial:
        return []
    argv = ["rev-list", "--objects", "--no-walk", "--missing=print", commit]
    listed = view.run(argv, output_limit=_LISTING)
    missing = [line for line in listed.stdout.splitlines() if line.startswith(b"?")]
    if listed.code != 0 or missing:
        here = view.place.top or view.place.common
        raise UserFixable(
            f"{here} is a partial clone, and of the commit {commit[:12]} {len(missing) or 'some'} "
            "objects are only on its remote; rover fetches nothing with your repository's settings",
            hint="have git fetch them, then try again: "
            f"git -C {shlex.quote(str(here))} archive {commit} > /dev/null",
            code="partial_clone",
        )
    return [
        "the repository is a partial clone: files of earlier commits that git has not fetched are "
        "not in the sandbox either, so git log -p and git blame may end early there"
    ]


def _keeps_pointers(repository: Path, attributes: Sequence[str]) -> bool:
    ids = "".join(f"{name}\n" for name in attributes[:_LOOKED_AT]).encode()
    found = run_git(["cat-file", "--batch"], repository, stdin=ids, output_limit=_CONTENTS)
    return b"filter=lfs" in found.stdout


def _pointers(repository: Path, commit: str) -> list[str]:
    argv = ["ls-tree", "-r", "-l", "-z", "--full-tree", commit]
    listed = run_git(argv, repository, output_limit=_LISTING)
    small: dict[str, list[str]] = {}
    for line in listed.stdout.split(b"\0"):
        facts = line.partition(b"\t")[0].split()
        if len(facts) == 4 and facts[3].isdigit() and int(facts[3]) in _SIZES:
            small.setdefault(facts[2].decode(), []).append(_name(line))
    ids = list(small)[:_LOOKED_AT]
    asked = "".join(f"{name}\n" for name in ids).encode()
    read = run_git(["cat-file", "--batch"], repository, stdin=asked, output_limit=_CONTENTS).stdout
    contents, found = BytesIO(read), list[str]()
    for name in ids:
        fields = contents.readline().split()
        if len(fields) != 3:
            continue  # a partial clone does not have it
        if contents.read(int(fields[2]) + 1).startswith(_POINTER):
            found += small[name]
    return found


def _name(line: bytes) -> str:
    return _printable(line.partition(b"\t")[2].decode("utf-8", "replace"))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more
