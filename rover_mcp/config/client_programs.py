"""Finds the user's programs on this machine where the user's shell finds them.

A desktop or systemd starts a daemon with a short PATH. So programs are looked for on the PATH of
the client that calls, then on that of the client that connected last, which is kept only in memory,
and then on the daemon's own. What a repository contains is not the user's: folders that are
relative, or inside the work tree that the call is about, do not count.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

_last: list[str] = []
"""The folders on the PATH of the client that connected last, if one did."""


# Only of a client of the daemon's own user: another one could name a folder with a `claude` of
# theirs.
def remember(path: str | None, place: Path) -> None:
    """Note that a client of the daemon's own user connected, with this PATH, and works in
    `place`."""
    if path:
        _last[:] = _without(path.split(os.pathsep), place)


def find(name: str, path: str | None = None, place: Path | None = None) -> str | None:
    """A program, for a client with this PATH and a call about the repository of `place`."""
    return shutil.which(name, path=search_path(path, place))


def search_path(path: str | None = None, place: Path | None = None) -> str:
    """The folders in which programs are looked for, each once."""
    own = os.environ.get("PATH", os.defpath).split(os.pathsep)
    known = dict.fromkeys([*(path or "").split(os.pathsep), *_last, *own])
    return os.pathsep.join(_without(known, place))


def _without(folders: Iterable[str], place: Path | None) -> list[str]:
    tree = _work_tree(place) if place is not None else None
    return [folder for folder in folders if os.path.isabs(folder) and not _is_in(folder, tree)]  # noqa: PTH117  # as the kernel sees it


def _is_in(folder: str, tree: Path | None) -> bool:
    if tree is None:
        return False
    try:
        named, real = Path(os.path.normpath(folder)), Path(folder).resolve()
        return named.is_relative_to(tree) or real.is_relative_to(tree.resolve())
    except (OSError, RuntimeError, ValueError):
        return True


def _work_tree(place: Path) -> Path | None:
    """The repository around a folder. A repository around all of HOME does not count: some people
    keep their own files in one."""
    home = Path.home()
    for folder in (place, *place.parents):
        if folder == home or folder in home.parents:
            return None
        if os.path.lexists(folder / ".git"):
            return folder
    return None
