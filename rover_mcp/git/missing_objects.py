"""What a task's clone will lack of its base: submodules, and the files that git-lfs keeps
elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from agent_runner.printable import only_printable
from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.contents import checked_contents
from rover_mcp.git.lfs import Pointers, is_here
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.submodules import find_submodules

SHOWN = 5
_LISTING = 64 * 1024**2


def absent(view: RepositoryView, commit: str, *, kept: bool = False) -> list[str]:
    """Warnings, as sentences, for whoever creates a task on `commit`. `kept`: the project's base
    holds the commit already.

    Raises:
        UserFixable: some of its files are only on the remote ("partial_clone"), or git cannot read
            it ("unreadable_base").
    """
    reasons = _partial(view, commit)
    contents = checked_contents(view, commit, again=not kept)
    if contents.truncated:
        return reasons
    if contents.links and (
        empty := find_submodules(view.place.top or view.place.common, commit).missing
    ):
        why = only_printable("; ".join({reason: None for _, reason in empty}))[:200]
        reasons.append(
            f"submodules are empty in the sandbox: {_shown([_name(p) for p, _ in empty])} "
            f"({why}). To hand them over, run git submodule update --init "
            "--recursive in your checkout before you create the task"
        )
    if contents.lfs:
        reasons += _pointers(view, contents.pointers)
    return reasons


def _pointers(view: RepositoryView, pointers: Pointers) -> list[str]:
    reasons = {True: list[str](), False: list[str]()}
    for (oid, size), paths in pointers.items():
        names = [_name(path.decode("utf-8", "replace")) for path in paths]
        reasons[is_here(view.place.common, oid, size)] += names
    sentences = {
        False: "git-lfs: these files are pointers in the sandbox, without their content: ",
        True: "git-lfs: these files are pointers in the sandbox, whose content git lfs checkout "
        "has ready there, if its image has git-lfs: ",
    }
    return [sentences[here] + _shown(names) for here, names in reasons.items() if names]


def _partial(view: RepositoryView, commit: str) -> list[str]:
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


def _name(text: str) -> str:
    """A file's name as it is shown. A name with blanks is quoted, because the repository chose it
    and a model could take it for an instruction."""
    line = only_printable(text)[:200]
    return '"' + line.replace('"', "'") + '"' if " " in line else line


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more
