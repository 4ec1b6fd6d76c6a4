"""Workflow files: what is read, and how an error tells its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runner.workflow.loader import MAX_BYTES, load_workflow, parse_workflow
from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    InputError,
    WorkflowError,
    resolve_inputs,
)

HEAD = 'version: "1.0"\nname: w\n'
STEP = "steps:\n  - {id: a, type: agent, prompt: p}\n"

FULL = """\
version: "1.0"
name: full
description: all of it
inputs:
  - {name: n, description: a number, type: number, required: true}
  - {name: flag, type: boolean, default: yes}
  - {name: text, default: 5}
outputs:
  - {name: result}
defaults: {tool: claude, model: m}
config: {timeout: 60}
steps:
  - id: a
    type: agent
    name: First
    prompt: do {{inputs.n}}
    tool: claude
    model: big
    outputs: [{name: o, type: boolean, required: true}]
    config: {timeout: 5, retries: 2}
  - id: b
    type: command
    command: make
    args: [test, 1]
    allow_failure: true
    if: steps.a.outputs.o == true
    timeout: 10
"""


def test_a_workflow_with_every_key_is_read() -> None:
    workflow = parse_workflow(FULL, "f.yaml")
    a, b = workflow.steps
    assert isinstance(a, AgentStep)
    assert (a.name, a.timeout, a.retries, a.model) == ("First", 5, 2, "big")
    assert a.outputs[0].required
    assert isinstance(b, CommandStep)
    assert (b.name, b.args, b.allow_failure, b.timeout) == ("b", ("test", "1"), True, 10)
    assert b.condition is not None
    assert (workflow.timeout, workflow.defaults.model) == (60, "m")


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "empty"),
        ("[]", 1, 1, "must be a mapping"),
        ("a: [", 1, 5, "not valid YAML"),
        ("a: *nope", 1, 4, "not valid YAML"),
        ("\tx: 1", 1, 1, "not valid YAML"),
        ("a: 1\nb: \x07", 2, 4, "not valid YAML"),
        (HEAD, 1, 1, "needs 'steps'"),
        ('version: "2.0"\nname: w\n' + STEP, 1, 10, "not known"),
        (HEAD + "wat: 1\n" + STEP, 3, 1, "unknown key 'wat'"),
        (HEAD + "name: again\n" + STEP, 3, 1, "given twice"),
        (HEAD + "steps: []\n", 3, 8, "at least one step"),
        (HEAD + "steps: {a: 1}\n", 3, 8, "must be a list"),
        (HEAD + "steps:\n  - {id: a, type: agent}\n", 4, 5, "needs 'prompt'"),
        (HEAD + "steps:\n  - {id: a, prompt: p}\n", 4, 5, "needs 'type'"),
        (HEAD + "steps:\n  - {id: a, type: nope}\n", 4, 19, "unknown type 'nope'; known: agent"),
        (
            HEAD + "steps:\n  - {id: a, type: agent, prompt: p, until: x}\n",
            4,
            37,
            "unknown key 'until' in a step of type agent",
        ),
        (
            HEAD + "steps:\n  - {id: a, type: command, command: p, prompt: x}\n",
            4,
            40,
            "unknown key",
        ),
        (HEAD + "steps:\n  - {id: a/b, type: agent, prompt: p}\n", 4, 10, "must begin with"),
        (HEAD + "steps:\n  - {id: a, type: agent, prompt: ' '}\n", 4, 34, "prompt is empty"),
        (HEAD + STEP + "  - {id: a, type: agent, prompt: p}\n", 5, 10, "defined twice"),
        (HEAD + "steps:\n  - {id: a, type: agent, prompt: p, if: }\n", 4, 40, "must be a text"),
        (
            HEAD + "steps:\n  - {id: a, type: agent, prompt: p, if: ''}\n",
            4,
            42,
            "condition is empty",
        ),
        (
            HEAD
            + "steps:\n  - id: a\n    type: agent\n    prompt: p\n    if: steps.a.outputs.x == 1 && steps.b.outputs.y ==\n",
            7,
            55,
            "value is missing",
        ),
        (
            HEAD + "steps:\n  - {id: a, type: agent, prompt: p, config: {timeout: 0}}\n",
            4,
            55,
            "from 1 to",
        ),
        (
            HEAD + "steps:\n  - {id: a, type: agent, prompt: p, config: {retries: x}}\n",
            4,
            55,
            "must be a number",
        ),
        (
            HEAD + "steps:\n  - {id: a, type: command, command: p, allow_failure: maybe}\n",
            4,
            55,
            "true or false",
        ),
        (
            HEAD + "steps:\n  - {id: a, type: command, command: p, outputs: [{name: zz}]}\n",
            4,
            57,
            "unknown name 'zz'; known: stdout, stderr, exit_code, success",
        ),
        (HEAD + "inputs: [{name: a, type: date}]\n" + STEP, 3, 26, "unknown type"),
        (
            HEAD + "inputs: [{name: a, type: file}]\n" + STEP,
            3,
            26,
            "unknown type 'file'; known: string,",
        ),
        (HEAD + "inputs: [{name: a, type: number, default: x}]\n" + STEP, 3, 43, "not a number"),
        (HEAD + "inputs: [{name: a}, {name: a}]\n" + STEP, 3, 28, "defined twice"),
        (HEAD + "defaults: {tool: ~}\n" + STEP, 3, 18, "must be a text"),
        (HEAD + "description: !secret x\n" + STEP, 3, 14, "must be a text"),
        (HEAD + "inputs: [{name: yes}]\n" + STEP, 3, 17, "put it in quotes"),
        (HEAD + "config: {timeout: '5'}\n" + STEP, 3, 19, "must be a number"),
        (HEAD + "config: {timeout: 1_0}\n" + STEP, 3, 19, "must be a number"),
        (HEAD + "config: {timeout: .nan}\n" + STEP, 3, 19, "must be a number"),
        (HEAD + "config: []\n" + STEP, 3, 9, "config must be a mapping"),
        (HEAD + "x: " + "[" * 40 + "]" * 40 + "\n" + STEP, 3, 35, "more than 32 levels"),
        ("a: &x 1\nb: [" + "*x," * 80 + "]\n", 2, 197, "more than 64 aliases"),
        ("a: !!python/object:os.system x\n", 1, 1, "unknown key 'a'"),
    ],
)
def test_an_error_tells_file_line_and_column(
    text: str, line: int, column: int, message: str
) -> None:
    """B4."""
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(text, "f.yaml")
    error = caught.value
    assert message in error.message
    assert (error.file, error.line, error.column) == ("f.yaml", line, column)
    assert str(error).startswith(f"f.yaml:{line}:{column}: ")


def test_aliases_cannot_multiply_a_file() -> None:
    """Nor can a list that holds itself."""
    long = f"[{'a,' * 30_000}]"
    steps = "".join(f"  - {{id: s{n}, type: command, command: c, args: *x}}\n" for n in range(4))
    text = f"{HEAD}steps:\n  - {{id: a, type: command, command: c, args: &x {long}}}\n{steps}"
    with pytest.raises(WorkflowError, match="more than 100000 values"):
        parse_workflow(text, "f")
    with pytest.raises(WorkflowError, match="step 'a' is defined twice"):
        parse_workflow(HEAD + "steps: &s\n  - {id: a, type: loop, steps: *s}\n", "f")


def test_a_large_file_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    """What others wrote is parsed within limits."""
    path = tmp_path / "w.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(WorkflowError, match="larger than"):
        load_workflow(path)
    with pytest.raises(WorkflowError, match="larger than"):
        parse_workflow("é" * (MAX_BYTES // 2 + 1), "w.yaml")
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(WorkflowError, match=r"w\.yaml:2:4: the file is not UTF-8"):
        load_workflow(path)


@settings(deadline=None)
@given(st.text('version: "1.0"\nsteps[]{}-&*!|>\'#,ab\t', max_size=80))
def test_no_text_makes_the_loader_raise_anything_else(text: str) -> None:
    try:
        parse_workflow(text, "f")
    except WorkflowError:
        return


BUILT_IN = sorted((Path(__file__).parents[4] / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.stem)
def test_the_built_in_workflows_load(path: Path) -> None:
    """G7: by the names under which tasks ask for them."""
    assert load_workflow(path).name == path.stem


def test_swe_swe_tdd_and_tech_writer_are_built_in() -> None:
    """G7."""
    assert {p.stem for p in BUILT_IN} == {
        "demo", "investigate", "migrate", "quick", "reproduce-fix", "review", "swe", "swe-tdd",
        "tech-writer",
    }  # fmt: skip


def test_inputs_are_checked_and_completed() -> None:
    workflow = parse_workflow(FULL, "f")
    given = {"n": "1.5", "title": "t", "description": "d"}
    assert resolve_inputs(workflow, given) == {**given, "flag": "yes", "text": "5"}
    with pytest.raises(InputError) as caught:
        resolve_inputs(workflow, {"flag": "perhaps", "wat": "1"})
    for part in ("missing input 'n'", "'flag' is not a boolean", "unknown input 'wat'"):
        assert part in str(caught.value)
