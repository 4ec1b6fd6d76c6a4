"""The use case of forking: a new task that starts from a snapshot of another one."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from agent_runner.crashpoints import crash_point
from agent_runner.models import AgentSession, RunState, RunStatus
from agent_runner.spec import Instructions
from rover_mcp.config.user_maximum import for_each, wider_budget
from rover_mcp.domain.creation_point import CreationPoint
from rover_mcp.domain.errors import Conflict, RoverError, UserFixable
from rover_mcp.domain.ids import agent_named, new_task_id
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_links import ForkedFrom, TaskLinks
from rover_mcp.domain.text import plain
from rover_mcp.store.records import NewTask, TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.checked_task import input_faults
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.create_request import check_needs_no_provider, title_of
from rover_mcp.tasks.creation_marks import creating
from rover_mcp.tasks.forked_sessions import copy_sessions
from rover_mcp.tasks.history import (
    HistoryPoint,
    checkpoint_at,
    find_snapshot,
    snapshots_of,
    stood_on,
)
from rover_mcp.tasks.iterate import MOST_CHANGES
from rover_mcp.tasks.race_links import in_a_race
from rover_mcp.tasks.resolver_tasks import check_has_branch
from rover_mcp.tasks.task_ports import Work

FIRST_BUNDLE: Final = "000001.bundle"


@dataclass(frozen=True)
class ForkTask:
    """Creates a task with the same description, settings and base as another one, whose work tree
    starts as a snapshot of that one. The other task stays as it is."""

    create: CreateTask
    work: Work

    def __call__(
        self,
        caller: Caller,
        task: TaskRow,
        snapshot: str | None = None,
        instructions: str = "",
        *,
        agent: str | None = None,
        consent: str | None = None,
    ) -> TaskRow:
        """Fork at a snapshot, by default the newest. Without instructions the new task does what
        was left to do there, and its finished steps count as finished; with them it runs the
        workflow for these. `agent`: others than the other task's, as `a, b`. Raises as `race`."""
        return self.race(caller, task, snapshot, instructions, agents=[agent], consent=consent)[0]

    def race(
        self,
        caller: Caller,
        task: TaskRow,
        snapshot: str | None = None,
        instructions: str = "",
        *,
        agents: Sequence[str | None],
        consent: str | None = None,
    ) -> list[TaskRow]:
        """Fork once for each of the agents (None: that of the task): all of the new tasks or none.
        Several of them are a race.

        Raises:
            NotFound: the task has no such snapshot.
            Conflict: it has none at all yet, or nothing was left to do.
            UserFixable, EnvironmentFault: the agent cannot be used here, or the data folder not be
                written.
        """
        check_has_branch(task)
        text = plain(instructions).strip()
        point = self._point(task, snapshot)
        if not text and point.state.status is RunStatus.COMPLETED:
            raise Conflict(
                f"task {task.number} had done all its steps at {point.entry.name}",
                code="nothing_left",
                hint="say in instructions what the new task should do, or name an earlier snapshot",
                next_call={"tool": "get_history", "arguments": {"task": task.id}},
            )
        self._check_budget(caller, task, consent, len(agents))
        onto = stood_on(self.create.settings.home, task, point.entry)
        columns = [{**self._agents(caller, task, names), "onto": onto} for names in agents]
        rows = [_record(caller, task, point, text, one) for one in columns]
        return self._write(task, in_a_race(rows), point, text)

    def _point(self, task: TaskRow, name: str | None) -> HistoryPoint:
        home = self.create.settings.home
        entries = snapshots_of(home, task)
        if not entries:
            raise Conflict(
                f"task {task.number} has no snapshot yet",
                code="no_snapshot",
                hint="the first one is taken when its first step ends; or create another task",
            )
        entry = find_snapshot(entries, name) if name else entries[-1]
        return checkpoint_at(home, task, entry)

    def _check_budget(self, caller: Caller, task: TaskRow, consent: str | None, tasks: int) -> None:
        """What a person once allowed for one task is not allowed for two."""
        settings = self.create.settings
        wider = for_each(wider_budget(task.budget, settings, None), tasks)
        root = Path(task.project_path)
        check_consent(caller, settings.home / "config.yaml", root, wider, (), consent)

    def _agents(self, caller: Caller, task: TaskRow, names: str | None) -> dict[str, Any]:
        """The columns that say who does the work, where that is to be somebody else."""
        checks = self.create.agent_checks
        if names is None:
            return checks.program_column(caller, task)
        known = self.create.agents.known()
        agents = [agent_named(name.strip(), known) for name in names.split(",") if name.strip()]
        agents, root = list(dict.fromkeys(agents)), Path(task.project_path)
        if not agents:
            raise UserFixable("no agent is named", code="invalid_agent", instead={"agent": None})
        binaries = [checks.check_agent(caller, agent, task.engine, root) for agent in agents]
        if NetworkPolicy.stored(task.network).mode is NetworkMode.NONE:
            for agent in agents:
                check_needs_no_provider(agent)
        return {
            "agent": agents[0],
            "agents": agents if len(agents) > 1 else None,
            "agent_binary": str(binaries[0]) if binaries[0] else None,
            # Another agent does not know the models of this one.
            "model": task.model if agents[0] == task.agent else None,
        }

    def _write(
        self, task: TaskRow, several: Sequence[NewTask], point: HistoryPoint, text: str
    ) -> list[TaskRow]:
        """Write the files, then the rows, and queue the first attempts."""
        settings, store = self.create.settings, self.create.store
        repository = self.create.repositories.inspect(Path(task.project_path))
        self.create.repositories.check_delivery(repository, settings.branch_prefix)
        home, prefix = settings.home, settings.branch_prefix
        with input_faults(home), creating(home, [new.id for new in several]):
            try:
                news = [self._with_files(task, new, point, text) for new in several]
                crash_point(CreationPoint.FILES_WRITTEN)
                rows, _ = store.tasks.create_all(news, repository.branches, prefix)
            except BaseException:
                for new in several:
                    shutil.rmtree(TaskFolders(home, new.id, 1).root, ignore_errors=True)
                raise
            crash_point(CreationPoint.RECORDED)
        for row in rows:
            if (attempt := store.attempts.get(row.id, 1)) is not None:
                self.create.control.enqueue(attempt)
        return rows

    def _with_files(self, task: TaskRow, new: NewTask, point: HistoryPoint, text: str) -> NewTask:
        """Write the files of one new task; its row with what it starts with."""
        home = self.create.settings.home
        folders = TaskFolders(home, new.id, 1)
        source = TaskFolders(home, task.id, task.iteration)
        shutil.copytree(source.input, folders.input, symlinks=True)
        (folders.run / "bundles").mkdir(parents=True)
        folders.agent_home.mkdir()
        self.work.export(task, point.entry.snapshot, folders.run / "bundles" / FIRST_BUNDLE)
        sessions = copy_sessions(source, folders, point.sessions, task.engine)
        return replace(new, iteration_input=self._given(task, point, text, sessions))

    def _given(
        self, task: TaskRow, point: HistoryPoint, text: str, sessions: dict[str, AgentSession]
    ) -> IterationInput:
        """What the new task starts with."""
        begin = point.entry.snapshot.model_copy(update={"sequence": 1, "bundle": FIRST_BUNDLE})
        if not text:
            return IterationInput(
                snapshot=begin, rewound=True, sessions=sessions, carried=_carried(point.state)
            )
        base = stood_on(self.create.settings.home, task, point.entry) or task.base_commit
        between = (base, begin.commit)
        try:
            patch = self.work.diff(task, (), stat_only=False, between=between).patch[:MOST_CHANGES]
        except RoverError:
            patch = ""  # the agent sees it in the work tree
        instructions = Instructions(text=text, changes=patch)
        return IterationInput(
            instructions=instructions, snapshot=begin, rewound=True, sessions=sessions
        )


def _carried(state: RunState) -> tuple[Any, ...]:
    """The steps, if any was begun. Usage stays with the task that paid."""
    begun = any(step.finished or step.session for step in state.steps)
    return tuple(state.model_copy(deep=True).steps) if begun else ()


def _record(
    caller: Caller, task: TaskRow, point: HistoryPoint, text: str, columns: dict[str, Any]
) -> NewTask:
    """The new task's row, without what it starts with."""
    same = {field.name: getattr(task, field.name) for field in fields(NewTask)}
    origin = ForkedFrom(task=task.id, number=task.number, snapshot=point.entry.name)
    own: dict[str, Any] = {
        "id": new_task_id(),
        "title": title_of(text) if text else task.title,
        "request_key": None,
        "client_id": caller.client_id,
        "owner": caller.user,
        "gateway_token": f"rover-{secrets.token_hex(24)}",
        "warnings": [],
        "links": TaskLinks(forked_from=origin),
    }
    return NewTask(**{**same, **own, **columns})
