"""Reads from a request what it can cost at most. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_runner.models import Usage
from rover_mcp.gateway.prices import PriceList
from rover_mcp.gateway.response_formats import mapping

MOST_OUTPUT = 128_000
"""The most tokens that a model writes if the request names no limit."""

BYTES_PER_TOKEN = 3
"""Of a request. It is mostly program text, of which a token has three to four."""

LEAST_THINKING = 1024
"""Tokens. Anthropic takes no smaller `budget_tokens`, and only one below `max_tokens`."""

TOKENS_PER_SECOND = 100
STREAMED_BYTES_PER_TOKEN = 16
"""The output of an answer that was cut before it reported its tokens is estimated by time and by
bytes, and the larger of both counts. In a stream each few tokens come in an envelope of JSON."""


@dataclass(frozen=True)
class CallEstimate:
    """One call. `most_output` are the tokens that all its answers together can have, `input_tokens`
    what its text comes to. `unaccountable`: why its cost could not be known afterwards."""

    model: str
    input_tokens: int
    most_output: int = MOST_OUTPUT
    unaccountable: str = ""

    def worst(self) -> Usage:
        """The most that it can use. The input may be written into the cache, which costs most."""
        return Usage(cache_write_tokens=self.input_tokens, output_tokens=self.most_output)

    def worst_cost(self, prices: PriceList, provider: str) -> float | None:
        """The cost of the most that it can use; None: the model has no price."""
        return prices.cost(provider, self.model, self.worst(), self.input_tokens)

    def written_by(self, seconds: float, received: int) -> int:
        """How many tokens a model wrote of an answer that was cut."""
        guess = max(seconds * TOKENS_PER_SECOND, received / STREAMED_BYTES_PER_TOKEN)
        return min(self.most_output, max(1, round(guess)))


def estimate_unread_call(model: str, size: int) -> CallEstimate:
    """Estimate a call whose request of so many bytes was passed on unread."""
    return CallEstimate(model, size // BYTES_PER_TOKEN + 1)


def estimate_call(path: str, model: str, body: Mapping[str, Any], size: int) -> CallEstimate:
    """Estimate a call whose request was read. `path` is below the provider's base address."""
    return CallEstimate(
        model=model,
        input_tokens=size // BYTES_PER_TOKEN + 1,
        most_output=_most_output(path, body),
        unaccountable=_unaccountable(body),
    )


def _most_output(path: str, body: Mapping[str, Any]) -> int:
    limits, answers = _limits(path, body)
    most = max(_count(limit) for limit in limits) or MOST_OUTPUT
    return most * max(1, *(_count(number) for number in answers))


def _limits(path: str, body: Mapping[str, Any]) -> tuple[Sequence[object], Sequence[object]]:
    """The limits of one answer that an API knows, and how many answers are asked for."""
    if path.endswith("/messages"):
        return (body.get("max_tokens"),), (1,)
    if path.endswith("/chat/completions"):
        return (body.get("max_tokens"), body.get("max_completion_tokens")), (body.get("n"),)
    if "/responses" in path:
        return (body.get("max_output_tokens"),), (1,)
    both = [mapping(body.get(name)) for name in ("generationConfig", "generation_config")]
    return (
        [config.get(name) for name in ("maxOutputTokens", "max_output_tokens") for config in both],
        [config.get(name) for name in ("candidateCount", "candidate_count") for config in both],
    )


def takes_limit(path: str, body: Mapping[str, Any]) -> bool:
    """Whether a limit of the output can be put into a call, whoever serves it: Anthropic's and
    Google's APIs have one, and others that which the agent names."""
    if path.endswith("/chat/completions") or "/responses" in path:
        return any(_count(limit) for limit in _limits(path, body)[0])
    return True


def with_output_limit(path: str, body: dict[str, Any], most: int, *, add: bool) -> dict[str, Any]:
    """The body, asking for so many tokens of output at most in all its answers. `add`: also where
    it names no limit; not each service that speaks OpenAI's APIs takes one."""
    if path.endswith("/messages"):
        thinking = mapping(body.get("thinking"))
        if _count(thinking.get("budget_tokens")) > most - LEAST_THINKING:
            thinking = {**thinking, "budget_tokens": max(LEAST_THINKING, most - LEAST_THINKING)}
            body = {**body, "thinking": thinking}
        return _lowered(body, ("max_tokens",), most, add=True)
    if path.endswith("/chat/completions"):
        names = [n for n in ("max_tokens", "max_completion_tokens") if _count(body.get(n))]
        each = most // max(1, _count(body.get("n")))
        return _lowered(body, names or ("max_completion_tokens",), each, add=add)
    if "/responses" in path:
        return _lowered(body, ("max_output_tokens",), most, add=add)
    snake = "generation_config" in body
    place, name = (
        ("generation_config", "max_output_tokens")
        if snake
        else ("generationConfig", "maxOutputTokens")
    )
    config = mapping(body.get(place))
    each = most // max(1, _count(config.get("candidate_count" if snake else "candidateCount")))
    return {**body, place: _lowered(config, (name,), each, add=True)}


def _lowered(
    body: Mapping[str, Any], names: Sequence[str], most: int, *, add: bool
) -> dict[str, Any]:
    """Return the body with its limits lowered to `most`."""
    named = {name: _count(body.get(name)) for name in names}
    new = {name: min(limit or most, max(1, most)) for name, limit in named.items() if limit or add}
    return {**body, **new}


def _count(value: object) -> int:
    """Return a positive integer as it is, anything else as 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _unaccountable(body: Mapping[str, Any]) -> str:
    if body.get("background") not in (None, False):
        return "background: a call that outlives its request reports no token count"
    if body.get("service_tier") == "priority" or body.get("serviceTier") == "priority":
        return "service_tier: priority has another price than the one that is known"
    if body.get("speed") not in (None, "standard"):
        return "speed: anything but standard has another price than the one that is known"
    return ""


def with_counts(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Make a streamed call of OpenAI's Chat API ask for the token counts at the stream's end.

    The other APIs report theirs unasked.
    """
    if not path.endswith("/chat/completions") or not body.get("stream"):
        return body
    options = {**mapping(body.get("stream_options")), "include_usage": True}
    return {**body, "stream_options": options}
