"""Having an agent resolve the conflicts of a rebase, as a task of its own.

The finished task stays what it is while that runs, whatever becomes of it. The other task is run,
paused, resumed and cancelled like any task; it has no branch, and what it makes is kept as answers
that the next call of rebase_task takes.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Protocol

from agent_runner.models import Budget
from rover_mcp.config.project import HooksConfig
from rover_mcp.domain.errors import Conflict
from rover_mcp.domain.ids import new_task_id
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_links import ResolvesFor, TaskLinks
from rover_mcp.domain.task_status import ENDED
from rover_mcp.store.records import NewTask, TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import builtin_folder
from rover_mcp.tasks.checked_task import input_faults
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.pause_view import spent
from rover_mcp.tasks.rebase import RebaseTask

WORKFLOW: Final = "resolve-conflicts"
FOLDER: Final = "internal"
"""Beneath the built-in workflows: none of these is listed, or can be named by a user."""


class FirstRound(Protocol):
    """What a task begins with that resolves conflicts."""

    @property
    def given(self) -> IterationInput: ...
    @property
    def inputs(self) -> Mapping[str, str]: ...


class ConflictRounds(Protocol):
    """Prepares rounds of resolving, on the host."""

    def first(self, task: TaskRow, link: ResolvesFor, new_id: str) -> FirstRound:
        """The first round of the task `new_id`, with what its sandbox begins with in its folder.

        Raises:
            Conflict: some conflicts are not between texts.
            RoverError: git failed, or the data folder cannot be written.
        """
        ...


@dataclass(frozen=True)
class ResolveConflicts:
    """The use case."""

    create: CreateTask
    rebase: RebaseTask
    resolving: ConflictRounds

    def __call__(
        self, caller: Caller, task: TaskRow, onto: str | None, *, unseen: bool = False
    ) -> TaskRow:
        """Begin to resolve the conflicts of a rebase, unless a task does so already; that task.
        Where all are resolved, the answers are dropped, and it begins again. `unseen`: the rebase
        is done afterwards without showing the resolution first.

        Raises:
            Conflict: there are none, or some are not between texts, or the budget is used up.
            RoverError: as RebaseTask.
        """
        task = self.rebase.checked(caller, task)
        at_work = self.rebase.resolver_of(task)
        if at_work is not None and at_work.status not in ENDED:
            return at_work
        plan = self.rebase.rebases.plan(task, onto, keep=False)
        if not plan.conflicts and not plan.resolved:
            raise Conflict(
                f"{plan.branch} has no conflicts with {plan.base_branch}",
                code="nothing_to_resolve",
                next_call={"tool": "rebase_task", "arguments": {"task": task.id}},
            )
        if plan.conflicts:
            self.rebase.rebases.keep_conflicts(task, plan)
        link = ResolvesFor(
            task=task.id, number=task.number, tip=plan.old, stands_on=plan.stands_on,
            onto=plan.onto, base_branch=plan.base_branch, unseen=unseen,
        )  # fmt: skip
        return self._begin(caller, task, link, forget=not plan.conflicts)

    def _begin(self, caller: Caller, task: TaskRow, link: ResolvesFor, *, forget: bool) -> TaskRow:
        """Write the files, then the row, and queue the first attempt. A folder without a row
        belongs to no task, and is shown as such by get_status."""
        settings, store = self.create.settings, self.create.store
        new = _record(caller, task, link, self.create.agent_checks.program_column(caller, task))
        folders = TaskFolders(settings.home, new.id, 1)
        repository = self.create.repositories.inspect(Path(task.project_path))
        try:
            with input_faults(settings.home):
                self._write_input(task, folders)
                self.rebase.rebases.begin_resolving(task, new.id, forget=forget)
                begins = self.resolving.first(task, link, new.id)
            new = replace(new, iteration_input=begins.given, inputs=dict(begins.inputs))
            row, _ = store.tasks.create(new, repository.branches, settings.branch_prefix)
        except BaseException:
            shutil.rmtree(folders.root, ignore_errors=True)
            raise
        if (attempt := store.attempts.get(row.id, 1)) is not None:
            self.create.control.enqueue(attempt)
        return row

    def _write_input(self, task: TaskRow, folders: TaskFolders) -> None:
        source = TaskFolders(folders.home, task.id, task.iteration)
        # The names that commits have in the user's repository are read for the new base.
        own = shutil.ignore_patterns(source.names.name)
        shutil.copytree(source.input, folders.input, symlinks=True, ignore=own)
        workflow = builtin_folder() / FOLDER / f"{WORKFLOW}.yaml"
        (folders.input / "workflow.yaml").write_bytes(workflow.read_bytes())
        folders.agent_home.mkdir()


def _record(caller: Caller, task: TaskRow, link: ResolvesFor, columns: dict[str, Any]) -> NewTask:
    """The new task's row, without what it starts with."""
    same = {field.name: getattr(task, field.name) for field in fields(NewTask)}
    # What the project runs around steps would change files that are not in conflict.
    config = task.config.model_copy(update={"hooks": HooksConfig()}) if task.config else None
    own: dict[str, Any] = {
        "id": new_task_id(),
        "title": f"Resolve the conflicts of task {task.number} with {link.base_branch}"[:72],
        "workflow": WORKFLOW,
        "base_branch": link.base_branch,
        "base_commit": link.onto,
        "onto": None,
        "config": config,
        "budget": _left(task),
        "request_key": None,
        "client_id": caller.client_id,
        "owner": caller.user,
        "gateway_token": f"rover-{secrets.token_hex(24)}",
        "warnings": [],
        "links": TaskLinks(resolves=link),
    }
    return NewTask(**{**same, **own, **columns})


def _left(task: TaskRow) -> Budget | None:
    """What the task's budget leaves for resolving its conflicts.

    Raises:
        Conflict: nothing.
    """
    if task.budget is None:
        return None
    usage = spent(task.run_state)
    if used_up := task.budget.used_up(usage):
        raise Conflict(
            f"the budget of task {task.number} leaves nothing for its conflicts: {used_up}",
            code="budget",
            hint="resolve them with git",
        )
    usd, tokens = task.budget.usd, task.budget.tokens
    return Budget(
        usd=usd - (usage.cost_usd or 0.0) if usd is not None else None,
        tokens=tokens - usage.tokens if tokens is not None else None,
    )
