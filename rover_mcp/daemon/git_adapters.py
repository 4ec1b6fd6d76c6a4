"""Adapts users' repositories, the hubs made of them, and tasks' changes to the use cases."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from agent_runner.models import Snapshot
from rover_mcp.control.attempt_context import UNSETTLED
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.daemon.project_registry import NOTE, record_place
from rover_mcp.domain.base_distance import BaseDistance
from rover_mcp.domain.disk_full_error import write_fault
from rover_mcp.domain.errors import EnvironmentFault, NotFound
from rover_mcp.domain.paths import project_folder
from rover_mcp.domain.source_tree import SourceFile
from rover_mcp.git.base_packs import BasePacks
from rover_mcp.git.clone_refs import remote_addresses
from rover_mcp.git.commit_diff import Diff, FileDiff
from rover_mcp.git.commit_tree import CommitTree
from rover_mcp.git.contents import contents_of
from rover_mcp.git.count_apart import base_distance
from rover_mcp.git.hub import Hub
from rover_mcp.git.locate import RepositoryPaths
from rover_mcp.git.missing_objects import absent
from rover_mcp.git.publish import check_delivery
from rover_mcp.git.repository import (
    ignored_patterns,
    inspect_repository,
    list_branches,
    remote_hosts,
    resolve_branch,
    tracked_paths,
)
from rover_mcp.git.repository_view import opened
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.disk_space import TreeSize
from rover_mcp.tasks.handoff_files import first_of_each, run_by
from rover_mcp.tasks.task_ports import DiffResult, Repository
from rover_mcp.tasks.view_models import ChangesView, FileChange


@dataclass(frozen=True)
class CommitFiles:
    """The files of a commit in the user's own repository."""

    root: Path
    commit: str

    def at(self, paths: Sequence[str]) -> Mapping[str, SourceFile]:
        with opened(self.root) as view:
            return CommitTree(view.folder, self.commit).at(paths)

    def read(self, path: str, limit: int) -> bytes | None:
        with opened(self.root) as view:
            return CommitTree(view.folder, self.commit).read(path, limit)


class GitRepositories:
    """Users' repositories, and the hubs made of them."""

    def __init__(
        self,
        home: Path,
        project_path: Callable[[Path, RepositoryPaths], Path] = lambda root, _: root,
    ) -> None:
        self._home = home
        self._project_path = project_path
        self._hubs: dict[str, Hub] = {}

    def inspect(self, path: Path) -> Repository:
        info = inspect_repository(path, data_folder=self._home)
        return Repository(
            root=info.root,
            head_commit=info.head_commit,
            branch=info.branch,
            dirty=info.dirty,
            bare=info.bare,
            branches=list_branches(info.root),
            main=self._project_path(info.root, info.place),
        )

    def resolve(self, repository: Repository, name: str) -> str:
        return resolve_branch(repository.root, name)

    def git_hosts(self, root: Path) -> tuple[str, ...]:
        return remote_hosts(root)

    def remotes(self, root: Path) -> tuple[str, ...]:
        return remote_addresses(root)

    def check_delivery(self, repository: Repository, prefix: str) -> None:
        check_delivery(repository.root, prefix, repository.branches)

    def ignored(self, repository: Repository) -> bytes:
        return ignored_patterns(repository.root)

    def tracked(self, repository: Repository, commit: str, paths: Sequence[str]) -> Collection[str]:
        return tracked_paths(repository.root, commit, paths)

    def absent(self, repository: Repository, commit: str) -> list[str]:
        hub = self.hub(self.project_id(repository.project))
        with opened(repository.root) as view:
            return absent(view, commit, kept=BasePacks(hub.base).has(commit))

    def size(self, repository: Repository, commit: str) -> TreeSize | None:
        with opened(repository.root) as view:
            contents = contents_of(view, commit)
        return None if contents.truncated else TreeSize(contents.size, contents.entries)

    def files(self, repository: Repository, commit: str) -> CommitFiles:
        return CommitFiles(repository.root, commit)

    def project_id(self, root: Path) -> str:
        """The id of the project that is known by this path: a hash of it, if it is free. One whose
        repository was moved keeps its id, which is a hash of where it was."""
        path = str(root)
        taken = {note.parent.name: _noted(note) for note in self._notes()}
        if known := next((name for name, noted in taken.items() if noted == path), None):
            return known
        for again in itertools.count():
            named = path if not again else f"{path}\0{again}"
            project_id = hashlib.sha256(os.fsencode(named)).hexdigest()[:16]
            if taken.get(project_id) is None:
                return project_id
        raise AssertionError("numbers do not end")

    def _notes(self) -> Iterator[Path]:
        return (self._home / "projects").glob(f"*/{NOTE}")

    def hub(self, project_id: str) -> Hub:
        return self._hubs.setdefault(project_id, Hub(project_folder(self._home, project_id)))

    def hubs(self) -> list[Hub]:
        """The hubs of all projects."""
        folders = sorted((self._home / "projects").glob("*/hub.git"))
        return [self.hub(folder.parent.name) for folder in folders]

    def open_hub(self, project_id: str, root: Path) -> None:
        self.hub(project_id).ensure()
        # For `rover doctor --repair`: an id is a hash, from which no path can be read.
        folder = project_folder(self._home, project_id)
        note = folder / NOTE
        try:
            if not note.exists():
                note.write_text(str(root), "utf-8", "surrogateescape")
            record_place(folder, root)
        except OSError as error:
            raise write_fault(f"{folder} cannot be written", folder, error) from error


