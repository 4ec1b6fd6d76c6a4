"""The rules that the tables in rules.py and profiles.py consist of."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent_runner.classify.failure_facts import FailureFacts
from agent_runner.classify.meaning import Meaning
from agent_runner.models import PauseReason

Patterns = tuple[re.Pattern[str], ...]

FIVE_HUNDREDS = frozenset[int | None](range(500, 600))


@dataclass(frozen=True)
class Rule:
    """One rule. All conditions that are set must hold; of `codes`, `text`, `begins` and `means` one
    item each is enough. `begins` is how a message begins, `text` is anywhere in the provider's own
    words, `means` is what those words mean. None among `statuses`: no status was reported.

    `reason` None: waiting does not help, the failure is fatal. Then `change` says what would help,
    and a rule that has it outweighs what anybody else reports of the same failure.
    """

    name: str
    reason: PauseReason | None
    statuses: frozenset[int | None] = frozenset()
    codes: frozenset[str] = frozenset()
    text: Patterns = ()
    begins: Patterns = ()
    means: frozenset[Meaning] = frozenset()
    unless: Patterns = ()
    header: tuple[str, str] | None = None
    change: str = ""

    def fits(self, facts: FailureFacts) -> bool:
        """Whether all conditions hold for a failure."""
        if facts.is_about_a_parameter and (self.text or self.begins or self.means):
            return False
        return (
            (not self.statuses or facts.status in self.statuses)
            and (not self.codes or bool(self.codes & facts.codes))
            and (not self.text or matches(self.text, facts.text))
            and (not self.begins or any(p.match(o) for p in self.begins for o in facts.openings))
            and (not self.means or bool(self.means & facts.meanings))
            and not matches(self.unless, facts.text)
            and (self.header is None or facts.headers.get(self.header[0]) == self.header[1])
        )


def matches(patterns: Patterns, text: str) -> bool:
    """Whether a text contains one of the patterns."""
    return any(pattern.search(text) for pattern in patterns)


def texts(*patterns: str) -> Patterns:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


def codes(words: str) -> frozenset[str]:
    """Codes, written with blanks between them."""
    return frozenset(words.lower().split())


def statuses(*numbers: int | None) -> frozenset[int | None]:
    return frozenset(numbers)


def word(pattern: str) -> str:
    """A pattern that matches no part of a path or of a longer name, as in
    `insufficient_quota.py`."""
    return rf"(?<![\w/.-])(?:{pattern})(?![\w/-]|\.\w)"
