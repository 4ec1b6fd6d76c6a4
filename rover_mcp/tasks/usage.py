"""Combines two accounts of a task's calls: the agents' own and the gateway's. The gateway counts
the calls itself; the agents know prices that the gateway may not know. So the larger figure counts,
for tokens and for money separately, and never the sum."""

from __future__ import annotations

from collections.abc import Sequence

from agent_runner.models import RunState, Usage
from rover_mcp.domain.iteration import with_earlier
from rover_mcp.store.records import ModelUse
from rover_mcp.store.store import Store


def total(uses: Sequence[ModelUse]) -> Usage:
    """All models together; the cost includes only those with a price."""
    usage = Usage()
    for use in uses:
        usage = usage.plus(use.usage)
    return usage


def larger(one: Usage, other: Usage) -> Usage:
    """The account with more tokens, and with the larger of both costs."""
    # Both count the same calls, so a sum would count each of them twice.
    tokens = one if one.tokens >= other.tokens else other
    costs = [u.cost_usd for u in (one, other) if u.cost_usd is not None]
    return tokens.model_copy(update={"cost_usd": max(costs, default=None)})


def with_usage(state: RunState, uses: Sequence[ModelUse]) -> RunState:
    """A run's state with the gateway's figures, and warnings about what these do not contain."""
    if not uses:
        return state
    seen = total(uses)
    by_agent = (state.usage.cost_usd or 0.0) > (seen.cost_usd or 0.0)
    return state.model_copy(
        update={
            "usage": larger(state.usage, seen),
            "warnings": [*state.warnings, *unknowns(uses, by_agent=by_agent)],
        }
    )


def state_with_usage(store: Store, task_id: str, state: RunState | None) -> RunState | None:
    """The state of a running task, with what the gateway recorded and earlier iterations used."""
    if state is None:
        return None
    task = store.tasks.get(task_id)
    state = with_earlier(state, task.iteration_input if task else None)
    return with_usage(state, store.usage.by_model(task_id))


def unknowns(uses: Sequence[ModelUse], *, by_agent: bool = False) -> list[str]:
    """Warnings about models without a price, and about answers that did not say what they cost.
    `by_agent`: the cost that counts is the agent's own figure."""
    warnings: list[str] = []
    for use in uses:
        name = f"{use.provider}'s {use.model}" if use.model else f"a model of {use.provider}"
        if use.estimated:
            warnings.append(
                f"{use.estimated} answers of {name} were cut off or reported no count: "
                "their usage is estimated"
            )
        if use.usage.cost_usd is not None:
            continue
        if use.usage.tokens:
            counted = "what the agent says counts for" if by_agent else "the cost is without"
            warnings.append(
                f"there is no price for {name}: {counted} its {use.usage.tokens:,} tokens"
            )
        elif use.calls > use.estimated:
            warnings.append(f"{use.calls} answers of {name} reported no token count")
    return warnings
