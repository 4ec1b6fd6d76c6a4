"""Finds the model that a limit is for, if the limit is not for the whole account. Pure.

A limit counts as a model's only if the model that it names is the one that was asked for, as far as
that is known: what a provider repeats of a request never closes another model. The regular
expressions are linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from agent_runner.classify.failure_facts import FailureFacts, cut, mapping
from agent_runner.models import Failure, PauseReason

LIMITS = frozenset({PauseReason.RATE_LIMIT, PauseReason.USAGE_WINDOW})
"""Reasons that may concern one model. Money concerns the account."""

MAX_NAME = 100
_MAX_DETAILS = 20

# Of Anthropic's models those of a family share their limits.
_FAMILY = re.compile(r"(?<![a-z])(opus|sonnet|haiku|fable|mythos)(?![a-z])")
_VERSION = re.compile(r"(?:-\d{8}|-\d{4}-\d{2}-\d{2}|-latest|\[\w{1,5}\]|-v\d:\d)$")

_KNOWN = (
    r"(?:claude[ -])?(?:opus|sonnet|haiku|fable|mythos)(?:[ -][\d.]{1,5}){0,3}"
    r"|(?:gpt|gemini|llama|qwen|kimi|glm|deepseek|grok|mistral|codestral|minimax)[ -][\w.:-]{1,60}"
    r"(?: (?:pro|flash|mini|lite)){0,2}"
)
_BEFORE = (
    r"(?:\b(?:for|on|of|with)(?: the)?(?: model)?|\bmodel:|\blimit:) ?[`'\"]?(?:[\w-]{1,40}/){0,3}"
)
_AFTER = (
    r"(?: (?:usage|rate|weekly|daily|hourly|monthly|token|request|per day|5-hour)){0,3}"
    r" (?:limits?|quotas?|requests|capacity)\b"
    r"|[`'\"]? is (?:temporarily )?rate.limited"
)
_THIS_MODEL = re.compile(
    r"\b(?:on|for|of) this model\b|\bthis model's\b|\bswitch to another model\b"
    r"|\bcapacity on this model\b",
    re.IGNORECASE,
)
# What a router appends to every error, and what an agent puts before each.
_NOT_THE_LIMIT = re.compile(r"Received Model Group=\S*|^\s*API error from \S+ \(model: [^)]*\)")

# These tell what is left to the model that was asked for.
_OF_THE_MODEL = re.compile(
    r"(?:x-ratelimit-remaining-(?:requests|tokens)"
    r"|anthropic-ratelimit-(?:requests|tokens|input-tokens|output-tokens)-remaining)"
)
_CLAIM = "anthropic-ratelimit-unified-representative-claim"
_OF_A_WINDOW = re.compile(r"(?:\w+_(?:hour|day|week|month)s?)_(\w+)")


def canonical_model(name: str) -> str:
    """A name for all models that share a limit: the family, or the name without vendor and date."""
    name = name.strip().lower()[:MAX_NAME]
    if family := _FAMILY.search(name):
        return family[1]
    name = re.sub(r"[^a-z0-9.:@+\[\]-]+", "-", name.rsplit("/", 1)[-1])
    return _VERSION.sub("", name.rstrip(".:-"))


def models_of_vendor(name: str, others: Iterable[str]) -> list[str]:
    """The other models that seem to be of the same vendor, by their first words: an agent that uses
    the one can use the other."""
    return [other for other in others if _kind(other) == _kind(name)]


def _kind(name: str) -> str:
    family = _FAMILY.search(name.lower())
    return "claude" if family else re.split(r"[^a-z]", name.lower().rsplit("/", 1)[-1])[0]


def limited_model(failures: Sequence[Failure], failure: Failure, facts: FailureFacts) -> str | None:
    """The model that a limit is for, by its canonical name; None: the account's, or not known."""
    names = (failure.model, *(other.model for other in failures))
    requested = next((canonical_model(name) for name in names if name), None)
    claim = facts.headers.get(_CLAIM)
    if claim is not None:
        # The provider names the window that is closed: its word goes before any text.
        window = _OF_A_WINDOW.fullmatch(claim)
        limited = canonical_model(window[1]) if window else None
        return limited if requested in (None, limited) else None
    if requested is not None and _is_of_the_requested_model(facts):
        return requested
    named = {
        canonical_model(name)
        for name in (*_in_details(facts), *_in_text(failure, facts, requested))
    }
    if requested is None:
        return named.pop() if len(named) == 1 else None
    return requested if requested in named else None


def _is_of_the_requested_model(facts: FailureFacts) -> bool:
    left = [value for name, value in facts.headers.items() if _OF_THE_MODEL.fullmatch(name)]
    per_model = any("PerModel" in name for name in facts.names)
    return "0" in left or per_model or _THIS_MODEL.search(facts.text) is not None


def _in_details(facts: FailureFacts) -> Iterator[str]:
    """`quotaDimensions.model` of Google's details."""
    details = facts.error.get("details")
    listed = cast(list[object], details) if isinstance(details, list) else []
    for detail in listed[:_MAX_DETAILS]:
        violations = mapping(detail).get("violations")
        for violation in (
            cast(list[Any], violations)[:_MAX_DETAILS] if isinstance(violations, list) else ()
        ):
            model = mapping(mapping(violation).get("quotaDimensions")).get("model")
            if isinstance(model, str):
                yield model


def _in_text(failure: Failure, facts: FailureFacts, requested: str | None) -> Iterator[str]:
    """The models that the words call limited. Quotations count: only the model that was asked for
    is taken from them."""
    text = _NOT_THE_LIMIT.sub("", "\n".join((cut(failure.message), facts.text)))
    known = _KNOWN
    if requested is not None:
        known = r"[ -]".join(map(re.escape, requested.split("-"))) + rf"|{_KNOWN}"
    model = rf"(?<![\w.-])(?P<model>{known})(?![\w-]|\.\w)"
    before, after = rf"{_BEFORE}{model}", rf"{model}(?:{_AFTER})"
    for pattern in (before, after):
        for match in islice(re.finditer(pattern, text, re.IGNORECASE), _MAX_DETAILS):
            yield match["model"]
