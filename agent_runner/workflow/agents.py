"""Decides which agent does a step, with which model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent_runner.models import SCRIPTED
from agent_runner.workflow.conditions import Values
from agent_runner.workflow.models import AgentStep, LoopStep, ParallelStep, Step, Workflow, walk
from agent_runner.workflow.templates import Renderer


def chosen(workflow: Workflow, given: Mapping[str, str]) -> Workflow:
    """The workflow with the agents and models that the task's inputs name. If the input is empty,
    the step names none."""
    inputs = {i.name: i.default for i in workflow.inputs if i.default is not None} | {**given}
    values, renderer = Values(inputs, {}), Renderer({}, warn=lambda message: None)

    def named(text: str | None) -> str | None:
        return (renderer.text(text, values).strip() or None) if text else None

    def step_of(step: Step) -> Step:
        if isinstance(step, AgentStep):
            return replace(step, tool=named(step.tool), model=named(step.model))
        if isinstance(step, LoopStep | ParallelStep):
            return replace(step, steps=tuple(map(step_of, step.steps)))
        return step

    return replace(workflow, steps=tuple(map(step_of, workflow.steps)))


def step_agent(step: AgentStep, agent: str) -> str:
    """The agent that does a step in a run of `agent`. The scripted agent does every step, because
    a run with it must cost nothing."""
    return agent if agent == SCRIPTED else (step.tool or agent)


def step_model(step: AgentStep, agent: str, model: str | None, workflow: Workflow) -> str | None:
    """The model of a step, if one is named for its agent: the step's, the task's, the
    workflow's."""
    if step.model:
        return step.model
    name = step_agent(step, agent)
    if name == agent and model:
        return model
    return workflow.defaults.model if workflow.defaults.tool in (None, name) else None


def agents_of(
    workflow: Workflow, agent: str, model: str | None
) -> frozenset[tuple[str, str | None]]:
    """Every agent that a run of `agent` needs, with each model that it is given."""
    return frozenset(
        (step_agent(step, agent), step_model(step, agent, model, workflow))
        for step, _ in walk(workflow.steps)
        if isinstance(step, AgentStep)
    )
