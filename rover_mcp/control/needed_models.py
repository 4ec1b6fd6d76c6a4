"""The models that a task's agents need, by its workflow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent_runner.classify.scope import canonical_model
from agent_runner.models import Pause
from agent_runner.workflow.agents import agents_of, chosen, step_agent, step_model
from agent_runner.workflow.loader import WorkflowError, load_workflow
from agent_runner.workflow.models import AgentStep, Workflow, walk
from rover_mcp.control.accounts import Need
from rover_mcp.control.sandbox_spec import own_model
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.store.records import TaskRow


def need_of(home: Path, task: TaskRow, agent: str) -> Need:
    """What an agent of a task needs of an account: the model of its steps, if that is one, and the
    model that its pause waits for. If the steps have several models, each is tried when its step
    comes: one closed model must not stop the steps before it."""
    given = _given(home, task, agent)
    named = [model for model in given if model is not None]
    models = {canonical_model(model) for model in named} if len(given) == 1 else set[str]()
    if task.pause is not None and task.pause.model is not None and task.agent == agent:
        models.add(task.pause.model)
    return Need(frozenset(models), agent if given and not named else None)


def chose_itself(home: Path, task: TaskRow, pause: Pause) -> str | None:
    """The agent of the step that paused, if no setting named its model."""
    workflow = _workflow(home, task)
    steps = walk(workflow.steps) if workflow else ()
    for step, _ in steps:
        if isinstance(step, AgentStep) and step.id == pause.step and workflow:
            named = step_model(step, task.agent, own_model(task), workflow)
            return None if named else step_agent(step, task.agent)
    return None


def uses_model(home: Path, task: TaskRow, agent: str, model: str) -> bool:
    """Whether the step that paused, or any step if that is not known, uses the model that the task
    gives to this agent."""
    workflow = _workflow(home, task)
    if workflow is None:
        return True
    steps = [step for step, _ in walk(workflow.steps) if isinstance(step, AgentStep)]
    paused = [step for step in steps if task.pause is not None and step.id == task.pause.step]
    return any(
        step_agent(step, agent) == agent and step_model(step, agent, model, workflow) == model
        for step in paused or steps
    )


def _given(home: Path, task: TaskRow, agent: str) -> frozenset[str | None]:
    model = own_model(replace(task, agent=agent))
    workflow = _workflow(home, task)
    if workflow is None:
        return frozenset({model})
    used = agents_of(workflow, agent, model)
    return frozenset(named for name, named in used if name == agent)


def _workflow(home: Path, task: TaskRow) -> Workflow | None:
    """The task's workflow; None if it cannot be read, which the runner reports."""
    try:
        path = TaskFolders(home, task.id, task.iteration).input / "workflow.yaml"
        return chosen(load_workflow(path), task.inputs)
    except (OSError, WorkflowError):
        return None
