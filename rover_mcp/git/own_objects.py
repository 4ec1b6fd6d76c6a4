"""What one task may see of a project's hub: what its base reaches, and what came out of it.

The hub holds the work of every task, and the base's repository holds every base. Git finds an
object by its id alone, and an agent can name any id: in a tree, as a parent, as the base of a
delta, or as the commit of a snapshot. So whatever is imported from a task, shown of it or given
back to it is looked up among the task's own objects only.

<hub>/own/<task id>/pack/   links to the packs that were imported from the task
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.base_packs import BasePacks, link, quoted
from rover_mcp.git.git_errors import checked, no_room
from rover_mcp.git.git_process import run_git

_LIST_LIMIT = 256 * 1024**2


class OwnObjects:
    """The objects that each task of one hub has of its own."""

    def __init__(self, hub: Path, bases: BasePacks) -> None:
        self._hub = hub
        self._bases = bases

    def reading(self, task_id: str, base_commit: str) -> Mapping[str, str]:
        """The environment of a git that finds only the task's own objects and its base.

        Raises:
            EnvironmentFault: the base is not here ("bundle_incomplete"), or the data folder
                cannot be written.
        """
        own, base = self._places(task_id, base_commit)
        return {
            "GIT_OBJECT_DIRECTORY": str(own),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(base),
        }

    def writing(self, task_id: str, base_commit: str, incoming: Path) -> Mapping[str, str]:
        """The environment of a git that also writes new objects, to the folder `incoming`.

        Raises:
            EnvironmentFault: as `reading`.
        """
        places = self._places(task_id, base_commit)
        return {
            "GIT_OBJECT_DIRECTORY": str(incoming),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(map(quoted, places)),
        }

    def add(self, task_id: str, files: Sequence[Path]) -> None:
        """Add packs to the task's own objects. They were checked with `writing`.

        Raises:
            OSError: the disk is full.
        """
        for file in files:
            link(file, self._folder(task_id) / "pack" / file.name)

    def drop(self, task_id: str) -> None:
        """Remove the links to the task's own objects."""
        shutil.rmtree(self._folder(task_id), ignore_errors=True)

    def packs(self, tasks: Collection[str]) -> set[str] | None:
        """The names of the hub's packs that these tasks have; None where one of them has objects in
        other packs, as after a hub was salvaged."""
        pack_names: set[str] = set()
        for task_id in tasks:
            folder = self._folder(task_id) / "pack"
            names = {path.stem for path in folder.glob("pack-*.idx")}
            here = self._hub / "objects" / "pack"
            if not names or any(not (here / f"{name}.idx").exists() for name in names):
                return None
            pack_names |= names
        return pack_names

    def _folder(self, task_id: str) -> Path:
        return self._hub / "own" / task_id

    def _places(self, task_id: str, base_commit: str) -> tuple[Path, Path]:
        try:
            own = self._folder(task_id)
            if not own.is_dir():
                self._collect(task_id, base_commit, own)
            return own, self._bases.alone(base_commit)
        except KeyError:
            raise EnvironmentFault(
                f"the base {base_commit} of the task is not here",
                hint="resume_task makes it again from the repository",
                code="bundle_incomplete",
            ) from None
        except OSError as error:
            raise no_room(self._hub, error) from error

    def _collect(self, task_id: str, base_commit: str, own: Path) -> None:
        """Pack what the hub's references hold of the task, after the hub was made again."""
        own.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=own.parent) as name:
            new = Path(name) / "objects"
            (new / "pack").mkdir(parents=True)
            argv = ["for-each-ref", "--format=%(objectname)", f"refs/rover/{task_id}/"]
            listed = run_git(argv, self._hub, output_limit=_LIST_LIMIT)
            checked(listed, "the hub cannot be read", self._hub)
            if listed.text:
                argv = ["pack-objects", "-q", "--revs", "--delta-base-offset"]
                wanted = f"{listed.text}\n^{base_commit}\n".encode()
                target = str(new / "pack" / "pack")
                packed = run_git([*argv, target], self._hub, stdin=wanted)
                checked(packed, f"the objects of task {task_id} cannot be read", self._hub)
            try:
                new.replace(own)
            except OSError:
                # Another process was quicker, with the same result.
                if not own.is_dir():
                    raise
