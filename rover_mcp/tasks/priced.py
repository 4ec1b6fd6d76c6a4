"""What is said beforehand of a budget in US dollars that could not be kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent_runner.models import Budget
from agent_runner.workflow.agents import agents_of
from agent_runner.workflow.models import Workflow
from rover_mcp.rates import price_line
from rover_mcp.tasks.pauses import printable
from rover_mcp.tasks.ports import AgentInventory


def price_warnings(
    workflow: Workflow | None,
    agents: Sequence[str],
    model: str | None,
    budget: Budget | None,
    inventory: AgentInventory,
) -> list[str]:
    """One for each model without a price that the task will ask for: it pauses there. `model` is
    the first agent's. One in tokens beside it can be kept."""
    if budget is None or budget.usd is None or budget.tokens is not None:
        return []
    pairs = [(agent, model if agent == agents[0] else None) for agent in agents]
    if workflow is not None:
        pairs = [used for agent, named in pairs for used in agents_of(workflow, agent, named)]
    missing = {found for used in pairs for found in inventory.unpriced(*used)}
    return [
        f"no price is known for {provider}'s {printable(name)}: the task will pause at its first "
        "call, as its budget in US dollars cannot be kept; give it a budget in tokens beside it, "
        "or write the price into config.yaml, in US dollars per million tokens: "
        f"{price_line(provider, name)}"
        for provider, name in sorted(missing)
    ]
