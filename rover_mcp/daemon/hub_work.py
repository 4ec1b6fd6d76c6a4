"""What tasks changed, out of their projects' hubs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

from rover_mcp.control.attempt_context import UNSETTLED
from rover_mcp.control.attempts import Attempts
from rover_mcp.daemon.repositories import GitRepositories
from rover_mcp.domain.errors import EnvironmentFault, NotFound
from rover_mcp.git.diff import Diff, FileDiff
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.handoff import first_of_each, run_by
from rover_mcp.tasks.ports import DiffResult
from rover_mcp.tasks.view_models import ChangesView, FileChange

PATHS_SHOWN = 50

log = logging.getLogger("rover.daemon")
T = TypeVar("T")


class HubWork:
    """A task's changes, out of the project's hub."""

    def __init__(self, repositories: GitRepositories, attempts: Attempts) -> None:
        self._repositories = repositories
        self._attempts = attempts

    def diff(
        self, task: TaskRow, paths: Sequence[str], *, stat_only: bool, offset: int = 0
    ) -> DiffResult:
        commit = self._made(task)
        if commit is None:
            return DiffResult(ChangesView(files=0, added=0, removed=0), "", truncated=False)
        found = self._diff(task, commit, list(paths) or None)
        runs = {f.path: who for f in found.files if (who := _handed(f))}
        order = {path: place for place, path in enumerate(first_of_each(runs))}
        shown = sorted(found.files, key=lambda f: order.get(f.path, len(order)))
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
            files=found.totals.files,
            added=found.totals.added,
            removed=found.totals.removed,
            run_by=dict(Counter(runs.values())) or None,
            paths=files,
            truncated=found.totals.files > offset + len(files),
        )
        return DiffResult(changes, "" if stat_only else found.patch, found.truncated)

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        commit = self._made(task)
        if commit is None:
            return
        hub = self._repositories.hub(task.project_id)

        def write() -> None:
            out.seek(0)
            out.truncate()
            hub.write_patch(task.id, task.base_commit, commit, out, list(paths) or None)

        self._looked_after(task, write)

    def _made(self, task: TaskRow) -> str | None:
        """The commit of what a task has made so far."""
        if task.status in UNSETTLED:
            # One that was cancelled just now is not settled yet, and keeps what it did.
            snapshot = self._attempts.import_snapshots(task)
        else:
            snapshot = task.run_state.snapshot if task.run_state else None
        return snapshot.commit if snapshot else None

    def _diff(self, task: TaskRow, commit: str, paths: list[str] | None) -> Diff:
        hub = self._repositories.hub(task.project_id)
        return self._looked_after(
            task, lambda: hub.diff(task.id, task.base_commit, commit, paths, first=_handed)
        )

    def _looked_after(self, task: TaskRow, read: Callable[[], T]) -> T:
        """What is read from the hub, which is mended where that fails."""
        try:
            return read()
        except (EnvironmentFault, NotFound) as error:
            log.info("the hub is looked after: %s", error)
        return self._attempts.from_hub(task, lambda _: read())


def _handed(file: FileDiff) -> str | None:
    """What on the host may run a file that a task left."""
    return None if file.status == "deleted" else run_by(file.path)
