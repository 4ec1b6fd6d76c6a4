"""Measures and removes what the data folder keeps of a project beside its tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path

from agent_runner.atomic_write import replace_file
from rover_mcp.daemon.folder_sizes import FolderSizer
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.trash import Trash
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.paths import TaskFolders, project_folder
from rover_mcp.git.collect import objects_lock
from rover_mcp.git.git_errors import no_room
from rover_mcp.git.locked import locked
from rover_mcp.tasks.forget import Sizes

IMAGES = "images"
"""The file in a project's folder with the tags of its images, while it is being removed."""

log = logging.getLogger("rover.daemon")


class ProjectFolders:
    """The folders of all projects. `drop_spares` ends the sandboxes that wait for a task of one."""

    def __init__(
        self,
        home: Path,
        repositories: GitRepositories,
        drop_spares: Callable[[str], None],
        trash: Trash,
    ) -> None:
        self._home = home
        self._trash = trash
        self._repositories = repositories
        self._drop_spares = drop_spares

    def root(self, folder: Path) -> Path | None:
        try:
            return self._repositories.inspect(folder).project
        except RoverError as error:
            log.info("%s is in no repository that can be looked at: %s", folder, error)
            return None

    def project_id(self, root: Path) -> str:
        return self._repositories.project_id(root)

    def exists(self, project_id: str) -> bool:
        return self._folder(project_id).is_dir()

    def sizes(self, project_id: str, task_ids: Collection[str]) -> Sizes:
        counter, hub = FolderSizer(), self._repositories.hub(project_id)
        base, own = counter.size(hub.base), counter.size(hub.hub)
        others = (p for p in self._folder(project_id).glob("*") if p not in (hub.base, hub.hub))
        other = counter.size(*others)
        tasks = {
            task_id: counter.size(TaskFolders(self._home, task_id, 1).root) for task_id in task_ids
        }
        return Sizes(own, base, other, tasks)

    def note(self, project_id: str, images: Collection[str]) -> None:
        note = self._folder(project_id) / IMAGES
        try:
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(note, "".join(f"{tag}\n" for tag in sorted(images)))
        except OSError as error:
            raise no_room(note.parent, error) from error

    def noted(self, project_id: str) -> set[str]:
        try:
            return set((self._folder(project_id) / IMAGES).read_text("utf-8").split())
        except (OSError, UnicodeDecodeError):
            return set()

    def remove(self, project_id: str) -> None:
        folder = self._folder(project_id)
        self._drop_spares(project_id)
        if not folder.is_dir():
            return
        # Under the lock, so that no other process writes to the hub or collects in it.
        with objects_lock(folder, alone=True), locked(folder):
            try:
                # Out of sight at once. To remove a large hub takes longer than a client waits.
                self._trash.put(folder, project_id)
            except OSError as error:
                raise EnvironmentFault(
                    f"not all of {folder} can be removed: {error}",
                    hint="correct that, then run rover forget again",
                    code="not_removed",
                ) from error

    def _folder(self, project_id: str) -> Path:
        """
        Raises:
            EnvironmentFault: the id does not lead to a project's folder.
        """
        folder = project_folder(self._home, project_id)
        if folder.parent != self._home / "projects" or project_id in ("", ".", ".."):
            raise EnvironmentFault(
                f"the record of the project says {project_id[:80]!r}, which is not a project id",
                hint="rover doctor --repair",
                code="damaged_record",
            )
        return folder
