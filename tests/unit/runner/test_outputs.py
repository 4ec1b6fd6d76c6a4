"""Outputs: asked for, found at the end of an answer, checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.outputs import ask, parse, select
from agent_runner.workflow.models import OutputDef, ValueType


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'Done.\n```json\n{"a": "1", "b": true, "c": 2, "d": null}\n```\n',
            {"a": "1", "b": "true", "c": "2"},
        ),
        ('{"old": 1}\nthen {"a": {"b": "}"}}', {"a": '{"b": "}"}'}),
        ('{"a": "```"}', {"a": "```"}),
        ("no object", {}),
        ("ends with }", {}),
        ('{"a": 1} and more text', {}),
        ("[1, {}]", {}),
        ("{" * 5000 + "}", {}),
        ("", {}),
    ],
)
def test_the_last_object_of_an_answer_is_its_outputs(text: str, expected: dict[str, str]) -> None:
    """G6."""
    assert parse(text) == expected


@given(st.text('{}":,[]ab\\ `\n', max_size=60))
def test_no_answer_makes_the_reader_raise(text: str) -> None:
    assert isinstance(parse(text), dict)


def test_required_outputs_that_are_missing_or_of_another_type_are_named() -> None:
    """G6."""
    declared = (
        OutputDef("a", required=True),
        OutputDef("n", type=ValueType.NUMBER, required=True),
        OutputDef("long"),
        OutputDef("gone"),
    )
    found = {"n": "many", "long": "x" * 20, "other": "1"}
    outputs, missing, warnings = select(declared, found, 10)
    assert outputs == {"long": "x" * 10}
    assert missing == ["a", "n"]
    assert len(warnings) == 2


def test_what_is_declared_is_asked_for() -> None:
    assert ask(()) == ""
    text = ask((OutputDef("a", "the plan", ValueType.STRING, required=True),))
    assert '"a" (string, required): the plan' in text
