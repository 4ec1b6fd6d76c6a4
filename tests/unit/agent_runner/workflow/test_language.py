"""What workflows may say of loops, parallel steps, files and failures: read, limited, refused."""

from __future__ import annotations

import pytest

from agent_runner.workflow.loader import (
    MAX_NESTING,
    MAX_RUNS,
    MAX_STEPS,
    parse_workflow,
)
from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    LoopStep,
    OnCycle,
    ParallelStep,
    Step,
    ValueType,
    Workflow,
    WorkflowError,
    definition_digest,
    leaf_runs,
    walk,
)

HEAD = 'version: "1.0"\nname: w\n'
LOOP = HEAD + "steps:\n  - {id: l, type: loop, steps: [{id: c, type: command, command: x}]"

NESTED = """\
version: "1.0"
name: nested
config: {loopLimit: 50, continueOnError: false}
steps:
  - id: outer
    type: loop
    name: Outer
    until: steps.inner.outputs.condition_met == true && steps.last.outputs.success == yes
    maxIterations: 20
    on_cycle: end
    allow_failure: true
    commit: "round of {{task.title}}"
    steps:
      - id: both
        type: parallel
        limit: 2
        if: inputs.title != ''
        steps:
          - {id: a, type: agent, prompt: p, allow_failure: yes, commit: c}
          - id: inner
            type: loop
            max_iterations: 7
            until: steps.b.outputs.exit_code == 0
            steps: [{id: b, type: command, command: make, commit: c}]
  - {id: last, type: command, command: "echo {{steps.outer.outputs.iterations}}"}
"""


def read(text: str) -> Workflow:
    return parse_workflow(text, "f.yaml")


def steps_of(workflow: Workflow) -> dict[str, Step]:
    return {step.id: step for step, _ in walk(workflow.steps)}


def refused(marked: str) -> str:
    """What is wrong with a workflow; its place must be that of the mark « in it."""
    before, mark, after = marked.partition("«")
    lines = before.split("\n")
    with pytest.raises(WorkflowError) as caught:
        read(before + after)
    if mark:
        assert (caught.value.line, caught.value.column) == (len(lines), len(lines[-1]) + 1)
    return caught.value.message


def test_loops_and_parallel_steps_are_read_however_deep() -> None:
    workflow = read(NESTED)
    parents = [(step.id, parent) for step, parent in walk(workflow.steps)]
    assert parents == [
        ("outer", None), ("both", "outer"), ("a", "both"), ("inner", "both"), ("b", "inner"),
        ("last", None),
    ]  # fmt: skip
    steps = steps_of(workflow)
    outer, both = steps["outer"], steps["both"]
    assert isinstance(outer, LoopStep)
    assert outer.until is not None
    assert len(outer.until.clauses) == 2
    assert (outer.name, outer.max_iterations, outer.on_cycle) == ("Outer", 20, OnCycle.END)
    assert (outer.allow_failure, outer.commit) == (True, "round of {{task.title}}")
    assert isinstance(both, ParallelStep)
    assert (both.limit, both.name) == (2, "both")
    assert [type(steps[i]) for i in ("a", "b")] == [AgentStep, CommandStep]


def test_every_kind_of_step_may_fail_and_commit_where_it_says_so() -> None:
    """G4, G8: and none does unless it says so."""
    bodies = {
        "agent": "prompt: p",
        "command": "command: c",
        "loop": "steps: [{id: x, type: command, command: c}]",
        "parallel": "steps: [{id: x, type: command, command: c}]",
    }
    for kind, body in bodies.items():
        item = f"id: a, type: {kind}, {body}"
        step = read(f"{HEAD}steps: [{{{item}, allow_failure: true, commit: m}}]").steps[0]
        assert (step.allow_failure, step.commit) == (True, "m")
        step = read(f"{HEAD}steps: [{{{item}}}]").steps[0]
        assert (step.allow_failure, step.commit) == (False, None)


@pytest.mark.parametrize(
    "rest", ["type: command, command: c", "type: loop, steps: [{id: x, type: command, command: c}]"]
)
def test_a_verdict_lets_a_step_fail(rest: str) -> None:
    step = read(f"{HEAD}steps: [{{id: a, {rest}, verdict: 'no: {{{{task.title}}}}'}}]").steps[0]
    assert isinstance(step, CommandStep | LoopStep)
    assert (step.verdict, step.allow_failure) == ("no: {{task.title}}", True)


def test_a_step_is_read_only_where_it_says_so() -> None:
    text = "{id: a, type: agent, prompt: p, read_only: yes}, {id: b, type: agent, prompt: p}"
    assert [s.read_only for s in read(f"{HEAD}steps: [{text}]").steps] == [True, False]


