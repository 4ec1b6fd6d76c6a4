"""Computes what a call cost once it has ended in whatever way. Pure; no I/O.

A complete answer reports its own usage. A call that was cut, or whose answer reports none, is
estimated and never counted as free: the input from the request's size, the output from what a model
can have written in that time. Providers bill for an answer that its reader hung up on.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from agent_runner.models import Usage
from rover_mcp.gateway.call_estimate import CallEstimate
from rover_mcp.gateway.grant import ProviderAnswer
from rover_mcp.gateway.prices import PriceList
from rover_mcp.gateway.upstream import Progress


@dataclass(frozen=True)
class FinalUsage:
    """The end of a call. `usage` is None if the call cost nothing."""

    usage: Usage | None
    estimated: bool = False


def final_usage(
    answer: ProviderAnswer,
    demand: CallEstimate,
    progress: Progress,
    seconds: float,
    prices: PriceList,
) -> FinalUsage:
    """Compute the usage of a call that has ended after so many seconds."""
    if not progress.sent:
        return FinalUsage(None)
    # Providers do not bill for an answer that is an error.
    if answer.status is not None and answer.status >= HTTPStatus.BAD_REQUEST:
        return FinalUsage(None)
    if progress.complete and (answer.usage is not None or answer.error is not None):
        return FinalUsage(answer.usage)
    written = demand.written_by(seconds, progress.received)
    model = answer.model or demand.model
    usage = estimate(answer.usage, demand, written, answer.provider, model, prices)
    return FinalUsage(usage, estimated=True)


def estimate(
    reported: Usage | None,
    demand: CallEstimate,
    written: int,
    provider: str,
    model: str,
    prices: PriceList,
) -> Usage:
    """Complete the usage that a cut answer reported, so that it is at least what was consumed."""
    known = reported or Usage()
    usage = known.model_copy(
        update={
            "input_tokens": known.input_tokens if reported else demand.input_tokens,
            "output_tokens": max(known.output_tokens, written),
        }
    )
    costs = (known.cost_usd, prices.cost(provider, model, usage, requested=demand.model))
    return usage.model_copy(
        update={"cost_usd": max((cost for cost in costs if cost is not None), default=None)}
    )
