"""What a model's tokens cost, by prices.yaml beside this file. Pure but for reading that once."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from agent_runner.models import Usage
from rover_mcp.rates import Rates

FILE = Path(__file__).with_name("prices.yaml")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    own: Mapping[str, Mapping[str, Rates]] = field(default_factory=dict[str, Mapping[str, Rates]])
    """the user's, by provider and the whole name of a model: they come first"""

    def with_own(self, own: Mapping[str, Mapping[str, Rates]]) -> PriceList:
        """The same with prices of the user's own."""
        return replace(self, own=own)

    def find(self, provider: str, model: str) -> Rates | None:
        """The user's price, else the longest entry that fits the whole name; None: it has no
        price."""
        name = model.removeprefix("models/")
        if mine := self.own.get(provider, {}).get(name):
            return mine
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
        rates = self.find(provider, model) if model else None
        if rates is None:
            return None
        read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        if isinstance(rates, Price) and rates.over and read > rates.over.input_tokens:
            rates = rates.over
        return rates.cost(usage, cache_write_1h)


@functools.cache
def price_list(path: Path = FILE) -> PriceList:
    """The prices of this version."""
    raw: object = yaml.safe_load(path.read_text("utf-8"))
    file = _File.model_validate(raw)
    return PriceList(file.prices, file.sources, re.compile(file.suffix))
