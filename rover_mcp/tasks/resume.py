"""The use case of resuming a task: from its checkpoint, now or at the time it waits for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent_runner.models import Budget
from rover_mcp.config.user_maximum import wider_budget
from rover_mcp.domain.attempt_state import STARTED
from rover_mcp.domain.errors import Conflict, UserFixable
from rover_mcp.domain.ids import agent_named
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import DELETING, RESUMABLE, RUNNING, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.accept_result import ACCEPTED, accept_result, refused
from rover_mcp.tasks.agent_checks import AgentChecks
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.create_request import check_needs_no_provider
from rover_mcp.tasks.live_reader import LiveTaskReader
from rover_mcp.tasks.pause_view import (
    NOT_RESUMABLE,
    left_to_itself,
    resume_action,
    spent,
)
from rover_mcp.tasks.resolver_tasks import failed_by_judgement, resolve_again, resolved_rebase
from rover_mcp.tasks.view_models import NextAction, TaskView


@dataclass(frozen=True)
class ResumeResult:
    """`result` is resumed, scheduled or already_resuming."""

    result: str
    task: TaskView
    has_checkpoint: bool
    message: str


@dataclass(frozen=True)
class ResumeTask:
    """Resumes a task that is PAUSED, FAILED or CANCELLED."""

    reader: LiveTaskReader
    agents: AgentChecks

    def __call__(
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
        """Resume a task from its checkpoint, with a larger `budget`, or another `agent` or `model`,
        if they are given. A task that someone asks to resume does so although its account is
        closed. `consent`: see CreateRequest. `by_person`: a person answered the task's own
        question, and that is their consent. `accept`: a result that waits to be looked at is
        delivered.

        Raises:
            Conflict: it cannot be resumed ("not_resumable"); the error has a call that would work.
            UserFixable, EnvironmentFault: the agent is unknown or cannot be started here, the step
                does not use the task's model, or the budget is larger than the user's.
        """
        # Not an error: an assistant that asks twice, or after an automatic resume, gets what it
        # wanted.
        if task.status in RUNNING:
            return self._result("already_resuming", task, "it runs already")
        self._check_resumable(task, accept=accept)
        # A form that only a person sees is consent in itself, but over HTTP that person is not the
        # user of this machine.
        if not (by_person and caller.user is None):
            self._check_budget(caller, task, budget, consent)
        columns = self._changes(caller, task, budget, agent, model)
        # The attempt would pause again before its first step, after a sandbox was started for it.
        self._check_budget_left(task, columns)
        if when == "at_reset":
            message = left_to_itself(self.reader.view(task).pause, changes=bool(columns))
            return self._result("scheduled", task, message)
        return self._resume(caller, task, columns, accept=accept)

    def _resume(
        self, caller: Caller, task: TaskRow, columns: dict[str, Any], *, accept: bool
    ) -> ResumeResult:
        """Resume now. Of two calls at the same time one wins, and the other reports it."""
        control, store = self.reader.control, self.reader.store
        checkpoint = control.has_checkpoint(task)
        folders = TaskFolders(self.reader.settings.home, task.id, task.iteration)
        if accept:
            accept_result(task, folders)
        # A request to pause that the last attempt no longer read would stop the next one at once.
        folders.pause_request.unlink(missing_ok=True)
        # The agent's program may have been updated or moved since the last attempt.
        columns = self.agents.program_column(caller, task) | columns
        won = store.transitions.resume(task.id, caller.client_id, **columns)
        if won is None:
            # Read again: `task` is what it was before the other call.
            fresh = store.tasks.get(task.id) or task
            return self._result("already_resuming", fresh, "another call won")
        row, attempt = won
        control.enqueue(attempt)
        message = (
            "it continues from its checkpoint" if checkpoint else "it starts from the beginning"
        )
        message = ACCEPTED if accept else message
        return ResumeResult("resumed", self.reader.with_cautions(row), checkpoint, message)

    def _result(self, result: str, task: TaskRow, message: str) -> ResumeResult:
        checkpoint = self.reader.control.has_checkpoint(task)
        return ResumeResult(result, self.reader.view(task), checkpoint, message)

    def _check_resumable(self, task: TaskRow, *, accept: bool) -> None:
        """Check that the task can be resumed.

        Raises:
            Conflict: its status does not allow it, its result has to be looked at first, or it was
                cancelled and its sandbox is still being stopped.
        """
        if task.status not in RESUMABLE:
            raise self._not_resumable(task, f"a task that is {task.status} cannot be resumed")
        if task.status is TaskStatus.CANCELLED:
            # Two sandboxes would write to one work tree.
            self._check_has_ended(task)
        if task.links and task.links.after and task.started_at is None:
            # What it was to start from was never looked up, and what it waits for may not be done.
            again = NextAction(tool="create_task", arguments={}, why="create it again")
            why = "it was cancelled before the tasks that it waited for were completed"
            raise self._not_resumable(task, why, again)
        if (rebase := resolved_rebase(task)) and failed_by_judgement(task):
            why = "its answers were judged, and do not count; another task continues with the rest"
            raise self._not_resumable(task, why, resolve_again(rebase))
        if why := refused(task, accept=accept):
            raise self._not_resumable(task, why)

    def _check_has_ended(self, task: TaskRow) -> None:
        store = self.reader.store
        if store.events.of_kinds(task.id, [DELETING]):
            delete = NextAction(tool="delete_task", arguments={"task": task.id}, why="complete it")
            raise self._not_resumable(task, "its deletion has begun", delete)
        attempt = store.attempts.get(task.id, task.attempt)
        if attempt is not None and attempt.state in STARTED:
            why = "it is still being stopped; call resume_task again in a few seconds"
            raise self._not_resumable(task, why)

    def _not_resumable(self, task: TaskRow, why: str, call: NextAction | None = None) -> Conflict:
        """The error. Without a `call` it names the first action that resumes the task, else the
        first action."""
        if call is None:
            actions = self.reader.view(task).next_actions
            call = next((a for a in actions if a.tool == "resume_task"), actions[0])
        next_call = {"tool": call.tool, "arguments": call.arguments}
        return Conflict(why, code=NOT_RESUMABLE, next_call=next_call)

    def _check_budget(
        self, caller: Caller, task: TaskRow, budget: Budget | None, consent: str | None
    ) -> None:
        settings = self.reader.settings
        config, root = settings.home / "config.yaml", Path(task.project_path)
        wider = list(wider_budget(budget, settings, task.budget))
        check_consent(caller, config, root, wider, (), consent)

    def _check_budget_left(self, task: TaskRow, columns: dict[str, Any]) -> None:
        budget: Budget | None = columns.get("budget", task.budget)
        over = budget.used_up(spent(task.run_state)) if budget else None
        if not over:
            return
        most = self.reader.settings.budget
        ask = resume_action(replace(task, **columns), task.run_state, most)
        named = _named(ask)
        todo = f"call resume_task with {named}" if named else ask.why
        message = f"the budget is used up: {over}; {todo}"
        raise self._not_resumable(task, message, ask if named else None)

    def _changes(
        self,
        caller: Caller,
        task: TaskRow,
        budget: Budget | None,
        agent: str | None,
        model: str | None,
    ) -> dict[str, Any]:
        """The columns that change with what the call gives."""
        if agent is not None:
            agent = agent_named(agent, self.agents.inventory.known())
        columns = _larger_budget(task, budget) | self._other_agent(caller, task, agent)
        return columns | self._other_model(task, agent or task.agent, model)

    def _other_agent(self, caller: Caller, task: TaskRow, agent: str | None) -> dict[str, Any]:
        """The columns that let another agent continue; the task's other agents may still take over
        from it."""
        if agent is None or agent == task.agent:
            return {}
        root = Path(task.project_path)
        binary = self.agents.check_agent(caller, agent, task.engine or "auto", root)
        if NetworkPolicy.stored(task.network).mode is NetworkMode.NONE:
            check_needs_no_provider(agent)
        if missing := self.reader.control.cannot_sign_in(task, agent):
            raise UserFixable(
                f"{agent} cannot sign in, so nothing was changed: {missing}",
                code="cannot_sign_in",
                hint=f"rover login stores a key; or continue with {task.agent}",
                next_call={"tool": "get_status", "arguments": {}},
            )
        others = [a for a in task.agents or () if a != agent]
        return {
            "agent": agent,
            "agent_binary": str(binary) if binary else None,
            # The chosen one first: the list is in the order in which agents take over.
            "agents": [agent, *others] if others else None,
            # Another agent does not know the models of this one.
            "model": None,
        }

    def _other_model(self, task: TaskRow, agent: str, model: str | None) -> dict[str, Any]:
        """The columns that let an agent continue with another model."""
        if model is None or (agent == task.agent and model == task.model):
            return {}
        if not self.reader.control.uses_model(task, agent, model):
            raise UserFixable(
                f"{model} cannot be used, and nothing was changed: the workflow names the model of "
                "the step, or another agent for it",
                code="model_is_fixed",
                hint="resume_task without model; or a new task with another workflow",
            )
        others = [a for a in task.agents or () if a != agent]
        return {"model": model, "agents": [agent, *others] if others else None}


def _larger_budget(task: TaskRow, budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {}
    old = task.budget or Budget()
    # The call replaces the limits that it names. The other one stays, because leaving out a limit
    # is not asking for none.
    return {"budget": Budget(usd=budget.usd or old.usd, tokens=budget.tokens or old.tokens)}


def _named(action: NextAction) -> str:
    """The arguments other than the task, as a call writes them."""
    return ", ".join(
        f"{name}={value}" for name, value in action.arguments.items() if name != "task"
    )
