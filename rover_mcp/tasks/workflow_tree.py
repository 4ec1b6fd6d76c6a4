"""What a workflow does, as a tree of plain values: for a terminal, a diagram or a report. Pure.

Names, conditions and models are text that a repository may have written. Whatever in it is
invisible becomes an escape here, so that no picture hides a part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent_runner.workflow.conditions import Clause, Condition
from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    Defaults,
    InputDef,
    LoopStep,
    OnCycle,
    OutputDef,
    ParallelStep,
    Step,
    ValueType,
    Workflow,
)
from rover_mcp.domain.durations import duration
from rover_mcp.domain.text import visible_line

_ON_CYCLE = {OnCycle.END: "ends", OnCycle.FAIL: "fails"}


@dataclass(frozen=True)
class WorkflowNode:
    """A step. `kind` says who does it: `agent codex`, `loop, at most 3 times`. `facts` are what
    else is to be known of it, in words. `condition` and `until` are those of the step, as they
    would be written. `limit` is a loop's greatest number of iterations, or a parallel step's
    greatest number of steps at once."""

    id: str
    name: str
    type: str
    kind: str
    condition: str | None = None
    until: str | None = None
    outputs: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    limit: int | None = None
    inside: tuple[WorkflowNode, ...] = ()


def workflow_nodes(workflow: Workflow) -> tuple[WorkflowNode, ...]:
    """The steps of a workflow, with the steps inside of loops and parallel steps."""
    return _nodes(workflow.steps, workflow.defaults)


def _nodes(steps: Iterable[Step], defaults: Defaults) -> tuple[WorkflowNode, ...]:
    return tuple(_node(step, defaults) for step in steps)


def _node(step: Step, defaults: Defaults) -> WorkflowNode:
    inside, until, limit = (), None, None
    match step:
        case AgentStep():
            kind, outputs = _agent(step, defaults), tuple(map(output_text, step.outputs))
        case CommandStep():
            kind, outputs = "command", ()
        case LoopStep():
            inside, until = _nodes(step.steps, defaults), condition_text(step.until)
            kind, limit, outputs = f"loop, {_times(step)}", step.max_iterations, ()
        case ParallelStep():
            inside, limit, outputs = _nodes(step.steps, defaults), step.limit, ()
            kind = f"parallel, at most {step.limit} at once"
    return WorkflowNode(
        id=visible_line(step.id),
        name=visible_line(step.name),
        type=step.type,
        kind=visible_line(kind),
        condition=condition_text(step.condition),
        until=until,
        outputs=outputs,
        facts=tuple(map(visible_line, _facts(step))),
        limit=limit,
        inside=inside,
    )


def _agent(step: AgentStep, defaults: Defaults) -> str:
    """The step's own agent and model, else the workflow's; those of the task are not named."""
    tool, model = step.tool or defaults.tool, step.model or defaults.model
    return " ".join(["agent", *([tool] if tool else []), *([f"with {model}"] if model else [])])


def _times(step: LoopStep) -> str:
    count = "once" if step.max_iterations == 1 else f"{step.max_iterations} times"
    return count if step.until is None else f"at most {count}"


def _facts(step: Step) -> list[str]:
    facts: list[str] = []
    if isinstance(step, AgentStep | CommandStep):
        facts += ["changes no files"] if step.read_only else []
        facts += [f"at most {duration(step.timeout)}"] if step.timeout else []
        facts += [f"retries: {step.retries}"] if step.retries else []
    if isinstance(step, LoopStep) and step.on_cycle in _ON_CYCLE:
        facts.append(f"{_ON_CYCLE[step.on_cycle]} if the files repeat")
    if isinstance(step, CommandStep) and step.compare_with:
        facts.append(f"compared with {step.compare_with}")
    if step.commit:
        facts.append("commits")
    if isinstance(step, CommandStep | LoopStep) and step.verdict:
        return [*facts, "if it does not succeed, the result says so"]
    return [*facts, *(["may fail"] if step.allow_failure else [])]


# Words


def condition_text(condition: Condition | None) -> str | None:
    """A condition as it would be written in a workflow file."""
    if condition is None:
        return None
    return " || ".join(" && ".join(map(_clause, group)) for group in condition.groups)


def _clause(clause: Clause) -> str:
    subject = f"steps.{clause.step}.outputs.{clause.name}"
    subject = f"inputs.{clause.name}" if clause.step is None else subject
    # Without the quotes an empty value, or one with spaces around it, could not be seen.
    value = clause.value if clause.value == clause.value.strip() != "" else f"'{clause.value}'"
    return visible_line(f"{subject} {'==' if clause.equal else '!='} {value}")


def output_text(output: OutputDef) -> str:
    """An output's name, with its type unless that is text."""
    file = f" {output.filename}" if output.filename else ""
    kind = "" if output.type is ValueType.STRING else f" ({output.type}{file})"
    return visible_line(f"{output.name}{kind}")


def input_text(definition: InputDef) -> str:
    """An input's name, with its type unless that is text, and whether it has to be given."""
    kind = [] if definition.type is ValueType.STRING else [str(definition.type)]
    marks = ", ".join([*kind, *(["required"] if definition.required else [])])
    return visible_line(definition.name + (f" ({marks})" if marks else ""))


def input_texts(definitions: Sequence[InputDef]) -> str:
    """All inputs in one line; empty where there are none."""
    return ", ".join(map(input_text, definitions))
