"""What a task's clone will not have of its base: submodules, and what git-lfs keeps elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rover_mcp.errors import UserFixable
from rover_mcp.git.lfs import is_here, keeps_pointers, pointers
from rover_mcp.git.readable import LISTED, check_readable, missing
from rover_mcp.git.submodules import find_submodules
from rover_mcp.git.view import View

SHOWN = 5
_LISTING = 64 * 1024**2


def absent(view: View, commit: str) -> list[str]:
    """Sentences for whoever creates a task on `commit`, of which git reads only the objects.

    Raises:
        UserFixable: not all of its files are here ("partial_clone"), or git cannot read it
            ("unreadable_base").
    """
    repository = view.folder
    told = _partial(view, commit)
    listed = view.run([*LISTED, commit], output_limit=_LISTING)
    if listed.code != 0:
        raise missing(view, commit, listed.reason)
    if listed.truncated:
        return told
    check_readable(view, commit, listed.stdout)
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
    if keeps_pointers(repository, attributes):
        told += _pointers(view, commit)
    return told


def _pointers(view: View, commit: str) -> list[str]:
    told = {True: list[str](), False: list[str]()}
    for (oid, size), paths in pointers(view.folder, commit).items():
        names = [_printable(path.decode("utf-8", "replace")) for path in paths]
        told[is_here(view.place.common, oid, size)] += names
    sentences = {
        False: "git-lfs: these files are pointers in the sandbox, without their content: ",
        True: "git-lfs: these files are pointers in the sandbox, whose content git lfs checkout "
        "has ready there, if its image has git-lfs: ",
    }
    return [sentences[here] + _shown(names) for here, names in told.items() if names]


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


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more
