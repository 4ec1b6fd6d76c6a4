"""What a model's tokens cost, by prices.yaml beside this file. Pure but for reading that once."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from agent_runner.models import Usage

FILE = Path(__file__).with_name("prices.yaml")
_MILLION = 1_000_000


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rates(_Model):
    """US dollars per million tokens. Where no rate for the cache is named, it is as input."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None

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


class Over(Rates):
    """What applies to a whole call with more input tokens than this."""

    input_tokens: int


class Price(Rates):
    """One entry of the file."""

    model: str
    source: str
    over: Over | None = None


class Source(_Model):
    """Where figures come from, and the month up to which they were known to be so."""

    url: str
    date: str


class _File(_Model):
    suffix: str
    sources: dict[str, Source]
    prices: dict[str, list[Price]]


@dataclass(frozen=True)
class PriceList:
    """Prices by provider and the beginning of a model's name."""

    prices: dict[str, list[Price]]
    sources: dict[str, Source]
    suffix: re.Pattern[str]

    def find(self, provider: str, model: str) -> Price | None:
        """The longest entry that fits the whole name; None: it has no price."""
        name = model.removeprefix("models/")
        fitting = [p for p in self.prices.get(provider, ()) if self._fits(p.model, name)]
        return max(fitting, key=lambda p: len(p.model), default=None)

    def _fits(self, beginning: str, name: str) -> bool:
        if not name.startswith(beginning):
            return False
        rest = name[len(beginning) :]
        return not rest or self.suffix.fullmatch(rest) is not None

    def cost(
        self, provider: str, model: str | None, usage: Usage, cache_write_1h: int = 0
    ) -> float | None:
        """One call's cost in US dollars; None where the model has no price."""
        price = self.find(provider, model) if model else None
        if price is None:
            return None
        read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        rates = price.over if price.over and read > price.over.input_tokens else price
        return rates.cost(usage, cache_write_1h)


@functools.cache
def price_list(path: Path = FILE) -> PriceList:
    """The prices of this version."""
    raw: object = yaml.safe_load(path.read_text("utf-8"))
    file = _File.model_validate(raw)
    return PriceList(file.prices, file.sources, re.compile(file.suffix))
