"""The use cases: what an assistant, a script or a person can ask of a task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from agent_runner.agents import agent_provider
from agent_runner.classify.scope import akin, canonical_model
from agent_runner.models import Budget, Pause, PauseReason, RunState
from rover_mcp.config import client_programs
from rover_mcp.config.settings import Settings
from rover_mcp.config.user_maximum import wider_budget
from rover_mcp.domain.attempt_state import STARTED, AttemptState
from rover_mcp.domain.errors import Conflict, RoverError, UserFixable
from rover_mcp.domain.ids import agent_named
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.domain.no_space import write_fault
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import DELETING, ENDED, RESUMABLE, RUNNING, Event, TaskStatus
from rover_mcp.domain.usage_window import time_of
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks import task_page
from rover_mcp.tasks.accounts import account_name
from rover_mcp.tasks.asked import CreateRequest, check_needs_no_provider
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.diff import changed, write_patch
from rover_mcp.tasks.lives import LEFT
from rover_mcp.tasks.looks import ACCEPTED, accept_result, refused
from rover_mcp.tasks.options import DEFAULT_AGENT
from rover_mcp.tasks.pause_view import (
    CLOSED,
    NEVER_BY_ITSELF,
    NOT_RESUMABLE,
    Policy,
    left_to_itself,
    resume_action,
    spent,
    used_up,
)
from rover_mcp.tasks.ports import Control, DiffResult, Repositories, Work
from rover_mcp.tasks.reading import TaskReader
from rover_mcp.tasks.step_logs import LogText, read_journal, read_log
from rover_mcp.tasks.task_view import event_view
from rover_mcp.tasks.view_models import EventView, NextAction, TaskView


@dataclass(frozen=True)
class ResumeResult:
    """`result` is resumed, scheduled or already_resuming (I3)."""

    result: str
    task: TaskView
    has_checkpoint: bool
    message: str


MOST_MODELS = 3
"""Other models that are proposed at a pause."""
MOST_TRIED = 20
"""Of those that a service says it serves."""


@dataclass
class TaskService(TaskReader):
    """Every use case but creation, which has a module of its own. Calls may block."""

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

    def create(self, caller: Caller, request: CreateRequest) -> TaskView:
        return self.with_cautions(self.create_task(caller, request))

    def with_cautions(self, task: TaskRow) -> TaskView:
        """A task that was created or resumed, with a warning where none of its agents can sign in:
        it would pause at once. The warning is true now, so it is not kept."""
        view = self.view(task)
        if task.status in ENDED or task.status is TaskStatus.PAUSED:
            return view
        lacking = [self.control.cannot_sign_in(task, a) for a in task.agents or [task.agent]]
        if all(lacking):
            what = f"{task.agent} cannot sign in, so the task pauses until it can: {lacking[0]}"
            view.warnings = [what, *(view.warnings or [])]
        return view

    # Reading

    def log_in_ends(self, task: TaskRow) -> str | None:
        return self.control.log_in_ends(task)

    def policy_of(self, task: TaskRow) -> Policy:
        """With those agents that could take over from a paused task now."""
        # Whether one that signs in by itself could, nobody here knows.
        known = tuple(a for a in self.create_task.agents.known() if agent_provider(a))
        policy = replace(self.policy(), agents=known)
        if task.pause is None or task.pause.reason not in CLOSED:
            return policy
        able = tuple(
            agent
            for agent in policy.agents
            if self.create_task.agents.program(agent, None).source != "image"
            and self.control.can_take_over(task, agent)
        )
        models = islice(self._other_models(task), MOST_MODELS)
        return replace(policy, agents=able, models=tuple(models))

    def _other_models(self, task: TaskRow) -> Iterator[str]:
        """Models that the agent of a paused task could go on with, where one model's limit is
        closed, and not the account's. Of several names of one the first."""
        closed = task.pause.model if task.pause else None
        if closed is None:
            return
        first = (*self.settings.agents, DEFAULT_AGENT)[0]
        own = self.settings.model if task.agent == first else None
        seen = {closed}
        own_api = self.control.asks_provider(task)
        served = () if own_api else akin(task.model or closed, self.control.served_models(task))
        named = self.create_task.agents.models(task.agent, own_api=own_api)
        for model in (own, *named, *served[:MOST_TRIED]):
            if model is None or canonical_model(model) in seen:
                continue
            seen.add(canonical_model(model))
            takes = self.control.uses_model(task, task.agent, model)
            if takes and self.control.can_take_over(task, task.agent, model):
                yield model

    def inspect(self, task: TaskRow, *, full: bool) -> TaskView:
        """The task with its changes, where its work could be read."""
        view = self.view(task, full=full)
        if full or task.status not in (TaskStatus.NEW, *RUNNING):
            try:
                view.changes = self.work.diff(task, (), stat_only=True).changes
            except RoverError as fault:
                view.warnings = [*(view.warnings or []), f"no diff: {fault.message}"]
        return view

    def events(self, task: TaskRow, limit: int = 20) -> list[EventView]:
        """The newest, oldest first, each with the channels over which it was told."""
        found = self.store.events.last(task.id, limit)
        told = self.store.events.told([event.seq for event in found])
        views = [event_view(event, task, self.settings.budget) for event in found]
        for view in views:
            if channels := told.get(view.seq):
                view.told = {name: time_of(at) for name, at in sorted(channels.items())}
        return views

    def logs(self, task: TaskRow, step: str | None, tail: int) -> LogText:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        return read_log(folders.run / "logs", step, tail, folders.preparation)

    def journal(self, task: TaskRow) -> str:
        """The end of its journal, a record a line."""
        return read_journal(TaskFolders(self.settings.home, task.id, task.iteration).journal)

    def diff(
        self, task: TaskRow, paths: Sequence[str], *, stat_only: bool, offset: int = 0
    ) -> DiffResult:
        return changed(self.work, task, paths, stat_only=stat_only, offset=offset)

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        write_patch(self.work, task, paths, out)

    # Changing

    def resume(
        self,
        caller: Caller,
        task: TaskRow,
        when: str,
        *,
        budget: Budget | None = None,
        agent: str | None = None,
        model: str | None = None,
        consent: str | None = None,
        by_person: bool = False,
        accept: bool = False,
    ) -> ResumeResult:
        """PAUSED, FAILED or CANCELLED goes on from its checkpoint (I1 to I8), with a larger
        `budget`, or with another `agent` or `model`, if they are given. Asked for, it goes on
        though its account is closed. `consent`: see CreateRequest; `by_person`: a person answered
        the task's own question, which is their consent. `accept`: a result that waits for a look
        is delivered.

        Raises:
            Conflict: it cannot be resumed ("not_resumable"), with the call that would work.
            UserFixable, EnvironmentFault: the agent is unknown or cannot be started here, its step
                takes no model of the task's, or the budget is larger than the user's.
        """
        checkpoint = self.control.has_checkpoint(task)
        if task.status in RUNNING:
            return self._resume_result("already_resuming", task, checkpoint, "it runs already")
        if task.status not in RESUMABLE:
            raise self._not_resumable(task, f"a task that is {task.status} cannot be resumed")
        self._check_has_ended(task)
        if why := refused(task, accept=accept):
            raise self._not_resumable(task, why)
        if not (by_person and caller.user is None):
            self._check_budget(caller, task, budget, consent)
        if agent is not None:
            agent = agent_named(agent, self.create_task.agents.known())
        columns = self._larger_budget(task, budget) | self._other_agent(caller, task, agent)
        columns |= self._other_model(task, agent or task.agent, model)
        usage = spent(task.run_state)
        if over := used_up(columns.get("budget", task.budget), usage):
            most = self.settings.budget
            ask = resume_action(replace(task, **columns), task.run_state, most)
            named = _named(ask)
            todo = f"call resume_task with {named}" if named else ask.why
            message = f"the budget is used up: {over}; {todo}"
            raise self._not_resumable(task, message, ask if named else None)
        if when == "at_reset":
            message = left_to_itself(self.view(task).pause, changes=bool(columns))
            return self._resume_result("scheduled", task, checkpoint, message)
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        if accept:
            accept_result(task, folders)
        folders.pause_request.unlink(missing_ok=True)
        columns = self._found_program(caller, task) | columns
        won = self.store.resume(task.id, caller.client_id, **columns)
        if won is None:
            fresh = self.store.task(task.id) or task
            return self._resume_result("already_resuming", fresh, checkpoint, "another call won")
        row, attempt = won
        self.control.enqueue(attempt)
        message = "it goes on from its checkpoint" if checkpoint else "it starts from the beginning"
        message = ACCEPTED if accept else message
        return ResumeResult("resumed", self.with_cautions(row), checkpoint, message)

    def restart(self, caller: Caller, task: TaskRow) -> TaskView:
        """A FAILED task starts over, on its base (H4, H5). What it cost still counts, and what
        it made so far is kept in its snapshots.

        Raises:
            Conflict: it is not FAILED; a PAUSED one is for resume_task.
        """
        if task.iteration == 1 and task.status is TaskStatus.FAILED:
            folders = TaskFolders(self.settings.home, task.id, task.iteration)
            folders.pause_request.unlink(missing_ok=True)
            if won := self.store.resume(task.id, caller.client_id, restart=True):
                row, attempt = won
                self.control.enqueue(attempt)
                return self.with_cautions(row)
            task = self.store.task(task.id) or task
        resumable = task.status in RESUMABLE
        raise Conflict(
            f"task {task.number} is {task.status}; only one that FAILED can be restarted",
            code="not_restartable",
            hint="resume_task lets it go on from its checkpoint" if resumable else None,
            next_call={"tool": "resume_task", "arguments": {"task": task.id}}
            if resumable
            else None,
        )

    def _not_resumable(self, task: TaskRow, why: str, call: NextAction | None = None) -> Conflict:
        """Without a `call` it is the first that lets the task go on, else the first of all."""
        if call is None:
            actions = self.view(task).next_actions
            call = next((a for a in actions if a.tool == "resume_task"), actions[0])
        named = {"tool": call.tool, "arguments": call.arguments}
        return Conflict(why, code=NOT_RESUMABLE, next_call=named)

    def _check_has_ended(self, task: TaskRow) -> None:
        """
        Raises:
            Conflict: it was cancelled, and cannot be resumed just now.
        """
        if task.status is not TaskStatus.CANCELLED:
            return
        if self.store.events.of_kinds(task.id, [DELETING]):
            delete = NextAction(tool="delete_task", arguments={"task": task.id}, why="complete it")
            raise self._not_resumable(task, "its deletion has begun", delete)
        attempt = self.store.attempt(task.id, task.attempt)
        if attempt is not None and attempt.state in STARTED:
            why = "it is still being stopped; call resume_task again in some seconds"
            raise self._not_resumable(task, why)

    def _check_budget(
        self, caller: Caller, task: TaskRow, budget: Budget | None, consent: str | None
    ) -> None:
        config, root = self.settings.home / "config.yaml", Path(task.project_path)
        wider = list(wider_budget(budget, self.settings, task.budget))
        check_consent(caller, config, root, wider, (), consent)

    def _larger_budget(self, task: TaskRow, budget: Budget | None) -> dict[str, Any]:
        if budget is None:
            return {}
        old = task.budget or Budget()
        return {"budget": Budget(usd=budget.usd or old.usd, tokens=budget.tokens or old.tokens)}

    def _found_program(self, caller: Caller, task: TaskRow) -> dict[str, Any]:
        """The column that says where the program of a task's agent is on this host, where that was
        not known or is not true any more."""
        if task.agent_binary is not None and Path(task.agent_binary).exists():
            return {}
        path = client_programs.search_path(caller.env.get("PATH"), Path(task.project_path))
        binary = self.create_task.agents.binary(task.agent, path)
        return {"agent_binary": str(binary)} if binary else {}

    def _other_agent(self, caller: Caller, task: TaskRow, agent: str | None) -> dict[str, Any]:
        """The columns that let another agent go on; the others may take over from it."""
        if agent is None or agent == task.agent:
            return {}
        root = Path(task.project_path)
        binary = self.create_task.check_agent(caller, agent, task.engine or "auto", root)
        if NetworkPolicy.stored(task.network).mode is NetworkMode.NONE:
            check_needs_no_provider(agent)
        if missing := self.control.cannot_sign_in(task, agent):
            raise UserFixable(
                f"{agent} cannot sign in, so nothing was changed: {missing}",
                code="cannot_sign_in",
                hint=f"rover login keeps a key; or go on with {task.agent}",
                next_call={"tool": "get_status", "arguments": {}},
            )
        others = [a for a in task.agents or () if a != agent]
        return {
            "agent": agent,
            "agent_binary": str(binary) if binary else None,
            "agents": [agent, *others] if others else None,
            # A model is an agent's own.
            "model": None,
        }

    def _other_model(self, task: TaskRow, agent: str, model: str | None) -> dict[str, Any]:
        """The columns that let an agent go on with another model."""
        if model is None or (agent == task.agent and model == task.model):
            return {}
        if not self.control.uses_model(task, agent, model):
            raise UserFixable(
                f"{model} was not taken, and nothing was changed: the workflow names the model of "
                "the step, or another agent for it",
                code="model_is_fixed",
                hint="resume_task without model; or a new task with another workflow",
            )
        others = [a for a in task.agents or () if a != agent]
        return {"model": model, "agents": [agent, *others] if others else None}

    def _resume_result(
        self, result: str, task: TaskRow, checkpoint: bool, message: str
    ) -> ResumeResult:
        return ResumeResult(result, self.view(task), checkpoint, message)

    def set_auto_resume(
        self,
        caller: Caller,
        enabled: bool,
        *,
        task: TaskRow | None = None,
        project_id: str | None = None,
    ) -> int:
        """Switch automatic resumes for a task, a project, or, with neither, all tasks (K7). How
        many paused tasks no longer go on by themselves; or do now, their reason permitting."""
        if task is not None:
            dropped = self.store.switch_task(task.id, enabled=enabled)
        else:
            dropped = self.store.switch(project_id, enabled=enabled)
        if not enabled:
            return dropped
        paused = [self.store.task(task.id)] if task is not None else self._paused(project_id)
        return sum(self.control.schedule(row) for row in paused if row is not None)

    def _paused(self, project_id: str | None) -> Iterator[TaskRow]:
        before: tuple[float, str] | None = None
        while page := self.store.page(
            statuses=[TaskStatus.PAUSED], project_id=project_id, before=before, limit=200
        ):
            yield from (row for row in page if isinstance(row, TaskRow))
            before = task_page.place(page[-1])

    def pause(self, task: TaskRow) -> TaskView:
        """Stop at a checkpoint, to be resumed by a person. A running step is interrupted."""
        if task.status is TaskStatus.PAUSED:
            return self.view(self._never_by_itself(task))
        if task.status in ENDED:
            raise Conflict(
                f"task {task.number} is {task.status}; only a task that runs can be paused",
                code="not_pausable",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        attempt = self.store.attempt(task.id, task.attempt)
        if attempt is not None and attempt.state == AttemptState.QUEUED:
            paused = self._pause_queued(task)
            if paused is not None:
                return self.view(paused)
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        try:
            folders.run.mkdir(parents=True, exist_ok=True)
            folders.pause_request.write_text('{"reason": "requested"}', "utf-8")
        except OSError as error:
            what = "the pause cannot be recorded, and the task runs on"
            raise write_fault(what, folders.run, error) from error
        self.control.stop(task)
        return self.view(self.store.task(task.id) or task)

    def _never_by_itself(self, task: TaskRow) -> TaskRow:
        """A pause that a person asked for does not end by itself, nor when automatic resumes
        are switched on again: what it was paused for before stays in its message."""
        ends = task.pause is not None and task.pause.reason not in NEVER_BY_ITSELF
        if task.pause is None or not (ends or task.pause.reason is PauseReason.AUTH):
            return task
        pause = task.pause.model_copy(
            update={
                "reason": PauseReason.REQUESTED,
                "message": f"paused on request; before that: {task.pause.message}",
                "retry_at": None,
            }
        )
        self.store.drop_schedule(task.id, pause=pause)
        return self.store.task(task.id) or task

    def _pause_queued(self, task: TaskRow) -> TaskRow | None:
        pause = Pause(
            reason=PauseReason.REQUESTED,
            message="paused on request before it started",
            since=datetime.fromtimestamp(self.now(), UTC),
        )
        data = pause.model_dump(mode="json")
        return self.store.transition(
            task.id, Event.PAUSE, attempt=task.attempt, unstarted=True, data=data, pause=pause
        )

    def leave(self, task: TaskRow) -> None:
        """Pause a task for a client that no longer follows it; its handle is over."""
        if task.status not in ENDED:
            self.pause(task)
            self.store.add_event(task.id, LEFT, {})

    def cancel(self, task: TaskRow) -> TaskView:
        """End the task. What it did is kept, and resume_task lets it go on."""
        if task.status is TaskStatus.CANCELLED:
            return self.view(task)
        cancelled = self.store.transition(task.id, Event.CANCEL)
        if cancelled is None:
            fresh = self.store.task(task.id) or task
            raise Conflict(
                f"task {task.number} is {fresh.status}; there is nothing to cancel",
                code="not_cancellable",
                next_call={"tool": "inspect", "arguments": {"task": task.id}},
            )
        self.control.stop(cancelled)
        return self.view(cancelled)


def _named(action: NextAction) -> str:
    """The arguments beside the task, as a call has them."""
    return ", ".join(
        f"{name}={value}" for name, value in action.arguments.items() if name != "task"
    )
