"""Conditions: what they compare, and what is none."""

from __future__ import annotations

import re
from itertools import chain

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent_runner.workflow.conditions import (
    Clause,
    ConditionError,
    Values,
    evaluate,
    parse,
)

VALUES = Values(
    inputs={"mode": "fast", "empty": ""},
    steps={"a": {"x": "1", "yes": "Yes", "text": "p || q && r", "off": "off"}, "b-2": {"y_z": "v"}},
)


def holds(text: str) -> bool:
    return parse(text).holds(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps.a.outputs.x == 1", True),
        ("steps.a.outputs.x != 1", False),
        ("steps.a.outputs.x==1", True),
        ("  steps.a.outputs.x  ==  1  ", True),
        ("steps.a.outputs.x == 01", False),
        ("steps.b-2.outputs.y_z == v", True),
        ("steps.a.outputs.yes == true", True),
        ("steps.a.outputs.yes == ON", True),
        ("steps.a.outputs.yes == false", False),
        ("steps.a.outputs.yes != 'TRUE'", False),
        ("steps.a.outputs.off == no", True),
        ("steps.a.outputs.x == 'a' ", False),
        ("steps.a.outputs.x == '1'", True),
        ("inputs.mode == fast", True),
        ('inputs.empty == ""', True),
        ("inputs.empty == ''", True),
        ("inputs.mode == '", False),
        ("inputs.mode == 'fast\"", False),
    ],
)
def test_a_comparison_is_of_text_with_boolean_words_alike(text: str, expected: bool) -> None:
    """B1."""
    assert holds(text) is expected


T, F = "steps.a.outputs.x == 1", "steps.a.outputs.x == 2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{T} && {F}", False),
        (f"{T} || {F}", True),
        (f"{T}&&{T}", True),
        (f"{F}||{T}", True),
        (f"{T} || {F} && {F}", True),
        (f"{F} && {F} || {T}", True),
        (f"{F} && {T} || {F} && {T}", False),
        (f"{F} || {F} || {T}", True),
        (f"{T} && {T} && {T} && {F}", False),
    ],
)
def test_and_binds_tighter_than_or_with_or_without_blanks(text: str, expected: bool) -> None:
    """B2."""
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps.a.outputs.text == p || q && r", True),
        ("steps.a.outputs.text != p || q && r", False),
        (f"steps.a.outputs.text == p || q && r && {T}", True),
        ("steps.a.outputs.text == p || steps.a.outputs", False),
        (f"inputs.mode != fast&&&{T}", True),
        (f"inputs.mode == fast|||{T}", True),
        (f"inputs.mode == 'fast' &&{F}", False),
    ],
)
def test_an_operator_counts_only_where_a_clause_follows(text: str, expected: bool) -> None:
    """B3."""
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", 0),
        ("   ", 0),
        ("true", 0),
        ("  steps.a == 1", 2),
        ("steps.a.outputs.x = 1", 0),
        ("steps.a.outputs.x ==", 20),
        (f"{T} && steps.a.outputs.x ==", 46),
        ("outputs.x == 1", 0),
        (f"&& {T}", 0),
        ("x" * 5000, 4096),
    ],
)
def test_a_malformed_condition_is_refused_with_its_place(text: str, offset: int) -> None:
    """B4."""
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert caught.value.offset == offset
    warnings: list[str] = []
    assert evaluate(text, VALUES, warnings.append) is False
    assert len(warnings) == 1


@pytest.mark.parametrize("subject", ["steps.no.outputs.x", "steps.a.outputs.no", "inputs.no"])
def test_what_is_missing_equals_nothing(subject: str) -> None:
    """B5."""
    assert not holds(f"{subject} == 1")
    assert holds(f"{subject} != 1")
    assert not holds(f"{subject} == ''")


CONDITIONS = st.lists(
    st.sampled_from(
        ["steps.", "a", ".outputs.", "x", "inputs.", "==", "!=", "=", "&&", "||", "&", "|", "'", '"',
         " ", "\n", "true", "-", "é"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.text(max_size=200) | CONDITIONS)
def test_no_text_makes_the_parser_raise_anything_but_its_own_error(text: str) -> None:
    """B4: and that error has a place in the text."""
    try:
        places = [clause.offset for clause in parse(text).clauses]
    except ConditionError as error:
        places = [error.offset]
    assert places
    assert all(0 <= place <= len(text) for place in places)


@given(st.text(max_size=200) | CONDITIONS)
def test_no_text_makes_the_evaluator_raise(text: str) -> None:
    """B4: false, with one warning, where the text is no condition."""
    warnings: list[str] = []
    held = evaluate(text, VALUES, warnings.append)
    assert len(warnings) <= 1
    assert not (held and warnings)


VALUE = st.lists(
    st.sampled_from(["&&", "||", "&", "|", "==", "!=", " ", "a", "'", "steps.", "inputs.", ".x"]),
    min_size=1,
    max_size=8,
).map("".join)
CLAUSE = st.builds(
    Clause, st.sampled_from([None, "a", "b-2"]), st.sampled_from(["x", "y_z"]), st.booleans(), VALUE
)
BLANKS = st.sampled_from(["", " ", "  "])
ANOTHER = re.compile(r"(\|\||&&)\s*(steps\.[\w-]+\.outputs|inputs)\.[\w-]+\s*[!=]=")
"""An operator and the beginning of a clause, which no value can hold."""


def written(clause: Clause) -> str:
    subject = (
        f"steps.{clause.step}.outputs.{clause.name}" if clause.step else f"inputs.{clause.name}"
    )
    return f"{subject} {'==' if clause.equal else '!='} '{clause.value}'"


@given(st.lists(st.lists(CLAUSE, min_size=1, max_size=3), min_size=1, max_size=3), BLANKS, BLANKS)
def test_what_is_written_is_what_is_read_though_values_hold_operators(
    groups: list[list[Clause]], before: str, after: str
) -> None:
    """B2, B3: every value comes back whole, and every clause in its group."""
    assume(not any(ANOTHER.search(f"{c.value}'") for c in chain.from_iterable(groups)))
    text = f"{before}||{after}".join(
        f"{before}&&{after}".join(written(c) for c in group) for group in groups
    )
    condition = parse(text)
    assert condition.groups == tuple(tuple(group) for group in groups)
    assert [text[c.offset :].startswith(written(c)) for c in condition.clauses] == [
        True for _ in chain.from_iterable(groups)
    ]


@given(VALUE, st.booleans())
def test_a_value_equals_itself_and_nothing_that_is_missing(value: str, equal: bool) -> None:
    """B1, B3, B5."""
    assume(not ANOTHER.search(f"{value}'"))
    text = written(Clause(None, "x", equal, value))
    assert parse(text).holds(Values({"x": value}, {})) is equal
    assert parse(text).holds(Values({}, {})) is not equal


def test_a_valid_condition_is_evaluated_without_a_warning() -> None:
    """B1."""
    assert evaluate(T, VALUES, pytest.fail)
