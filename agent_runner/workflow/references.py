"""Names in conditions and placeholders must be of something that exists, however late it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from yaml.nodes import Node

from agent_runner.workflow.conditions import Condition
from agent_runner.workflow.kinds import Located
from agent_runner.workflow.models import TASK_INPUTS, Step, Workflow, output_names, walk
from agent_runner.workflow.source import Source
from agent_runner.workflow.templates import placeholders

_SHOWN = 12


@dataclass(frozen=True)
class _Mention:
    """`name` is None where what was written can be no name at all."""

    what: str
    node: Node
    offset: int
    step: str | None
    name: str | None
    text: str = ""


class References:
    """What a workflow's steps refer to: noted while they are read, checked when all are known."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._mentions: list[_Mention] = []

    def condition(self, what: str, condition: Located[Condition] | None) -> Condition | None:
        """Note a condition and give it back."""
        if condition is None:
            return None
        self._mentions += [
            _Mention(what, condition.node, clause.offset, clause.step, clause.name)
            for clause in condition.value.clauses
        ]
        return condition.value

    def template(self, what: str, template: Located[str]) -> str:
        """Note a text with placeholders and give it back."""
        self._mentions += [
            _Mention(what, template.node, found.offset, found.step, found.name, found.text)
            for found in placeholders(template.value)
        ]
        return template.value

    def check(self, workflow: Workflow) -> None:
        """Raise WorkflowError at the first name of something that the workflow does not have."""
        steps = {step.id: step for step, _ in walk(workflow.steps)}
        inputs = (*(i.name for i in workflow.inputs), *TASK_INPUTS)
        for m in self._mentions:
            if m.name is None:
                wrong = f"{{{{{m.text[:80]}}}}} is no placeholder"
            else:
                wrong = _wrong(m.step, m.name, steps, inputs)
            if wrong:
                self._source.fail(m.node, f"{m.what}: {wrong}", m.offset)


def _wrong(
    step_id: str | None, name: str, steps: Mapping[str, Step], inputs: Collection[str]
) -> str | None:
    if step_id is None:
        return None if name in inputs else f"there is no input {name[:80]!r}{_those(inputs)}"
    if step_id not in steps:
        return f"there is no step {step_id[:80]!r}{_those(steps)}"
    step = steps[step_id]
    outputs = output_names(step)
    if name in outputs:
        return None
    if not outputs:
        return f"the {step.type} step {step.id!r} has no outputs"
    return f"the {step.type} step {step.id!r} has no output {name[:80]!r}{_those(outputs)}"


def _those(names: Collection[str]) -> str:
    shown = ", ".join([*names][:_SHOWN])
    return f"; there are: {shown}" + (", ..." if len(names) > _SHOWN else "")
