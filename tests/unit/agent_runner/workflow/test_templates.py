"""Placeholders: one pass, and no value ever becomes code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_runner.workflow.conditions import Values
from agent_runner.workflow.templates import (
    TOTAL_BYTES,
    VALUE_BYTES,
    Renderer,
    ValuesTooLarge,
    placeholders,
)


def renderer(warnings: list[str] | None = None) -> Renderer:
    task = {"title": "T", "description": "D"}
    return Renderer(task, (warnings if warnings is not None else []).append)


def values(value: str) -> Values:
    return Values({"x": value}, {"a": {"y": value}})


def shell(template: str, value: str, cwd: Path) -> bytes:
    command = renderer().command(template, values(value))
    done = subprocess.run(
        ["bash", "-c", command.script],
        env={**command.environment, "PATH": "/usr/bin:/bin"},
        cwd=cwd,
        capture_output=True,
        check=False,
    )
    return done.stdout


def test_a_placeholder_is_replaced_by_its_value() -> None:
    text = renderer().text(
        "{{inputs.x}}-{{ steps.a.outputs.y }}-{{task.title}}-{{task.description}}", values("v")
    )
    assert text == "v-v-T-D"


def test_an_inserted_text_is_never_read_as_a_placeholder() -> None:
    """One pass; and nothing in a value is special to the replacing."""
    nasty = r"{{task.title}} $& \1 \g<0> {{inputs.x}}"
    assert renderer().text("<{{inputs.x}}>", values(nasty)) == f"<{nasty}>"


def test_an_unknown_placeholder_is_empty_and_warned_of_once() -> None:
    """G2."""
    warnings: list[str] = []
    r = renderer(warnings)
    for _ in range(3):
        assert r.text("[{{inputs.nope}}{{what.ever}}]", values("v")) == "[]"
    assert len(warnings) == 2


def test_names_in_a_template_are_found_with_their_places() -> None:
    template = "{{inputs.x}} {{ steps.a.outputs.y }} {{task.title}} {{task.x}} {{other}}"
    found = [
        (p.step, p.name, template[p.offset :].partition("}}")[0]) for p in placeholders(template)
    ]
    assert found == [
        (None, "x", "{{inputs.x"),
        ("a", "y", "{{ steps.a.outputs.y "),
        (None, None, "{{task.x"),
    ]


def test_what_a_skipped_step_did_not_give_is_empty_and_no_reason_to_warn() -> None:
    """G5."""
    warnings: list[str] = []
    text = renderer(warnings).text(
        "<{{steps.a.outputs.y}}{{steps.b.outputs.y}}>", Values({}, {"a": {}})
    )
    assert text == "<>"
    assert not warnings


HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned;",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "\n touch pwned \n",
    'a\' "b" $HOME \\ * ? ~ #',
    "${IFS}touch${IFS}pwned",
    "$((1+1))",
    "-n",
    "{{inputs.x}}",
    "é\N{RIGHT SINGLE QUOTATION MARK}\x01",
]
PLACES = [
    "{{inputs.x}}",
    '"{{inputs.x}}"',
    "'{{inputs.x}}'",
    '"a\'"{{inputs.x}}',
    'b\'"\'"{{inputs.x}}"',
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_arrives_as_it_is_in_any_quotes(
    tmp_path: Path, place: str, value: str
) -> None:
    """G1."""
    out = shell(
        f"# it's a comment\nprintf '%s|' {place} {{{{steps.a.outputs.y}}}}", value, tmp_path
    )
    prefix = {3: "a'", 4: 'b"'}.get(PLACES.index(place), "")
    assert out.decode() == f"{prefix}{value}|{value}|"
    assert not list(tmp_path.iterdir())


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    value=st.text(
        st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40
    ),
    place=st.sampled_from(PLACES[:3]),
)
def test_any_value_arrives_as_it_is(tmp_path: Path, value: str, place: str) -> None:
    """G1."""
    out = shell(f"printf %s {place}", value, tmp_path)
    assert out == value.encode()


@settings(max_examples=200, deadline=None)
@given(template=st.text("ab'\"\\$(){}`#\n ", max_size=20), value=st.just("SECRETVALUE"))
def test_no_value_is_ever_part_of_the_script(template: str, value: str) -> None:
    """G1: whatever the template looks like, so that a wrong guess of its quotes is harmless."""
    command = renderer().command(template + "{{inputs.x}}" + template, values(value))
    assert value not in command.script


def test_nul_and_excess_are_taken_off_a_value() -> None:
    warnings: list[str] = []
    command = renderer(warnings).command("{{inputs.x}}", values("a\0" + "é" * VALUE_BYTES))
    (value,) = command.environment.values()
    assert "\0" not in value
    assert len(value.encode()) <= VALUE_BYTES
    assert len(warnings) == 1


def test_values_beyond_what_an_exec_takes_are_refused() -> None:
    inputs = {f"x{n}": "v" * VALUE_BYTES for n in range(TOTAL_BYTES // VALUE_BYTES + 1)}
    template = " ".join(f"{{{{inputs.{name}}}}}" for name in inputs)
    with pytest.raises(ValuesTooLarge):
        renderer().command(template, Values(inputs, {}))
