"""Starting the tasks that waited for others, each from what it is to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rover_mcp.config.project_asks import setup_asks
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.control.attempt_context import AttemptContext, with_hint
from rover_mcp.domain.errors import NotFound, RoverError, UserFixable
from rover_mcp.domain.stacking import is_satisfied
from rover_mcp.git.commit_tree import CommitTree
from rover_mcp.git.repository import resolve_branch
from rover_mcp.git.repository_view import opened
from rover_mcp.store.records import AttemptRow, TaskRow


class StackedStarts:
    """Finds the tasks whose turn has come."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context

    def due(self) -> list[AttemptRow]:
        """The attempts that waited for other tasks, all of which are done: they are in the queue by
        the record, and are to be enqueued. A task that cannot be started from what it is to start
        from keeps waiting, with a warning."""
        stacked = self._context.store.stacked
        started: list[AttemptRow] = []
        for task in stacked.waiting():
            links = task.links
            if links is None:
                continue
            statuses = stacked.statuses([awaited.task for awaited in links.after])
            if not is_satisfied(links, statuses):
                continue
            try:
                columns = self._base(task)
            except RoverError as error:
                self._context.warn(task, f"it cannot start yet: {with_hint(error)}", notable=True)
                continue
            attempt = stacked.start(task.id, task.attempt, **columns)
            started += [attempt] if attempt else []
        return started

    def _base(self, task: TaskRow) -> dict[str, Any]:
        """The columns that say what it starts from: the branch of the task that it stands on, with
        whatever a person has added there since."""
        if task.links is None or task.links.base is None:
            return {}
        below = self._context.task(task.links.base.task)
        repository = Path(task.project_path)
        try:
            commit = resolve_branch(repository, below.branch)
        except NotFound:
            # It may have been merged and removed: what was delivered is looked for by its id.
            last = below.run_state.snapshot if below.run_state else None
            if last is None:
                raise
            commit = resolve_branch(repository, last.head)
        self._check_setup(task, repository, commit)
        return {"base_commit": commit, "base_branch": below.branch}

    def _check_setup(self, task: TaskRow, repository: Path, commit: str) -> None:
        """What sets up the sandbox was consented to as it was in another commit, and since then an
        agent may have written to it.

        Raises:
            UserFixable: it is not the same any more.
        """
        config = task.config or TaskConfig()
        if config.ignored:
            return

        def asks(at: str) -> set[tuple[str, str]]:
            with opened(repository) as view:
                files = CommitTree(view.folder, at)
                current = setup_asks(files, config.setup, config.devcontainer, task.engine)
            return {(ask.name, ask.digest) for ask in current}

        if new := asks(commit) - asks(task.base_commit):
            names = ", ".join(sorted(name for name, _ in new))
            raise UserFixable(
                f"the work that it is to start from changes how sandboxes are set up: {names}",
                hint="look at it, cancel this task, and create it again with base_branch, which "
                "asks you",
            )
