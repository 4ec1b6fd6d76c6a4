"""Submodules of a base that the user has checked out, out of the user's own objects.

A commit's .gitmodules and the checkout are untrusted: a submodule is only copied from below the
repository, by a path without links, and of its objects only those that its commit in the base
reaches. Git sees it through a view, like every repository of a user: repository_view.py.

<folder>/<n>/path    where it is in the work tree
<folder>/<n>/commit  what is checked out
<folder>/<n>/origin  the address of its origin, in one line, which may be empty
<folder>/<n>/name    its name in .gitmodules; absent unless that is a plain name
<folder>/<n>/parent  the number of the submodule that it is in; absent for one of the top
<folder>/<n>/shallow where its history is cut off, for a shallow clone
<folder>/<n>/settings, attributes  as in clone_refs.py, for the submodule
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.domain.errors import RoverError
from rover_mcp.git.clone_refs import address, line_endings
from rover_mcp.git.contents import contents_of
from rover_mcp.git.locate import RepositoryPaths, locate
from rover_mcp.git.repository import info_attributes
from rover_mcp.git.repository_view import SHALLOW, RepositoryView, boundary, opened

SUBMODULES = "submodules"
"""The name of the folder, also of the one among a base's objects that holds a submodule's."""
MOST = 100
"""Greatest number of submodules of one base; the others stay empty."""
MOST_DEEP = 5
"""Greatest depth of submodules within submodules."""
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./ -]{0,199}")


@dataclass(frozen=True)
class Submodule:
    """`path` starts at the top of the work tree; `folder` is where it is checked out. `parent` is
    the index in the list of the submodule that contains it."""

    path: str
    commit: str
    folder: Path
    name: str | None
    parent: int | None


@dataclass(frozen=True)
class Submodules:
    """The submodules that can be lent, and the paths of the others, each with the reason."""

    submodules: list[Submodule]
    missing: list[tuple[str, str]]


def find_submodules(user_repo: Path, commit: str) -> Submodules:
    """The submodules of a commit, and those inside them.

    Raises:
        UserFixable: the repository is gone, or it cannot be used.
        EnvironmentFault: git failed.
    """
    result = Submodules([], [])
    with opened(user_repo) as view:
        _collect(result, view, commit, "", None, view.place)
        depth = [0]
    number = 0
    while number < len(result.submodules):
        one = result.submodules[number]
        deep = depth[0] + 1 if one.parent is None else depth[one.parent + 1] + 1
        depth.append(deep)
        if deep < MOST_DEEP:
            with opened(one.folder) as inner:
                _collect(result, inner, one.commit, f"{one.path}/", number, view.place)
        number += 1
    return result


def _collect(
    result: Submodules,
    view: RepositoryView,
    commit: str,
    prefix: str,
    parent: int | None,
    top: RepositoryPaths,
) -> None:
    links = contents_of(view, commit).links
    names = _names(view, commit) if links else {}
    for path, wanted in links:
        folder = None if view.place.top is None else view.place.top / path
        why = "the repository has no work tree"
        if len(result.submodules) >= MOST:
            why = f"there are more than {MOST}"
        elif folder is not None and view.place.top is not None:
            why = _obstacle(view.place.top, path, wanted, top)
        if why or folder is None:
            result.missing.append((prefix + path, why))
        else:
            result.submodules.append(
                Submodule(prefix + path, wanted, folder, names.get(path), parent)
            )


def _names(view: RepositoryView, commit: str) -> dict[str, str]:
    """The plain names of submodules, by path. The name is a folder's below .git/modules in the
    clone: "../" in it was a hole in git itself (CVE-2018-11235).
    """
    argv = ["config", "--blob", f"{commit}:.gitmodules", "--no-includes", "-z", "--list"]
    names: dict[str, str] = {}
    for entry in view.run(argv).stdout.split(b"\0"):
        key, _, value = entry.partition(b"\n")
        section, _, name = os.fsdecode(key).partition(".")
        name, _, what = name.rpartition(".")
        if (section, what) == ("submodule", "path") and _NAME.fullmatch(name):
            names[os.fsdecode(value)] = name
    return names


def _obstacle(top: Path, path: str, commit: str, superproject: RepositoryPaths) -> str:
    """Why the submodule cannot be copied from the checkout; empty where it can."""
    folder = top
    for part in path.split("/"):
        folder = folder / part
        if part in ("", ".", "..", ".git") or folder.is_symlink() or not folder.is_dir():
            return "it is not checked out"
    dot_git = folder / ".git"
    if dot_git.is_symlink() or not dot_git.exists():
        return "it is not checked out"
    try:
        place = locate(folder)
        inside = place.common.is_relative_to(folder.resolve()) or any(
            place.common.is_relative_to(git_dir / "modules")
            for git_dir in (superproject.common, superproject.git_dir)
        )
        if place.top is None or place.top.resolve() != folder.resolve() or not inside:
            return "its repository is elsewhere"
        with opened(folder) as view:
            there = view.run(["cat-file", "-e", f"{commit}^{{commit}}"])
    except RoverError as error:
        return error.message
    return "" if there.code == 0 else f"its commit {commit[:12]} is not here"


def describe(one: Submodule) -> dict[str, bytes]:
    """The files that describe a submodule for a task's clone, by name.

    Raises:
        RoverError: the submodule cannot be read.
    """
    with opened(one.folder) as view:
        cut = boundary(view, one.commit)
        files = {
            "path": os.fsencode(one.path),
            "commit": one.commit.encode(),
            "origin": f"{address(view)}\n".encode(),
            "settings": "".join(line_endings(view)).encode(),
            "attributes": info_attributes(view.place.common),
        }
    if one.name is not None:
        files["name"] = one.name.encode()
    if one.parent is not None:
        files["parent"] = str(one.parent).encode()
    if cut:
        files[SHALLOW] = "".join(f"{commit}\n" for commit in cut).encode()
    return files
