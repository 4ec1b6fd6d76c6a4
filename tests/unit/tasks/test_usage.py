"""Two accounts of the same calls make one figure."""

from __future__ import annotations

import pytest

from agent_runner.models import RunState, Usage
from rover_mcp.store.records import ModelUse
from rover_mcp.tasks.usage import larger, with_usage


def use(model: str = "gpt-5", calls: int = 1, **usage: object) -> ModelUse:
    return ModelUse("openai", model, calls, Usage.model_validate(usage))


@pytest.mark.parametrize(
    ("agent", "gateway", "cost", "tokens"),
    [
        ({"input_tokens": 5, "cost_usd": 0.2}, {"input_tokens": 7, "cost_usd": 0.1}, 0.2, 7),
        ({"input_tokens": 5, "cost_usd": None}, {"input_tokens": 3, "cost_usd": 0.1}, 0.1, 5),
        ({"input_tokens": 5, "cost_usd": 0.2}, {"input_tokens": 7, "cost_usd": None}, 0.2, 7),
        ({}, {"input_tokens": 7}, None, 7),
    ],
)
def test_the_larger_counts_and_never_both(
    agent: dict[str, object], gateway: dict[str, object], cost: float | None, tokens: int
) -> None:
    one, other = Usage.model_validate(agent), Usage.model_validate(gateway)
    assert larger(one, other) == larger(other, one)
    assert (larger(one, other).cost_usd, larger(one, other).tokens) == (cost, tokens)


def test_what_has_no_price_is_said_to_have_none() -> None:
    """And an answer that told no count."""
    state = RunState(warnings=["earlier"])
    uses = [
        use(input_tokens=1000, cost_usd=0.5),
        use("gpt-99", input_tokens=1200),
        use("qwen", calls=3),
        use("", input_tokens=5),
    ]
    told = with_usage(state, uses)
    assert told.usage == Usage(input_tokens=2205, cost_usd=0.5)
    assert told.warnings == [
        "earlier",
        "there is no price for openai's gpt-99: the cost is without its 1,200 tokens",
        "3 answers of openai's qwen reported no token count",
        "there is no price for a model of openai: the cost is without its 5 tokens",
    ]
    assert state.warnings == ["earlier"]
    assert with_usage(state, []) is state


def test_an_agents_own_figure_stands_in_for_a_price() -> None:
    """Claude tells what it cost; that counts against the budget, and is said to."""
    state = RunState(usage=Usage(input_tokens=900, cost_usd=0.25))
    told = with_usage(state, [use("gpt-99", input_tokens=1200)])
    assert told.usage == Usage(input_tokens=1200, cost_usd=0.25)
    assert told.warnings == [
        "there is no price for openai's gpt-99: what the agent says counts for its 1,200 tokens"
    ]
