"""Which agent does a step, with which model. Pure."""

from __future__ import annotations

from agent_runner.agents import SCRIPTED
from agent_runner.workflow.models import AgentStep, Workflow, walk


def step_agent(step: AgentStep, agent: str) -> str:
    """Whose step it is, in a run of `agent`. The scripted agent plays every part: it is there to
    cost nothing."""
    return agent if agent == SCRIPTED else (step.tool or agent)


def step_model(step: AgentStep, agent: str, model: str | None, workflow: Workflow) -> str | None:
    """The model, if one is named for this agent: the step's, the task's, the workflow's."""
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
