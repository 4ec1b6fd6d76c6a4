"""Finds the project of a repository, by any of its work trees, also after it was moved.

A project is known by the path of its repository. Where a repository is met at a path that no
project has, its folder as the file system knows it tells whether a project has it under another.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rover_mcp.domain.errors import UserFixable
from rover_mcp.git.identity import Identity, identity_of
from rover_mcp.git.locate import RepositoryPaths, locate, read_small
from rover_mcp.store.store import Store

PLACE = "place"
"""The file in a project's folder with the identity of the repository's folder."""
NOTE = "repository"
"""The file in a project's folder with the path of its repository."""

log = logging.getLogger("rover.daemon")


class ProjectRegistry:
    """The projects of one data folder."""

    def __init__(self, home: Path, store: Store) -> None:
        self._home = home
        self._store = store

    def project_path(self, root: Path, place: RepositoryPaths) -> Path:
        """The path by which the project of a repository is known. `root` is the top of the work
        tree that was found. A project whose repository was moved here gets this path."""
        main = _main(root, place)
        if self._store.projects.at(str(main)) is not None:
            return main
        project = self._known(place.common)
        if project is None:
            return main
        project_id, known = project
        if _common(known) == place.common:
            # It is where it was: a work tree of it is met that says nothing of the main one.
            return known if place.linked and main != root else main
        if place.common not in (main / ".git", main):
            # A link, or a file that names the folder: nothing was moved.
            return main
        log.info("the repository of project %s was moved from %s to %s", project_id, known, main)
        self._store.projects.move(project_id, str(main))
        (self._home / "projects" / project_id / NOTE).write_text(str(main), "utf-8")
        return main

    def _known(self, common: Path) -> tuple[str, Path] | None:
        """The project that has this folder, and where it was then."""
        met = identity_of(common)
        if met is None:
            return None
        for folder, identity in self._recorded():
            if identity == met and (path := read_small(folder / NOTE)):
                return folder.name, Path(path.decode("utf-8", "surrogateescape"))
        return None

    def _recorded(self) -> Iterator[tuple[Path, Identity]]:
        for file in sorted((self._home / "projects").glob(f"*/{PLACE}")):
            try:
                yield file.parent, Identity(**json.loads(file.read_bytes()))
            except (OSError, ValueError, TypeError):
                continue


def record_place(folder: Path, root: Path) -> None:
    """Record in a project's folder which folder is its repository's.

    Raises:
        OSError: it cannot be written.
    """
    common = _common(root)
    identity = identity_of(common) if common else None
    if identity is None:
        return
    record, file = json.dumps(asdict(identity)), folder / PLACE
    if (read_small(file) or b"").decode() != record:
        file.write_text(record, "utf-8")


def _main(root: Path, place: RepositoryPaths) -> Path:
    """The main work tree of the repository, or the folder of a bare one; `root` itself if that is
    unknown, or if the repository has no work tree there."""
    if not place.linked or not _is_known(root, place):
        return root
    if place.common.name == ".git":
        return place.common.parent
    # Without a main work tree: bare, or its `.git` is a file of some folder.
    return place.common if _is_bare(place.common) else root


def _is_known(root: Path, place: RepositoryPaths) -> bool:
    """Whether the repository has a work tree at `root`, or one that is where it was no more: it
    may have been moved there."""
    named = read_small(place.git_dir / "gitdir") or b""
    dot_git = Path(named.rstrip(b"\n").decode("utf-8", "surrogateescape"))
    return dot_git == root / ".git" or not dot_git.exists()


def _is_bare(common: Path) -> bool:
    return not (common / "index").exists() and (common / "worktrees").is_dir()


def _common(path: Path) -> Path | None:
    """The folder that all work trees of the repository at `path` share; None: there is none."""
    try:
        return locate(path).common
    except UserFixable:
        return None
