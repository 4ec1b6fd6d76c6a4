"""Conditions: ACCEPTANCE B."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.workflow.conditions import ConditionError, Values, evaluate, parse

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
        ("steps.a.outputs.off == no", True),
        ("steps.a.outputs.x == 'a' ", False),
        ("steps.a.outputs.x == '1'", True),
        ("inputs.mode == fast", True),
        ("inputs.empty == ''", True),
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
def test_a_malformed_condition_is_refused_with_its_place_and_false_at_run_time(
    text: str, offset: int
) -> None:
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


@given(st.text(max_size=200))
def test_no_text_makes_the_evaluator_raise(text: str) -> None:
    """B4."""
    assert evaluate(text, VALUES, lambda _: None) in {True, False}


def test_a_valid_condition_is_evaluated_without_a_warning() -> None:
    """B1."""
    assert evaluate(T, VALUES, pytest.fail)
