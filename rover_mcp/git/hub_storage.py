"""The two bare repositories of a hub on the disk: made, completed, and made again."""

from __future__ import annotations

import shutil
from pathlib import Path

from rover_mcp.git.bare_repository import init_bare, is_initialised
from rover_mcp.git.git_errors import no_room
from rover_mcp.git.hub_damage import salvage
from rover_mcp.git.locked import locked

# Relative to hub.git/objects and to hub.git, so that the data folder can be moved.
_ALTERNATES = "../../base.git/objects\n"
_SHALLOW = "../base.git/shallow"


class HubStorage:
    """The folder of a project with `base` and `hub`, which borrows objects from it."""

    def __init__(self, folder: Path, base: Path, hub: Path) -> None:
        self.folder = folder
        self.base = base
        self.hub = hub

    def ensure(self) -> None:
        """Make the two repositories where they do not exist, or lack what makes them one.

        Raises:
            EnvironmentFault: the folder cannot be written.
        """
        if is_initialised(self.base) and is_initialised(self.hub, _ALTERNATES, _SHALLOW):
            return
        with locked(self.folder):
            self._init()

    def renew(self) -> None:
        """Set a damaged hub aside and make another, with all that can be read of it. The caller
        holds the lock of its objects alone.

        Raises:
            EnvironmentFault: the folder cannot be written.
        """
        aside = self.hub.with_name("hub.git.damaged")
        with locked(self.folder):
            try:
                shutil.rmtree(aside, ignore_errors=True)
                if self.hub.exists():
                    self.hub.replace(aside)
                self._init()
            except OSError as error:
                raise no_room(self.folder, error) from error
            if aside.exists():
                init_bare(aside, _ALTERNATES, _SHALLOW)
                salvage(aside, self.hub)

    def _init(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for place in (self.base, self.hub):
                if not place.is_dir():
                    place.unlink(missing_ok=True)
            # What a process left that was killed: nobody else writes here under this lock.
            for stale in (*self.folder.glob("tmp-*"), *self.base.glob("tmp-*")):
                shutil.rmtree(stale, ignore_errors=True)
            init_bare(self.base)
            init_bare(self.hub, _ALTERNATES, _SHALLOW)
        except OSError as error:
            raise no_room(self.folder, error) from error
