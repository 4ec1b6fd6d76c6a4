"""Programs of the user's on this machine, found where the user's shell finds them.

A desktop or systemd starts a daemon with a short PATH. So programs are looked for on the PATH of
the client that calls, then on that of the client that connected last, which is kept in memory only,
and then on the daemon's own. What a repository brings is not the user's: folders that are relative,
or that lie in the work tree that the call is about, do not count.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

_last: list[str] = []
"""The folders on the PATH of the client that connected last, if one did."""


def remember(path: str | None, place: Path) -> None:
    """A client of the daemon's own user connected, with this PATH, at work in `place`."""
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
    """The repository that a folder is in. One that holds all of HOME is how some keep their own
    files, and is not meant."""
    home = Path.home()
    for folder in (place, *place.parents):
        if folder == home or folder in home.parents:
            return None
        if os.path.lexists(folder / ".git"):
            return folder
    return None