def _noted(note: Path) -> str | None:
    try:
        return note.read_text("utf-8", "surrogateescape")
    except OSError:
        return None


PATHS_SHOWN = 50


log = logging.getLogger("rover.daemon")


T = TypeVar("T")


class HubWork:
    """Reads a task's changes from the project's hub."""

    def __init__(self, repositories: GitRepositories, attempts: Attempts) -> None:
        self._repositories = repositories
        self._attempts = attempts

    def diff(
        self,
        task: TaskRow,
        paths: Sequence[str],
        *,
        stat_only: bool,
        offset: int = 0,
        between: tuple[str, str] | None = None,
    ) -> DiffResult:
        old, commit = between or (None, self._made(task))
        if commit is None:
            return DiffResult(ChangesView(files=0, added=0, removed=0), "", truncated=False)
        diff = self._diff(task, commit, list(paths) or None, old)
        runs = {f.path: who for f in diff.files if (who := _handed(f))}
        order = {path: place for place, path in enumerate(first_of_each(runs))}
        shown = sorted(diff.files, key=lambda f: order.get(f.path, len(order)))
        files = [
            FileChange(
                path=f.path,
                added=f.added,
                removed=f.removed,
                binary=f.binary,
                run_by=runs.get(f.path),
            )
            for f in shown[offset : offset + PATHS_SHOWN]
        ]
        changes = ChangesView(
            files=diff.totals.files,
            added=diff.totals.added,
            removed=diff.totals.removed,
            run_by=dict(Counter(runs.values())) or None,
            paths=files,
            truncated=diff.totals.files > offset + len(files),
        )
        return DiffResult(changes, "" if stat_only else diff.patch, diff.truncated)

    def totals(
        self, task: TaskRow, pairs: Sequence[tuple[str, str]]
    ) -> Sequence[ChangesView | None]:
        if task.status in UNSETTLED:
            self._attempts.finish.import_snapshots(task)
        hub = self._repositories.hub(task.project_id)
        totals = self._looked_after(task, lambda: hub.totals(task.id, task.base_commit, pairs))
        return [
            ChangesView(files=t.files, added=t.added, removed=t.removed) if t else None
            for t in totals
        ]

    def distance(self, task: TaskRow) -> BaseDistance:
        if task.base_branch is None:
            return BaseDistance()
        with opened(Path(task.project_path)) as view:
            return base_distance(view, task.branch, task.base_branch, task.stands_on)

    def export(self, task: TaskRow, snapshot: Snapshot, dest: Path) -> None:
        if task.status in UNSETTLED:
            self._attempts.finish.import_snapshots(task)
        hub, base = self._repositories.hub(task.project_id), task.base_commit
        self._looked_after(task, lambda: hub.export_first(task.id, snapshot, base, dest))

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        commit = self._made(task)
        if commit is None:
            return
        hub = self._repositories.hub(task.project_id)

        def write() -> None:
            out.seek(0)
            out.truncate()
            old = task.stands_on
            hub.write_patch(task.id, task.base_commit, commit, out, list(paths) or None, old)

        self._looked_after(task, write)

    def _made(self, task: TaskRow) -> str | None:
        """The commit of what a task has made so far."""
        if task.status in UNSETTLED:
            # One that was cancelled just now is not settled yet, and keeps what it did.
            snapshot = self._attempts.finish.import_snapshots(task)
        else:
            snapshot = task.run_state.snapshot if task.run_state else None
        return snapshot.commit if snapshot else None

    def _diff(
        self, task: TaskRow, commit: str, paths: list[str] | None, old: str | None = None
    ) -> Diff:
        hub, base = self._repositories.hub(task.project_id), task.base_commit
        return self._looked_after(
            task,
            lambda: hub.diff(
                task.id, base, commit, paths, old=old or task.stands_on, first=_handed
            ),
        )

    def _looked_after(self, task: TaskRow, read: Callable[[], T]) -> T:
        """Read from the hub; if that fails, repair it and read again."""
        try:
            return read()
        except (EnvironmentFault, NotFound) as error:
            log.info("the hub is looked after: %s", error)
        return self._attempts.finish.from_hub(task, lambda _: read())


def _handed(file: FileDiff) -> str | None:
    """The program on the host that may run a file which a task left; None: none does."""
    return None if file.status == "deleted" else run_by(file.path)
