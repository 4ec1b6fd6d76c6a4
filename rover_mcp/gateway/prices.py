"""Computes what a model's tokens cost, by prices.yaml beside this file, which is read once."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from agent_runner.models import Usage
from rover_mcp.domain.model_rates import Rates

FILE = Path(__file__).with_name("prices.yaml")

# It does the same as SafeLoader in a tenth of the time; not every installation of PyYAML has it.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DOTTED = re.compile(r"(-\d)\.(\d)")
"""How other services write what Anthropic writes with a hyphen: claude-sonnet-4.5."""
_MAKERS = {"gemini": "google"}


class _PriceModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LongInputRates(Rates):
    """The rates of a call that has more input tokens than `input_tokens`. They apply to all of its
    tokens, not only to those beyond."""

    input_tokens: int


class Price(Rates):
    """One entry of the file."""

    model: str
    source: str
    over: tuple[LongInputRates, ...] = ()

    def of(self, input_tokens: int) -> Rates:
        """The rates for all tokens of a call with so many input tokens."""
        exceeded = [over for over in self.over if input_tokens > over.input_tokens]
        return max(exceeded, key=lambda over: over.input_tokens, default=self)


class PriceSource(_PriceModel):
    """Where figures come from, and the month up to which they were known to be so."""

    url: str
    date: str


class _PriceFile(_PriceModel):
    prefix: str
    suffix: str
    sources: dict[str, PriceSource]
    prices: dict[str, list[Price]]


@dataclass(frozen=True)
class PriceList:
    """Prices by provider and the beginning of a model's name."""

    prices: dict[str, list[Price]]
    sources: dict[str, PriceSource]
    prefix: re.Pattern[str]
    suffix: re.Pattern[str]
    own: Mapping[str, Mapping[str, Rates]] = field(default_factory=dict[str, Mapping[str, Rates]])
    """the user's prices, by provider and the full name of a model: they come first"""

    def models(self, provider: str) -> list[str]:
        """Models of a provider that have a price, the user's own first."""
        listed = (price.model for price in self.prices.get(provider, ()))
        return [*self.own.get(provider, {}), *listed]

    def with_own(self, own: Mapping[str, Mapping[str, Rates]]) -> PriceList:
        """The same with prices of the user's own."""
        return replace(self, own=own)

    def find(self, provider: str, model: str) -> Rates | None:
        """The user's price, or else that of the longest entry that fits the full name; None: the
        model has no price."""
        own = self.own.get(provider, {})
        if mine := own.get(model) or own.get(model.removeprefix("models/")):
            return mine
        maker, name = self._named(provider, model)
        fitting = [p for p in self.prices.get(maker, ()) if self._fits(p.model, name)]
        return max(fitting, key=lambda p: len(p.model), default=None)

    def _named(self, provider: str, model: str) -> tuple[str, str]:
        """Who made a model, and its name there: a service that passes calls on to several writes
        both into the name."""
        before = self.prefix.match(model)
        name = model[before.end() :] if before else model
        maker = (before and before["provider"]) or provider
        if maker == "anthropic":
            name = _DOTTED.sub(r"\1-\2", name)
        return _MAKERS.get(maker, maker), name

    def _fits(self, beginning: str, name: str) -> bool:
        if not name.startswith(beginning):
            return False
        rest = name[len(beginning) :]
        return not rest or self.suffix.fullmatch(rest) is not None

    def cost(
        self,
        provider: str,
        model: str | None,
        usage: Usage,
        cache_write_1h: int = 0,
        requested: str | None = None,
    ) -> float | None:
        """One call's cost in US dollars, by the price of the model that answered, or else of
        the one that was requested; None if neither has a price."""
        candidates = (self.find(provider, name) for name in (model, requested) if name)
        rates = next((rates for rates in candidates if rates is not None), None)
        if rates is None:
            return None
        read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        applies = rates.of(read) if isinstance(rates, Price) else rates
        return applies.cost(usage, cache_write_1h)


@functools.cache
def price_list(path: Path = FILE) -> PriceList:
    """The prices of this version."""
    raw: object = yaml.load(path.read_text("utf-8"), Loader=_LOADER)  # noqa: S506  # a SafeLoader
    file = _PriceFile.model_validate(raw)
    prefix, suffix = re.compile(file.prefix), re.compile(file.suffix)
    return PriceList(file.prices, file.sources, prefix, suffix)
