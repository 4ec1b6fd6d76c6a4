"""Outputs: requested, found in an answer, checked, requested again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.workflow.models import OutputDef, ValueType
from agent_runner.workflow.outputs import ask, ask_again, find, schema, select

A_B = (OutputDef("a", required=True), OutputDef("b"))


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
        ('{"a": 1} and more text {}', {"a": "1"}),
        ('{"a": 1}\nI also ran `f() { return {"b": 2} }`. Anything else?', {"a": "1"}),
        ('{"a": 1} no, {"a": 2}', {"a": "2"}),
        ('{"a": 1, "b": 2}, for instance {"a": "text"}', {"a": "1", "b": "2"}),
        ('{"outputs": {"a": "nested"}}', {"a": "nested"}),
        ('[{"a": "in a list"}]', {"a": "in a list"}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ("if (x) { y(); } else { z(); }" * 300 + ' {"a": 1}', {"a": "1"}),
        ("[1, {}]", {}),
        ("{" * 5000 + "}", {}),
        ('{"a":' * 30_000, {}),
        ("", {}),
    ],
)
def test_outputs_are_found_wherever_the_answer_has_them(
    text: str, expected: dict[str, str]
) -> None:
    """G6."""
    assert find(text, A_B) == expected


def test_an_object_with_values_of_the_right_type_is_preferred() -> None:
    declared = (OutputDef("n", type=ValueType.NUMBER), OutputDef("f", filename="f.md"))
    assert find('{"n": 3} {"n": "many"} {"f": "name"}', declared) == {"n": "3"}


def test_missing_outputs_are_requested_with_a_strict_schema() -> None:
    """G6."""
    number = OutputDef("n", "how many", ValueType.NUMBER, required=True)
    report = OutputDef("report", type=ValueType.FILE, required=True, filename="report.md")
    assert "n, report.md" in ask_again((number, report))
    assert schema((report,)) is None
    assert schema((number, report)) == {
        "type": "object",
        "properties": {"n": {"type": "number", "description": "how many"}},
        "required": ["n"],
        "additionalProperties": False,
    }


@given(st.text('{}":,[]ab\\ `\n', max_size=60))
def test_no_answer_makes_the_reader_raise(text: str) -> None:
    assert isinstance(find(text, A_B), dict)


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
