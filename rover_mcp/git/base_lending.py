"""What tasks are based on: copied from the user's repository once, and lent to each task."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rover_mcp.domain.cancellation import CancelToken, Stopped
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.git.base_packs import BasePacks
from rover_mcp.git.contents import contents_of
from rover_mcp.git.git_errors import no_room
from rover_mcp.git.hub_storage import HubStorage
from rover_mcp.git.lfs import LFS, lend_objects
from rover_mcp.git.locked import locked
from rover_mcp.git.repository_view import opened
from rover_mcp.git.submodule_bases import SubmoduleBases
from rover_mcp.git.submodules import SUBMODULES, find_submodules
from rover_mcp.git.task_refs import check_commit

_OF_THIS_MACHINE = frozenset({"data_folder", "disk_full", "git_missing", "git_timeout"})
"""Codes of failures that say nothing about the repository that a base is copied from."""


def no_progress(_: str) -> None:
    """Ignore a report."""


class BaseLending:
    """Lends what one project's tasks are based on."""

    def __init__(self, storage: HubStorage, bases: BasePacks) -> None:
        self._storage = storage
        self._folder = storage.folder
        self._bases = bases

    def update(
        self,
        user_repo: Path,
        commit: str,
        tell: Callable[[str], None] = no_progress,
        stop: CancelToken | None = None,
    ) -> None:
        """Copy all that `commit` reaches into the base, unless it is there. For a large repository
        that takes a while: `tell` is called with what is done when it begins, `stop` ends it.

        Raises:
            EnvironmentFault: the repository does not provide it ("hub_failed").
            Stopped: `stop` was cancelled.
        """
        check_commit(commit)
        self._storage.ensure()
        if self._bases.has(commit):
            return
        tell(f"packing what the commit {commit[:12]} reaches in {user_repo}")
        with locked(self._folder, stop):
            if not self._bases.has(commit):
                self._bases.bring(user_repo, commit, stop)

    def lend(
        self,
        user_repo: Path,
        commit: str,
        objects: Path,
        tell: Callable[[str], None] = no_progress,
        stop: CancelToken | None = None,
    ) -> None:
        """Fill the folder `objects` with what `commit` reaches, for one task's sandboxes. A lost
        base is made again, see `secure`. For `tell` and `stop` see `update`.

        Raises:
            EnvironmentFault: "base_lost", or the folder cannot be written.
            Stopped: `stop` was cancelled.
        """
        while True:
            self.secure(user_repo, commit, objects, tell, stop)
            with locked(self._folder, stop):
                # Hub.collect may have removed it between the two locks, as no task needed it then.
                if not self._bases.has(commit):
                    continue
                try:
                    self._bases.lend(commit, objects)
                except OSError as error:
                    raise no_room(objects, error) from error
                return

    def lend_submodules(
        self, user_repo: Path, commit: str, objects: Path, folder: Path
    ) -> list[str]:
        """Do what `lend` and `name` do for the submodules that the user has checked out. Return
        which of them could not be lent, and why: see submodules.py.

        Raises:
            RoverError: the repository cannot be read, or the data folder cannot be written.
        """
        with locked(self._folder):
            return SubmoduleBases(self._folder / SUBMODULES).lend(
                find_submodules(user_repo, commit), objects / SUBMODULES, folder
            )

    def lend_lfs(self, user_repo: Path, commit: str, objects: Path) -> list[str]:
        """Lend the objects of git-lfs that the user has. Return the files whose objects could not
        be lent: see lfs.py.

        Raises:
            RoverError: the repository cannot be read, or the data folder cannot be written.
        """
        with opened(user_repo) as view, locked(self._folder):
            store, wanted = self._folder / LFS, contents_of(view, commit).pointers
            return lend_objects(view.place.common, wanted, store, objects / LFS)

    def secure(
        self,
        user_repo: Path,
        commit: str,
        objects: Path,
        tell: Callable[[str], None] = no_progress,
        stop: CancelToken | None = None,
    ) -> None:
        """Let the hub hold what `commit` reaches, which a task's bundles build on. It comes from
        the user's repository, or else from what the task was lent (`objects`), or else from the
        hub itself.

        Raises:
            EnvironmentFault: "base_lost" where none of these has it, or the data folder cannot be
                written.
            Stopped: `stop` was cancelled.
        """
        try:
            self.update(user_repo, commit, tell, stop)
            return
        except Stopped:
            raise
        except RoverError as error:
            lost = error
        with locked(self._folder):
            if self._bases.has(commit) or self._bases.take_back(commit, objects):
                return
            with suppress(EnvironmentFault):
                self._bases.bring_from(self._storage.hub, commit)
                return
        if lost.code in _OF_THIS_MACHINE:
            raise lost
        raise EnvironmentFault(
            f"the base of the task cannot be copied: {lost.message}",
            hint=f"check that {user_repo} exists and holds the commit {commit} completely "
            f"(git -C {user_repo} fsck), then call resume_task",
            code="base_lost",
        ) from lost