@pytest.mark.parametrize("kind", ["agent", "command", "loop", "parallel"])
def test_a_condition_may_stand_at_any_step(kind: str) -> None:
    """G5, B4: one that cannot be read is refused with its place, at any step too."""
    body = {"agent": "prompt: p", "command": "command: c"}.get(
        kind, "steps: [{id: x, type: command, command: c}]"
    )
    item = f"  - id: a\n    type: {kind}\n    {body}\n    if: "
    step = read(f"{HEAD}steps:\n{item}inputs.title == t\n").steps[0]
    assert step.condition is not None
    assert step.condition.clauses[0].value == "t"
    message = refused(f"{HEAD}steps:\n{item}inputs.title == t && inputs.title ==«\n")
    assert message == "if: a value is missing (write '' for an empty one)"


@pytest.mark.parametrize(
    ("config", "stated", "counts"),
    [
        ("", "", 3),
        ("", ", max_iterations: 0", 0),
        ("", ", maxIterations: 10000", 10_000),
        ("config: {loop_limit: 2}\n", "", 2),
        ("config: {loopLimit: 2}\n", ", max_iterations: 9", 2),
        ("config: {loop_limit: 9}\n", ", max_iterations: 2", 2),
        ("config: {loop_limit: 0}\n", ", max_iterations: 9", 0),
    ],
)
def test_a_loop_has_three_iterations_by_default_and_never_over_the_limit(
    config: str, stated: str, counts: int
) -> None:
    """G3: what the interpreter is given."""
    (loop,) = read(LOOP.replace("steps:", config + "steps:", 1) + stated + "}\n").steps
    assert isinstance(loop, LoopStep)
    assert loop.max_iterations == counts


def test_an_output_may_be_a_file() -> None:
    text = (
        HEAD + "steps:\n  - id: a\n    type: agent\n    prompt: p\n    outputs:\n"
        "      - {name: plan, type: file, filename: notes/plan-1.md, required: true}\n"
    )
    (step,) = read(text).steps
    assert isinstance(step, AgentStep)
    (output,) = step.outputs
    assert (output.type, output.filename) == (ValueType.FILE, "notes/plan-1.md")


@pytest.mark.parametrize(
    "name",
    ["..", "../x", "a/../b", "/etc/passwd", ".git/config", "a/.ssh", "-rf", "a//b", "a/", "a b",
     "a\\b", "$x", "a+", "''", '"a\\n"', "x" * 201, "1.5", "~"],
)  # fmt: skip
def test_a_file_is_never_outside_hidden_or_an_option(name: str) -> None:
    """Files are read beneath their root, with no surprise of a link, a device or a size."""
    refused(
        f"{HEAD}steps:\n  - id: a\n    type: agent\n    prompt: p\n    outputs:\n"
        f"      - {{name: o, type: file, filename: «{name}}}\n"
    )


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("max_iterations: «10001", "max_iterations must be from 0 to 10000"),
        ("max_iterations: «1.5", "max_iterations must be a whole number"),
        ("maxIterations: «x", "max_iterations must be a number"),
        ("maxIterations: 1, «max_iterations: 1", "'max_iterations' is given twice"),
        ("on_cycle: «stop", "unknown on_cycle 'stop'; known: ignore, end, fail"),
        ("max_iterations: «101, on_cycle: end", "max_iterations must be at most 100"),
        ("on_cycle: fail, maxIterations: «101", "max_iterations must be at most 100"),
        ("until: '«'", "until: the condition is empty"),
        ("until: «true", "until: expected steps.<id>.outputs.<name> or inputs.<name>"),
        ("«outputs: []", "unknown key 'outputs' in a step of type loop"),
        ("commit: «' '", "commit is empty"),
        ("allow_failure: «1", "allow_failure must be true or false"),
    ],
)
def test_what_a_loop_must_not_have_is_an_error_with_its_place(rest: str, message: str) -> None:
    """G3, B4."""
    assert message in refused(f"{LOOP}, {rest}}}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [{id: a, type: «sequential, steps: []}]", "use `if`"),
        ("steps: [{id: a, type: «conditional, then: []}]", "use `if`"),
        ("steps: [{id: a, type: loop, steps: «[]}]", "at least one step"),
        ("steps: [«{id: a, type: loop}]", "a step of type loop needs 'steps'"),
        ("steps: [{id: a, type: parallel, steps: «[]}]", "at least one step"),
        ("steps: [{id: a, type: parallel, limit: «0, steps: [x]}]", "from 1 to 16"),
        ("steps: [{id: a, type: parallel, limit: «17, steps: [x]}]", "from 1 to 16"),
        ("steps: [{id: a, type: loop, steps: [«x]}]", "a step must be a mapping"),
        (
            "steps:\n  - id: a\n    type: loop\n    steps:\n"
            "      - {id: «a, type: command, command: c}",
            "step 'a' is defined twice",
        ),
        (
            "steps: [{id: b, type: parallel, steps: [{id: c, type: command, command: c}]},\n"
            "  {id: «c, type: command, command: c}]",
            "step 'c' is defined twice",
        ),
        (
            "steps: [{id: b, type: parallel, steps: [«{id: c, type: agent}]}]",
            "a step of type agent needs 'prompt'",
        ),
        (
            "steps: [{id: b, type: parallel, steps: [{id: c, type: loop, steps: [\n"
            "  {id: d, type: command, command: c, read_only: «true}]}]}]",
            "a step inside a parallel step cannot be read_only",
        ),
        ("steps: [{id: b, type: command, command: c, verdict: «' '}]", "verdict is empty"),
        (
            "steps: [{id: b, type: command, command: c, verdict: '«{{steps.x.outputs.y}}'}]",
            "verdict: there is no step 'x'",
        ),
        (
            "steps: [{id: b, type: command, command: c, compare_with: «x}]",
            "compare_with: there is no step 'x'",
        ),
        (
            "steps: [{id: a, type: agent, prompt: p},\n"
            "  {id: b, type: command, command: c, compare_with: «a}]",
            "compare_with: the agent step 'a' has no outputs",
        ),
        (
            "steps: [{id: b, type: command, command: c,\n"
            "  verdict: '«{{steps.b.outputs.compared}}'}]",
            "verdict: the command step 'b' has no output 'compared'",
        ),
        (
            "steps: [{id: b, type: agent, prompt: p, «verdict: v}]",
            "unknown key 'verdict' in a step of type agent",
        ),
        ("config: {continueOnError: «true}\nsteps: []", "write allow_failure: true"),
        ("config: {continue_on_error: «yes}\nsteps: []", "write allow_failure: true"),
        ("config: {loop_limit: «-1}\nsteps: []", "loop_limit must be from 0 to 10000"),
        ("outputs: [«{name: a, type: file}]\nsteps: []", "needs 'filename'"),
        ("outputs: [{name: a, «filename: x}]\nsteps: []", "unknown key 'filename'"),
        ("outputs: [{type: string, «filename: x, name: a}]", "unknown key 'filename'"),
        ("outputs: [{name: a, type: «date}]", "known: string, number, boolean, file"),
        (
            "outputs: [{name: a, type: file, filename: x},\n"
            "  {name: b, type: file, filename: «x}]\n"
            "steps: [{id: a, type: agent, prompt: p}]",
            "filename 'x' is defined twice",
        ),
    ],
)
def test_what_a_workflow_must_not_have_is_an_error_with_its_place(text: str, message: str) -> None:
    if "steps:" not in text:
        text += "\nsteps: []"
    assert message in refused(f"{HEAD}{text}\n")


