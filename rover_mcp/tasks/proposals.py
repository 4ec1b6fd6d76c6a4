"""Which other agents and models a paused task could continue with while its account is closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from agent_runner.agents import agent_provider
from agent_runner.classify.scope import canonical_model, models_of_vendor
from rover_mcp.config.settings import Settings
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.options import DEFAULT_AGENT
from rover_mcp.tasks.task_ports import AgentInventory, Control

MOST_MODELS = 3
"""How many other models are proposed at a pause."""
MOST_TRIED = 20
"""How many of the models are tried that a service says it serves."""


@dataclass(frozen=True)
class Proposals:
    """What is proposed to a person at a pause."""

    settings: Settings
    inventory: AgentInventory
    control: Control

    def known(self) -> tuple[str, ...]:
        """All agents for which Rover can find out whether they can take over, which it cannot for
        an agent that signs in on its own."""
        return tuple(a for a in self.inventory.known() if agent_provider(a))

    def agents(self, task: TaskRow) -> tuple[str, ...]:
        """Agents that could take over now."""
        return tuple(
            agent
            for agent in self.known()
            if self.inventory.program(agent, None).source != "image"
            and self.control.can_take_over(task, agent)
        )

    def models(self, task: TaskRow) -> tuple[str, ...]:
        """Models that the task's agent could continue with, where the limit of one model is reached
        and the account is not closed."""
        return tuple(islice(self._models(task), MOST_MODELS))

    def _models(self, task: TaskRow) -> Iterator[str]:
        """Of several names for one model, only the first is returned."""
        closed = task.pause.model if task.pause else None
        if closed is None:
            return
        # The user's own `model` is meant for their first agent; another agent does not know it.
        first = (*self.settings.agents, DEFAULT_AGENT)[0]
        own = self.settings.model if task.agent == first else None
        seen = {closed}
        own_api = self.control.asks_provider(task)
        served = (
            ()
            if own_api
            else models_of_vendor(task.model or closed, self.control.served_models(task))
        )
        named = self.inventory.models(task.agent, own_api=own_api)
        for model in (own, *named, *served[:MOST_TRIED]):
            if model is None or canonical_model(model) in seen:
                continue
            seen.add(canonical_model(model))
            takes = self.control.uses_model(task, task.agent, model)
            if takes and self.control.can_take_over(task, task.agent, model):
                yield model
