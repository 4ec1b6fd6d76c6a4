"""What a model's tokens cost, as numbers. Pure."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, Field

from agent_runner.models import Usage

_MILLION = 1_000_000


def price_line(provider: str, model: str) -> str:
    """The line of config.yaml that gives a model a price. The model's name may come from an
    agent."""
    return f"prices: {{{provider}: {{{json.dumps(model)}: {{input: INPUT, output: OUTPUT}}}}}}"


# Providers bill what is read from a cache at a fraction of the price, and what is written at more.
class Rates(BaseModel):
    """US dollars per million tokens. A cache rate that is not given is the same as `input`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    input: float = Field(ge=0, allow_inf_nan=False)
    """what the model reads"""
    output: float = Field(ge=0, allow_inf_nan=False)
    """what it writes, its thinking included"""
    cache_read: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """what it reads from the cache"""
    cache_write: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """what it writes to the cache"""
    cache_write_1h: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """what it writes to the cache for an hour"""

    def cost(self, usage: Usage, cache_write_1h: int) -> float:
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        write_1h = write if self.cache_write_1h is None else self.cache_write_1h
        longer = min(cache_write_1h, usage.cache_write_tokens)
        return (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_tokens * read
            + (usage.cache_write_tokens - longer) * write
            + longer * write_1h
        ) / _MILLION
