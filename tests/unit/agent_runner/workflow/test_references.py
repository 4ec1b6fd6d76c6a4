"""Names in conditions and placeholders are of something that exists, or the file is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.workflow.loader import parse_workflow
from agent_runner.workflow.models import WorkflowError

FILE = """\
version: "1.0"
name: w
inputs: [{name: given}]
steps:
  - id: first
    type: agent
    prompt: p
    outputs: [{name: size}]
    PLACE
  - {id: bare, type: agent, prompt: p}
  - {id: run, type: command, command: c}
  - id: again
    type: loop
    steps:
      - id: side
        type: parallel
        steps: [{id: deep, type: command, command: c}]
"""

EXISTING = [
    "inputs.given",
    "inputs.title",
    "inputs.description",
    "steps.first.outputs.size",
    "steps.run.outputs.stdout",
    "steps.run.outputs.stderr",
    "steps.run.outputs.exit_code",
    "steps.deep.outputs.success",
    "steps.again.outputs.iterations",
    "steps.again.outputs.condition_met",
    "steps.again.outputs.cycle",
]
MISSING = [
    ("inputs.nope", "there is no input 'nope'; there are: given, title, description"),
    ("steps.nope.outputs.x", "there is no step 'nope'; there are: first, bare, run, again, side,"),
    (
        "steps.first.outputs.nope",
        "the agent step 'first' has no output 'nope'; there are: size",
    ),
    ("steps.bare.outputs.x", "the agent step 'bare' has no outputs"),
    (
        "steps.deep.outputs.code",
        "has no output 'code' (did you mean 'exit_code'?); there are: stdout, stderr, exit_code,",
    ),
    (
        "steps.again.outputs.success",
        "has no output 'success'; there are: iterations, condition_met, cycle",
    ),
    ("steps.side.outputs.success", "the parallel step 'side' has no outputs"),
]


def file(place: str) -> str:
    return FILE.replace("PLACE", place)


def refused(marked: str) -> str:
    """What is wrong; its place must be that of the mark « in the text."""
    before, _, after = marked.partition("«")
    lines = before.split("\n")
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(before + after, "f.yaml")
    assert (caught.value.line, caught.value.column) == (len(lines), len(lines[-1]) + 1)
    return caught.value.message


@pytest.mark.parametrize("name", EXISTING)
def test_what_exists_may_be_named_even_before_it_runs(name: str) -> None:
    """B4, G4: an output of every kind of step, and inputs that every task has."""
    parse_workflow(file(f"if: {name} == 1"), "f")
    parse_workflow(file(f"commit: about {{{{{name}}}}}"), "f")


@pytest.mark.parametrize(("name", "message"), MISSING)
def test_a_condition_names_only_what_exists(name: str, message: str) -> None:
    """B4."""
    assert message in refused(file(f"if: inputs.title == x && «{name} != ''"))


@pytest.mark.parametrize(("name", "message"), MISSING)
def test_a_placeholder_names_only_what_exists(name: str, message: str) -> None:
    """With its place in a message, a prompt, a command and an argument."""
    good = file("commit: m")
    wrong = f"«{{{{ {name} }}}}"
    for text in (
        good.replace("commit: m", f"commit: x {wrong}"),
        good.replace("prompt: p", f"prompt: |\n      one\n\n        two {wrong}", 1),
        good.replace(
            "id: bare, type: agent, prompt: p", f"id: bare, type: agent, prompt: '{wrong}'"
        ),
        good.replace("command: c", f'command: "a{wrong}"', 1),
        good.replace("command: c", f"command: c, args: [x, '--y={wrong}']", 1),
    ):
        assert message in refused(text)


@pytest.mark.parametrize("until", ["until", "if"])
def test_the_conditions_of_a_loop_name_only_what_exists(until: str) -> None:
    """B4, G3."""
    text = file("").replace(
        "type: loop", f"type: loop\n    {until}: «steps.dep.outputs.success == 1"
    )
    assert refused(text).startswith(f"{until}: there is no step 'dep'")
    parse_workflow(text.replace("«", "").replace("steps.dep.", "steps.deep."), "f")


@pytest.mark.parametrize(
    "text", ["task.id", "task", "inputs", "inputs.a.b", "steps.first", "steps.first.size"]
)
def test_what_looks_like_a_placeholder_of_ours_must_be_one(text: str) -> None:
    message = refused(file(f"commit: x «{{{{{text}}}}}"))
    assert message.startswith(f"commit: {{{{{text}}}}} is not a placeholder")


def test_an_unquoted_placeholder_gets_a_hint_to_quote_it() -> None:
    assert refused(file("commit: «{{task.title}}")).endswith(
        "must be a text; put a text that begins with {{ in quotes"
    )


def test_double_braces_of_others_are_left_to_the_run() -> None:
    """G2: they have no value, which is told once when they are met."""
    parse_workflow(
        file("commit: '{{ user }} ${{ github.ref }} {{task.title}} {{}} {{stepsize}}'"), "f"
    )


def test_the_first_of_several_errors_is_reported() -> None:
    text = file("commit: x «{{inputs.b}} {{inputs.a}}").replace(
        "command: c", "command: '{{inputs.c}}'"
    )
    assert refused(text).startswith("commit: there is no input 'b'")


WORDS = st.lists(st.sampled_from(["a", "bé", "don't", "#1", "x:y", "{{task.title}}"]), max_size=4)
STYLES = {
    "plain": ("commit: z {}", " "),
    "folded plain": ("commit: z\n      {}", "\n      "),
    "single": ("commit: 'z {}'", " "),
    "double": ('commit: "z\n      {}"', "\n\n      "),
    "literal": ("commit: |-\n      z\n        {}\n", "\n      "),
    "folded": ("commit: > # why\n\n      z\n      {}\n", "\n      "),
}


@given(WORDS, WORDS, st.sampled_from(sorted(STYLES)))
def test_the_place_is_right_in_every_way_to_write_a_text(
    before: list[str], after: list[str], style: str
) -> None:
    template, between = STYLES[style]
    words = [*before, "«{{inputs.nope}}", *after]
    if style not in {"literal", "folded"}:
        words = [word.replace("#", "") for word in words]
    text = between.join(word.replace("'", "") if style == "single" else word for word in words)
    assert "no input 'nope'" in refused(file(template.format(text)))


def test_where_escapes_hide_the_place_it_is_the_texts_beginning() -> None:
    assert "no input" in refused(file('commit: «"\\u0061\\n{{inputs.nope}}"'))
    assert "no input" in refused(file("commit: «'don''t {{inputs.nope}}'"))
