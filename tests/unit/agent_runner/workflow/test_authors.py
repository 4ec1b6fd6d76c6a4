"""What people who write workflows are told: every error at once, what was meant, and advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_runner.workflow.agents import agents_of, chosen
from agent_runner.workflow.conditions import ConditionError, parse
from agent_runner.workflow.loader import check_workflow, parse_workflow
from agent_runner.workflow.models import AgentStep, CommandStep, WorkflowError, walk
from agent_runner.workflow.yaml_source import YamlSource

MANY = """\
version: "1.0"
inputs: [{nam: x}, {name: word}]
steps:
  - id: a
    type: agnet
    prompt: hi
  - id: b
    type: agent
    promt: hi {{steps.a.outputs.x}}
    config: {timeout: 5 weeks}
  - id: c
    type: loop
    until: steps.e.success
    steps:
      - id: d
        type: command
        command: make {{inputs.wrd}} {{task.descripton}} {{steps.a.outputs.x}}
        if: steps.b.outputs.y = 1
      - {id: d2, type: command, comand: x}
  - {id: e, type: command, command: "x {{steps.dd.outputs.stdout}} {{steps.d.outputs.stdot}}"}
"""


def errors(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(text, "f.yaml")
    assert str(caught.value).splitlines() == [
        f"f.yaml:{e.line}:{e.column}: {e.message}" for e in caught.value.all
    ]
    return [(e.line, e.column, e.message) for e in caught.value.all]


def test_all_errors_of_a_file_are_reported_at_once_with_suggestions() -> None:
    """D.13: and what only follows from another error is left out."""
    found = errors(MANY)
    assert [(line, column) for line, column, _ in found] == [
        (2, 10), (2, 11), (5, 11), (7, 5), (9, 5), (10, 23), (13, 12), (17, 23), (17, 38), (18, 13),
        (19, 9), (19, 33), (20, 40), (20, 68),
    ]  # fmt: skip
    told = "\n".join(message for _, _, message in found)
    for meant in (
        "'name'", "'agent'", "'prompt'", "'word'", "'task.description'", "'command'", "'d'",
        "'stdout'",
    ):  # fmt: skip
        assert f"(did you mean {meant}?)" in told
    assert "did you mean: steps.e.outputs.success == true" in told
    assert "did you mean: steps.b.outputs.y == 1" in told


def test_only_so_many_errors_are_kept() -> None:
    steps = "".join(f"  - {{id: a{n}, type: nope}}\n" for n in range(150))
    found = errors(f'version: "1.0"\nsteps:\n{steps}')
    assert len(found) == YamlSource.MAX_NOTED


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("steps.test.success", "steps.test.outputs.success == true"),
        ("steps.test.outputs.success", "steps.test.outputs.success == true"),
        ("!steps.test.outputs.success", "steps.test.outputs.success != true"),
        ("not steps.test.success", "steps.test.outputs.success != true"),
        ("{{steps.test.outputs.success}} == true", "steps.test.outputs.success == true"),
        ("{{ steps.test.outputs.size }} = large", "steps.test.outputs.size == large"),
        ("steps.test.outputs.size is not large", "steps.test.outputs.size != large"),
        ("test.outputs.size === large", "steps.test.outputs.size == large"),
        ("step.test.size == large", "steps.test.outputs.size == large"),
        ("input.word == x", "inputs.word == x"),
    ],
)
def test_a_condition_in_another_languages_style_gets_its_translation(
    written: str, meant: str
) -> None:
    """D.13."""
    with pytest.raises(ConditionError) as caught:
        parse(written)
    assert caught.value.message.endswith(f"; did you mean: {meant}")
    parse(meant)


@pytest.mark.parametrize("text", ["success", "steps.test.outputs.code > 3", "5 == 5"])
def test_an_unreadable_condition_gets_an_example(text: str) -> None:
    """D.13."""
    with pytest.raises(ConditionError) as caught:
        parse(text)
    example = caught.value.message.rpartition("for example: ")[2]
    parse(example)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("300", 300), ("90s", 90), ("5m", 300), ("1.5 h", 5400), ("1h30m", 5400), ("2min 5s", 125)],
)
def test_a_time_may_have_units(written: str, seconds: float) -> None:
    """D.13."""
    workflow = parse_workflow(
        f"""version: "1.0"
config: {{timeout: {written}}}
steps:
  - {{id: a, type: agent, prompt: p, config: {{timeout: {written}}}}}
  - {{id: c, type: command, command: c, timeout: {written}}}
