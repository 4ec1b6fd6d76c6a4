"""Every use case on tasks, each with what it needs: what an assistant or a person can ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO

from agent_runner.models import Pause, RunState
from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import RoverError
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import RESUMABLE, RUNNING, TaskStatus
from rover_mcp.domain.usage_window import time_of
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.account_names import account_name
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.cancel import CancelTask
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.create_race import CreateRace
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.diff import changed, write_patch
from rover_mcp.tasks.fork import ForkTask
from rover_mcp.tasks.iterate import IterateTask
from rover_mcp.tasks.live_reader import LiveTaskReader
from rover_mcp.tasks.pause import PauseTask
from rover_mcp.tasks.race import RaceReader
from rover_mcp.tasks.race_links import racing_agents
from rover_mcp.tasks.restart import RestartTask
from rover_mcp.tasks.resume import ResumeTask
from rover_mcp.tasks.show_history import History, ShowHistory
from rover_mcp.tasks.step_logs import LogText, read_journal, read_log
from rover_mcp.tasks.task_ports import AgentInventory, Control, DiffResult, Repositories, Work
from rover_mcp.tasks.task_view import event_view
from rover_mcp.tasks.view_models import EventView, RaceView, TaskView

MAY_NEED_REBASE = (*RESUMABLE, TaskStatus.COMPLETED, TaskStatus.PUSHED)
"""Statuses of a task whose branch may still be merged."""


@dataclass
class TaskService(LiveTaskReader):
    """The use cases, all built from the same parts. Calls may block."""

    settings: Settings
    store: Store
    create_task: CreateTask
    repositories: Repositories
    control: Control
    work: Work
    live: Callable[[str], RunState | None]
    now: Callable[[], float] = time.time
    stalled: Callable[[str], Pause | None] = lambda _task_id: None
    account_name: Callable[[str], str] = account_name

    @property
    def inventory(self) -> AgentInventory:
        return self.create_task.agents

    # Changing

    def create(self, caller: Caller, request: CreateRequest) -> TaskView:
        return self.with_cautions(self.create_task(caller, request))

    def create_all(
        self, caller: Caller, request: CreateRequest, agents: Sequence[str]
    ) -> list[TaskRow]:
        """A task for each of the agents, which race; of none or one, a single task."""
        options = request.options
        names = racing_agents(agents, ", ".join(options.agents), options.model) if agents else []
        if len(names) > 1:
            return CreateRace(self.create_task)(caller, request, names)
        if names:
            options = options.model_copy(update={"agents": tuple(names)})
        return [self.create_task(caller, replace(request, options=options))]

    def begun(self, rows: Sequence[TaskRow]) -> TaskView:
        """The first of tasks that were created together, with what the others warn of."""
        first, *others = [self.with_cautions(row) for row in rows]
        known = set(first.warnings or ())
        for view in others:
            fresh = [warning for warning in view.warnings or () if warning not in known]
            named = [f"task {view.number} ({view.agent}): {warning}" for warning in fresh]
            first.warnings = [*(first.warnings or ()), *named] or None
        return first

    @property
    def resume(self) -> ResumeTask:
        return ResumeTask(self, self.create_task.agent_checks)

    @property
    def restart(self) -> RestartTask:
        return RestartTask(self)

    @property
    def iterate(self) -> IterateTask:
        return IterateTask(self, self.work, self.create_task.agent_checks)

    @property
    def fork(self) -> ForkTask:
        return ForkTask(self.create_task, self.work)

    @property
    def pause(self) -> PauseTask:
        return PauseTask(self)

    @property
    def cancel(self) -> CancelTask:
        return CancelTask(self)

    # Reading

    def inspect(self, task: TaskRow, *, full: bool) -> TaskView:
        """The task with its changes, where its work can be read."""
        view = self.view(task, full=full)
        if full or task.status not in (TaskStatus.NEW, *RUNNING):
            try:
                view.changes = self.work.diff(task, (), stat_only=True).changes
            except RoverError as fault:
                view.warnings = [*(view.warnings or []), f"no diff: {fault.message}"]
        if task.status in MAY_NEED_REBASE:
            self._compare_with_base(task, view)
        return view

    def _compare_with_base(self, task: TaskRow, view: TaskView) -> None:
        """Say what its base has by now. Left out if the repository is gone."""
        with suppress(RoverError):
            distance = self.work.distance(task)
            # A branch that the base has all of needs no rebase.
            if distance.ahead and distance.behind:
                view.ahead, view.behind = distance.ahead, dict(distance.behind)

    def race(self, task: TaskRow) -> RaceView | None:
        """How the task's race stands; None where it is in none."""
        reader = RaceReader(self.store, self.work, self.settings.trash_days)
        rows = reader.rows(task)
        policy = self.policy()
        return reader(rows, [self.view(row, policy=policy) for row in rows]) if rows else None

    def events(self, task: TaskRow, limit: int = 20) -> list[EventView]:
        """The newest events, oldest first, each with the channels over which it was reported."""
        events = self.store.events.last(task.id, limit)
        reported = self.store.events.reported([event.seq for event in events])
        views = [event_view(event, task, self.settings.budget) for event in events]
        for view in views:
            if channels := reported.get(view.seq):
                view.told = {name: time_of(at) for name, at in sorted(channels.items())}
        return views

    def history(self, task: TaskRow, snapshot: str | None = None) -> History:
        return ShowHistory(self.settings.home, self.work)(task, snapshot)

    def logs(self, task: TaskRow, step: str | None, tail: int) -> LogText:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        return read_log(folders.run / "logs", step, tail, folders.preparation)

    def journal(self, task: TaskRow) -> str:
        """The end of the task's journal, one record per line."""
        return read_journal(TaskFolders(self.settings.home, task.id, task.iteration).journal)

    def diff(
        self, task: TaskRow, paths: Sequence[str], *, stat_only: bool, offset: int = 0
    ) -> DiffResult:
        return changed(self.work, task, paths, stat_only=stat_only, offset=offset)

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        write_patch(self.work, task, paths, out)
