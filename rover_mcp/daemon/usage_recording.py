"""Writes the usage that the gateway saw into the store, and reads what is left of a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from agent_runner.models import Usage
from rover_mcp.gateway.call_estimate import CallEstimate
from rover_mcp.gateway.call_outcome import estimate
from rover_mcp.gateway.grant import BudgetState, Reserved, UsageEntry
from rover_mcp.gateway.prices import PriceList
from rover_mcp.store.records import CallRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.pause_view import spent
from rover_mcp.tasks.usage import larger


def write_entries(store: Store, entries: Sequence[UsageEntry]) -> None:
    """Write the usage of answers. A later entry for an answer replaces the earlier one."""
    store.usage.write([_row(entry) for entry in entries])


def over_budget(store: Store, task_id: str) -> str | None:
    """What the task has used up of its budget; None if there is something left, or no budget."""
    standing = budget_state_of(store, task_id)
    return standing.over if standing else None


def budget_state_of(store: Store, task_id: str) -> BudgetState | None:
    """The task's budget and what was spent of it; None if it has none."""
    task = store.tasks.get(task_id)
    if task is None or task.budget is None:
        return None
    known = larger(spent(task.run_state), store.usage.spent(task_id))
    return BudgetState(task.budget, known, task.budget.used_up(known))


def estimate_cut_calls(store: Store, task_id: str, prices: PriceList, now: float) -> None:
    """Estimate the calls that were under way when the daemon that made them was killed. Each has
    one record, before and after. It was cut when that daemon ended, so it can have used at most
    what a call could use until now."""
    left = store.usage.on_their_way(task_id)
    store.usage.write([_estimated(call, prices, now) for call in left])


def _estimated(call: CallRow, prices: PriceList, now: float) -> CallRow:
    reserved = Reserved(**(call.reserved or {"input_tokens": 0, "output_tokens": 0}))
    demand = CallEstimate(call.model, reserved.input_tokens, reserved.output_tokens)
    reported = Usage(
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cache_read_tokens=call.cache_read_tokens,
        cache_write_tokens=call.cache_write_tokens,
        cost_usd=call.cost_usd,
    )
    written = demand.written_by(max(0.0, now - call.at), 0)
    known = reported if reported.tokens else None
    usage = estimate(known, demand, written, call.provider, call.model, prices)
    return replace(
        call,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=usage.cost_usd,
        reserved=None,
        estimated=1,
    )


def _row(entry: UsageEntry) -> CallRow:
    usage = entry.usage
    return CallRow(
        task_id=entry.task_id,
        id=entry.id,
        attempt=entry.attempt,
        at=entry.at.timestamp(),
        provider=entry.provider,
        model=entry.model,
        calls=entry.calls,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_usd=usage.cost_usd,
        reserved=asdict(entry.reserved) if entry.reserved else None,
        estimated=int(entry.estimated),
    )