""",
        "f",
    )
    agent, command = workflow.steps
    assert isinstance(agent, AgentStep)
    assert isinstance(command, CommandStep)
    assert workflow.timeout == agent.timeout == command.timeout == seconds


@pytest.mark.parametrize("written", ["5 weeks", "m", "'5'", "-5m", "25h", "0s", "1:30", "5m5"])
def test_a_time_that_is_none_is_refused(written: str) -> None:
    step = f"{{id: c, type: command, command: c, timeout: {written}}}"
    [(_, _, message)] = errors(f'version: "1.0"\nsteps: [{step}]')
    assert "seconds" in message


def advice(steps: str, head: str = "", name: str = "f.yaml") -> list[str]:
    text = f'version: "1.0"\n{head}steps:\n{steps}'
    return [f"{a.line}:{a.column}: {a.message}" for a in check_workflow(text, name).advice]


TOLD = '  - {id: t, type: agent, prompt: "{{task.description}}"}\n'
RUN = "{id: ID, type: command, command: c}"


def run(name: str, more: str = "") -> str:
    return RUN.replace("ID", name).replace("}", f"{more}}}")


def test_a_workflow_that_tells_no_agent_the_task_is_warned_of() -> None:
    """D.13."""
    [told] = advice("  - {id: a, type: agent, prompt: '{{task.title}}'}\n")
    assert told.startswith("3:3: no step is given {{task.description}}")
    assert not advice(TOLD)
    assert not advice("  - {id: a, type: agent, prompt: '{{ inputs.description }}'}\n")
    assert not advice(f"  - {run('c')}\n")


def test_a_name_is_the_files_and_another_is_warned_of() -> None:
    """D.13."""
    assert parse_workflow(f'version: "1.0"\nsteps:\n{TOLD}', "a/fix.yaml").name == "fix"
    assert not advice(TOLD, "name: f\n")
    [told] = advice(TOLD, "name: other\n")
    assert told.startswith("2:7: name 'other': tasks ask for a workflow by its file's name")


OUTPUT = "steps.z.outputs.stdout"
VALUE = f"'«{{{{{OUTPUT}}}}}'"
Z = "{id: z, type: command, command: c}"
A = f"{{id: a, type: command, command: {VALUE}}}"
ROUND = "{id: z, type: command, command: c, if: «steps.z.outputs.stdout == 1}"
EMPTY = {
    "later": f"  - {A}\n  - {Z}\n",
    "itself": f"  - {A.replace('id: a', 'id: z')}\n",
    "once": f"  - {{id: l, type: loop, steps: [{ROUND}], max_iterations: 1}}\n",
    "beside": f"  - {{id: p, type: parallel, steps: [{Z}, {A}]}}\n",
    "until": f"  - {{id: l, type: loop, until: «{OUTPUT} != x, steps: [{run('c')}]}}\n  - {Z}\n",
    "commit": f"  - {run('c', f', commit: {VALUE}')}\n  - {Z}\n",
}
THERE = {
    "before": f"  - {Z}\n  - {A}\n",
    "round": f"  - {{id: l, type: loop, steps: [{A}, {Z}]}}\n",
    "itself": f"  - {{id: l, type: loop, steps: [{ROUND}]}}\n",
    "until": f"  - {{id: l, type: loop, until: «{OUTPUT} != x, steps: [{Z}]}}\n",
    "commit": f"  - {run('z', f', commit: {VALUE}')}\n",
    "in turn": f"  - {{id: p, type: parallel, limit: 1, steps: [{Z}, {A}]}}\n",
    "shared": f"  - {A.replace(': ' + VALUE, ': &c ' + VALUE)}\n  - {Z}\n"
    "  - {id: b, type: command, command: *c}\n",
}


@pytest.mark.parametrize("case", EMPTY)
def test_what_is_always_empty_where_it_is_asked_for_is_warned_of(case: str) -> None:
    """D.13: also an `until` that names a step after its loop."""
    before = EMPTY[case].partition("«")[0].split("\n")
    [told] = advice(EMPTY[case].replace("«", ""))
    assert told.startswith(f"{len(before) + 2}:{len(before[-1]) + 1}: ")
    assert OUTPUT in told


@pytest.mark.parametrize("case", THERE)
def test_what_may_be_there_is_not_warned_of(case: str) -> None:
    assert not advice(THERE[case].replace("«", ""))


@pytest.mark.parametrize("word", ["and", "OR"])
def test_conditions_that_are_joined_by_words_are_warned_of(word: str) -> None:
    condition = f"inputs.title == a {word} inputs.description == b"
    [told] = advice(f"  - {run('c', f', if: {condition}')}\n")
    assert told.startswith("3:")
    assert f"join with {'&&' if word == 'and' else '||'}" in told


BUILT_IN = sorted((Path(__file__).parents[4] / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.stem)
def test_the_built_in_workflows_get_no_advice(path: Path) -> None:
    assert not check_workflow(path.read_text("utf-8"), str(path)).advice


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: path.stem)
def test_every_prompt_says_what_the_task_is_and_that_rover_commits(path: Path) -> None:
    """D.14: as one would say it to a colleague, once."""
    if path.stem == "demo":
        return
    steps = [s for s, _ in walk(check_workflow(path.read_text("utf-8"), str(path)).workflow.steps)]
    for step in (s for s in steps if isinstance(s, AgentStep)):
        prompt = " ".join(step.prompt.split())
        assert prompt.count("{{task.title}}") == 1 or step.id == "summary", step.id
        assert prompt.count("{{task.description}}") == 1 or step.id == "summary", step.id
        if not step.read_only:
            assert prompt.count("stay on the present branch: Rover commits what you change") == 1


CHOICE = """\
version: "1.0"
inputs: [{name: who, default: ""}, {name: which, default: ""}]
steps:
  - id: l
    type: loop
    steps:
      - {id: a, type: agent, prompt: p, tool: "{{inputs.who}}", model: "{{ inputs.which }}"}
"""


def test_an_input_may_name_the_agent_and_the_model_of_a_step() -> None:
    """D.14."""
    workflow = parse_workflow(CHOICE, "f")
    assert agents_of(chosen(workflow, {}), "claude", "m") == {("claude", "m")}
    given = chosen(workflow, {"who": "codex", "which": "gpt"})
    assert agents_of(given, "claude", "m") == {("codex", "gpt")}
    assert agents_of(given, "scripted", None) == {("scripted", "gpt")}


@pytest.mark.parametrize("text", ["{{inputs.other}}", "x{{inputs.who}}", "{{task.title}}"])
def test_what_names_no_agent_is_refused(text: str) -> None:
    with pytest.raises(WorkflowError):
        parse_workflow(CHOICE.replace("{{inputs.who}}", text), "f")
