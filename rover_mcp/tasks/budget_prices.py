"""Refuses a budget in US dollars that could not be kept before the task is created. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent_runner.models import Budget
from agent_runner.workflow.agents import agents_of
from agent_runner.workflow.models import Workflow
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.model_rates import price_line
from rover_mcp.tasks.pause_view import NO_PRICE, TOKENS_OFFERED
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.task_ports import AgentInventory


# The gateway can only count in US dollars what it has a price for. A budget that it cannot keep
# would look like a limit and be none.
def check_prices(
    workflow: Workflow | None,
    agents: Sequence[str],
    model: str | None,
    budget: Budget | None,
    inventory: AgentInventory,
) -> list[str]:
    """Warnings about each model without a price that the task can use, where a budget in tokens
    limits it all the same. `model` is the first agent's.

    Raises:
        UserFixable: the only budget is in US dollars, which nothing could enforce ("no_price").
    """
    if budget is None or budget.usd is None:
        return []
    missing = _unpriced(workflow, agents, model, inventory)
    if missing and budget.tokens is None:
        raise _refusal(missing, budget.usd)
    return [
        f"{NO_PRICE} {provider}'s {printable(name)}: the budget in US dollars counts only what the "
        f"agent itself says that it costs; the one in tokens ({budget.tokens:,}) holds"
        for provider, name in missing
    ]


def _unpriced(
    workflow: Workflow | None, agents: Sequence[str], model: str | None, inventory: AgentInventory
) -> list[tuple[str, str]]:
    pairs = [(agent, model if agent == agents[0] else None) for agent in agents]
    if workflow is not None:
        pairs = [used for agent, named in pairs for used in agents_of(workflow, agent, named)]
    return sorted({unpriced for used in pairs for unpriced in inventory.unpriced(*used)})


def _refusal(missing: Sequence[tuple[str, str]], usd: float) -> UserFixable:
    models = " and ".join(f"{provider}'s {printable(name)}" for provider, name in missing)
    lines = "; ".join(price_line(*model) for model in missing)
    return UserFixable(
        f"{NO_PRICE} {models}: a budget of {usd:g} US dollars cannot be kept, so no task was "
        "created",
        hint=f"give it a budget in tokens beside it, for instance budget_tokens {TOKENS_OFFERED}; "
        f"or write the price into config.yaml, in US dollars per million tokens: {lines}",
        instead={"budget_tokens": TOKENS_OFFERED},
        code="no_price",
    )