def nested(depth: int) -> str:
    """Loops and parallel steps by turns, with a command at the bottom."""
    text = "{id: c, type: command, command: x}"
    for level in range(depth):
        kind = "loop, max_iterations: 1" if level % 2 else "parallel"
        text = f"{{id: s{level}, type: {kind}, steps: [{text}]}}"
    return f"{HEAD}steps: [{text}]\n"


def test_steps_are_nested_five_deep_at_the_most() -> None:
    assert len(steps_of(read(nested(MAX_NESTING)))) == MAX_NESTING + 1
    assert refused(nested(MAX_NESTING + 1)) == "steps may be nested at most 5 deep"


def test_all_steps_count_however_deep() -> None:
    def text(count: int) -> str:
        inner = ", ".join(f"{{id: c{n}, type: command, command: x}}" for n in range(count - 1))
        return f"{HEAD}steps:\n  - {{id: p, type: parallel, steps: [{inner}]}}\n"

    assert len(steps_of(read(text(MAX_STEPS)))) == MAX_STEPS
    last = f"{{id: c{MAX_STEPS - 1},"
    message = refused(text(MAX_STEPS + 1).replace(last, f"«{last}"))
    assert message == f"a workflow may have at most {MAX_STEPS} steps"


def test_what_loops_multiply_to_is_limited() -> None:
    def text(outer: str, inner: str, more: str = "", limit: str = "") -> str:
        loop = f"{{id: i, type: loop, max_iterations: {inner}, steps: [{{id: c, type: command, command: x}}]}}"
        return (
            f"{HEAD}{limit}steps:\n"
            f"  - {{id: o, type: loop, max_iterations: {outer}, steps: [{loop}]}}\n{more}"
        )

    assert leaf_runs(read(text("1000", "1000")).steps[0]) == MAX_RUNS
    message = refused(text("1000", "1001").replace("1000", "«1000"))
    assert message.startswith("this loop may come to more than 1000000 runs")
    more = "  - {id: z, type: agent, prompt: p}\n"
    message = refused(text("1000", "1000", more).replace("  - {id: o", "  «- {id: o"))
    assert message.startswith("the workflow's loops may come to more")
    capped = read(text("10000", "10000", limit="config: {loop_limit: 1000}\n"))
    assert leaf_runs(capped.steps[0]) == MAX_RUNS


def test_a_steps_digest_does_not_depend_on_the_place_of_its_condition() -> None:
    """F2: a blank more changes no step that a checkpoint holds; another value does."""
    digests = [
        definition_digest(read(f"{LOOP}, until: {until}}}\n").steps[0])
        for until in (
            "steps.c.outputs.success == yes",
            "'  steps.c.outputs.success  ==  yes'",
            "steps.c.outputs.success == no",
        )
    ]
    assert digests[0] == digests[1] != digests[2]
