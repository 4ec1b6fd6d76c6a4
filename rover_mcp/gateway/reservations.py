"""Reserves what the concurrent calls of one task may still cost, against its budget.

A call is forwarded if its highest possible cost fits beside what was spent and what the others
can cost. One that does not fit waits until the others have ended and their cost is known; then it
is forwarded alone, and may write as much as the rest of the budget pays for. So a budget is
exceeded by one call's input and a short answer at most, however many calls run at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent_runner.models import Budget, Usage
from rover_mcp.domain.model_rates import price_line
from rover_mcp.gateway.call_estimate import CallEstimate
from rover_mcp.gateway.grant import BudgetState
from rover_mcp.gateway.prices import PriceList

MILLION = 1_000_000
LEAST_OUTPUT = 2048
"""Tokens of output that a forwarded call may write, however little is left: an agent can do nothing
with an answer of a few words, and pays its input again at the next call."""


@dataclass(frozen=True)
class WorstCase:
    """The most that a call can use. `usd` is None if its model has no price."""

    tokens: int
    usd: float | None


@dataclass(frozen=True)
class Reservation:
    """A call that may be forwarded, with so many tokens of output at most."""

    most_output: int


@dataclass(frozen=True)
class NoBudget:
    """Why a call is not forwarded, in the words of the pause that follows. `used_up`: nothing is
    left; otherwise the budget cannot be kept."""

    why: str
    used_up: bool = True


def worst_case_of(demand: CallEstimate, provider: str, prices: PriceList) -> WorstCase:
    """What has to be reserved for a call."""
    return WorstCase(demand.input_tokens + demand.most_output, demand.worst_cost(prices, provider))


def cannot_be_kept(
    budget: Budget, demand: CallEstimate, worst: WorstCase, provider: str
) -> str | None:
    """Why a budget in US dollars cannot be kept for a call. One in tokens beside it can be, for a
    model without a price."""
    if budget.usd is None:
        return None
    if worst.usd is None and budget.tokens is None:
        name = demand.model[:100]
        model = f"{provider}'s {name}" if name else f"a model of {provider}"
        return (
            f"no price is known for {model}; give the task a budget in tokens (resume_task with "
            "budget_tokens), or write the price into config.yaml, in US dollars per million "
            f"tokens: {price_line(provider, name or 'MODEL')}"
        )
    return None


def affordable(
    budget_state: BudgetState, demand: CallEstimate, provider: str, prices: PriceList
) -> int:
    """How many tokens of output what is left pays for, if the input comes from the cache: more
    than that would exceed the budget for certain. At least what an answer needs to be of use."""
    budget, spent = budget_state.budget, budget_state.spent
    limits = [demand.most_output]
    if budget.tokens is not None:
        limits.append(budget.tokens - spent.tokens - demand.input_tokens)
    # From the cache, because that is the cheapest: what this allows may still cost more.
    read = Usage(cache_read_tokens=demand.input_tokens)
    least = prices.cost(provider, demand.model, read)
    most = prices.cost(provider, demand.model, read.model_copy(update={"output_tokens": MILLION}))
    if budget.usd is not None and least is not None and most is not None and most > least:
        left = budget.usd - (spent.cost_usd or 0.0) - least
        limits.append(int(left * MILLION / (most - least)))
    return min(demand.most_output, max(LEAST_OUTPUT, min(limits)))


def fits(budget_state: BudgetState, others: list[WorstCase], wanted: WorstCase) -> bool:
    """Whether a call fits into the budget beside the others."""
    calls = [*others, wanted]
    budget, spent = budget_state.budget, budget_state.spent
    usd = (spent.cost_usd or 0.0) + sum(call.usd or 0.0 for call in calls)
    tokens = spent.tokens + sum(call.tokens for call in calls)
    within_usd = budget.usd is None or usd <= budget.usd
    return within_usd and (budget.tokens is None or tokens <= budget.tokens)


class Reservations:
    """The reservations of one attempt, on one event loop. `read` returns what is spent by now."""

    def __init__(self, read: Callable[[], Awaitable[BudgetState | None]]) -> None:
        self._read = read
        self._held: list[WorstCase] = []
        self._releases = 0
        self._released = asyncio.Event()
        self._turn = asyncio.Lock()

    async def hold(
        self, demand: CallEstimate, worst: WorstCase, provider: str, prices: PriceList
    ) -> NoBudget | Reservation:
        """Reserve a call in its turn; `release` it once a granted call has ended."""
        # In turn: two calls that read the same state would both be forwarded, although only one of
        # them fits.
        async with self._turn:
            while True:
                releases = self._releases
                budget_state = await self._read()
                if budget_state and budget_state.over:
                    return NoBudget(budget_state.over)
                if budget_state and (
                    why := cannot_be_kept(budget_state.budget, demand, worst, provider)
                ):
                    return NoBudget(why, used_up=False)
                if releases != self._releases:
                    continue  # a call was released since: its cost is in neither number
                if budget_state is None or fits(budget_state, self._held, worst):
                    self._held.append(worst)
                    return Reservation(demand.most_output)
                if not self._held:
                    self._held.append(worst)
                    return Reservation(affordable(budget_state, demand, provider, prices))
                self._released.clear()
                await self._released.wait()

    def release(self, worst: WorstCase) -> None:
        """Note that a call has ended, and that its cost is in the store."""
        self._held.remove(worst)
        self._releases += 1
        self._released.set()
