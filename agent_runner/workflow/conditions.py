"""Parses and evaluates the conditions of `if` and `until`.

    condition := clause (("&&" | "||") clause)*        && binds tighter
    clause    := subject ("==" | "!=") value
    subject   := steps.<id>.outputs.<name> | inputs.<name>

An operator counts only where another clause follows, so a value may hold `||` and `&&`. A pair
of quotes around a value is dropped; `''` is the empty text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MAX_LENGTH = 4096
EXAMPLE = "steps.test.outputs.success == true"
_MEANT_LENGTH = 300

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_SUBJECT = rf"(?:steps\.(?P<step>{_NAME})\.outputs\.(?P<output>{_NAME})|inputs\.(?P<input>{_NAME}))"
_CLAUSE = re.compile(rf"\s*{_SUBJECT}\s*(?P<operator>==|!=)")
# A look ahead, so that of `&&&` both pairs are tried: a value may end with the first `&`.
_OPERATOR = re.compile(r"(?=(\|\||&&))")
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


class ConditionError(ValueError):
    """A condition that cannot be parsed. `offset` is the place in its text, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(frozen=True)
class Clause:
    """One comparison. `step` is None if an input is compared. `offset` is the clause's place in the
    text; two clauses that differ only in it are equal."""

    step: str | None
    name: str
    equal: bool
    value: str
    offset: int = field(default=0, compare=False, repr=False)

    def holds(self, values: Values) -> bool:
        """Whether the comparison is true. A missing step, output or input equals nothing."""
        source = values.inputs if self.step is None else values.steps.get(self.step, {})
        actual = source.get(self.name)
        # An output that is missing differs from every value, so `!=` is true of a step that was
        # skipped. A workflow can thus continue after an optional step without asking whether it
        # ran.
        same = actual is not None and _normal(actual) == _normal(self.value)
        return same is self.equal


@dataclass(frozen=True)
class Values:
    """The values that conditions and placeholders can use."""

    inputs: Mapping[str, str]
    steps: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Condition:
    """A parsed condition. It is true if every clause of any group holds."""

    groups: tuple[tuple[Clause, ...], ...]

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """All clauses, in the order of the text."""
        return tuple(clause for group in self.groups for clause in group)

    def holds(self, values: Values) -> bool:
        return any(all(clause.holds(values) for clause in group) for group in self.groups)


def parse(text: str) -> Condition:
    """Read a condition.

    Raises:
        ConditionError: it is empty, too long or malformed.
    """
    if not text.strip():
        raise ConditionError("the condition is empty", 0)
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"the condition is longer than {MAX_LENGTH} characters", MAX_LENGTH)
    groups: list[list[Clause]] = [[]]
    start = 0
    for match in _OPERATOR.finditer(text):
        # The operator belongs to the value, such as a shell command with `&&`.
        if not _CLAUSE.match(text, match.end(1)):
            continue
        groups[-1].append(_clause(text, start, match.start()))
        if match[1] == "||":
            groups.append([])
        start = match.end(1)
    groups[-1].append(_clause(text, start, len(text)))
    return Condition(tuple(tuple(group) for group in groups))


def evaluate(text: str, values: Values, warn: Callable[[str], None]) -> bool:
    """Whether the condition holds. One that cannot be parsed is false, with a warning."""
    try:
        return parse(text).holds(values)
    except ConditionError as error:
        warn(f"condition {text[:200]!r} counts as false: {error.message}")
        return False


def _clause(text: str, start: int, end: int) -> Clause:
    match = _CLAUSE.match(text, start, end)
    offset = end - len(text[start:end].lstrip())
    if match is None:
        meant = _meant(text[start:end])
        hint = f"; did you mean: {meant}" if meant else f"; for example: {EXAMPLE}"
        raise ConditionError(
            "expected steps.<id>.outputs.<name> or inputs.<name>, then == or !=, then a value"
            + hint,
            offset,
        )
    value = text[match.end() : end].strip()
    if not value:
        raise ConditionError("a value is missing (write '' for an empty one)", match.end())
    name = match["output"] or match["input"]
    return Clause(match["step"], name, match["operator"] == "==", _unquoted(value), offset)


# Tried on the text of an error only: a condition that almost parses is never guessed at when a task
# runs.
_HABITS = (
    (re.compile(r"\{\{\s*|\s*\}\}|^\(|\)$"), ""),
    (re.compile(r"^(?:!|not\s)\s*(?P<rest>[^=]*)$"), r"\g<rest> != true"),
    (re.compile(r"\s+is\s+not\s+"), " != "),
    (re.compile(r"\s+is\s+|(?<![=!<>])={3}|(?<![=!<>])=(?!=)"), " == "),
    (re.compile(rf"^(?={_NAME}\.outputs\.)"), "steps."),
    (re.compile(r"^step\."), "steps."),
    (re.compile(r"^input\."), "inputs."),
    (re.compile(rf"^steps\.(?P<id>{_NAME})\.(?!outputs\.)"), r"steps.\g<id>.outputs."),
    (re.compile(rf"^{_SUBJECT}$"), r"\g<0> == true"),
    (re.compile(r"\s+"), " "),
)
"""Habits from other languages, each with its translation."""


def _meant(clause: str) -> str | None:
    """The comparison that was probably meant; None if that is unclear."""
    text = clause.strip()[:_MEANT_LENGTH]
    for habit, here in _HABITS:
        text = habit.sub(here, text).strip()
    match = _CLAUSE.match(text)
    return text if match and text[match.end() :].strip() else None


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _normal(value: str) -> str:
    # Agents answer `True` or `yes` where an author compares with `true`.
    word = value.strip().lower()
    if word in _TRUE:
        return "true"
    if word in _FALSE:
        return "false"
    return value.strip()
