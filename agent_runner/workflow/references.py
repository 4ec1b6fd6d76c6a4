"""Checks that the names in conditions and placeholders exist, however late their steps run."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from yaml.nodes import Node

from agent_runner.workflow.conditions import Condition
from agent_runner.workflow.models import (
    TASK_INPUTS,
    CommandOutput,
    Step,
    Workflow,
    output_names,
    walk,
)
from agent_runner.workflow.templates import TASK, placeholders
from agent_runner.workflow.value_kinds import Located
from agent_runner.workflow.yaml_source import YamlSource, meant

_SHOWN = 12


@dataclass(frozen=True)
class Mention:
    """A name in a condition or a placeholder. `where` is the step that has it, in its key `what`;
    `step` is the named step, or None for an input; `name` is None if the text cannot be a name."""

    where: str
    what: str
    node: Node
    offset: int
    step: str | None
    name: str | None
    text: str = ""


class References:
    """The names that a workflow's steps refer to, collected as they are read, and checked at the
    end."""

    def __init__(self, source: YamlSource) -> None:
        self._source = source
        self._unknown: set[str] = set()
        self.mentions: list[Mention] = []

    def not_valid(self, step: str) -> None:
        """Note a step that has an error, so its outputs are unknown."""
        self._unknown.add(step)

    def condition(
        self, where: str, what: str, condition: Located[Condition] | None
    ) -> Condition | None:
        """Note the names in a condition, and return the condition."""
        if condition is None:
            return None
        self.mentions += [
            Mention(where, what, condition.node, clause.offset, clause.step, clause.name)
            for clause in condition.value.clauses
        ]
        return condition.value

    def template(self, where: str, what: str, template: Located[str]) -> str:
        """Note the names in a text with placeholders, and return the text."""
        self.mentions += [
            Mention(where, what, template.node, item.offset, item.step, item.name, item.text)
            for item in placeholders(template.value)
        ]
        return template.value

    def command(self, where: str, what: str, node: Node, step: str) -> None:
        """Note the name of a command step, of which every output is needed."""
        self.mentions.append(Mention(where, what, node, 0, step, CommandOutput.EXIT_CODE))

    def check(self, workflow: Workflow, ids: Collection[str], inputs: Collection[str]) -> None:
        """Note an error at each name of something that the workflow does not have. `ids` are all
        steps that the file names, also those that could not be read, and so are `inputs`."""
        steps = {step.id: step for step, _ in walk(workflow.steps)}
        # A reference to a step that has an error of its own is not reported: the names of its
        # outputs may be part of that error.
        unknown = self._unknown | {name for name in ids if name not in steps}
        for m in self.mentions:
            if m.name is None:
                wrong = f"{{{{{m.text[:80]}}}}} is not a placeholder{_placeholder(m.text)}"
            elif m.step in unknown:
                continue
            else:
                # Steps may refer to later ones, because in a loop those have run before. So names
                # are checked when all of them are known.
                wrong = _wrong(m.step, m.name, steps, ids, (*inputs, *TASK_INPUTS))
            if wrong:
                with self._source.noting():
                    self._source.fail(m.node, f"{m.what}: {wrong}", m.offset)


_PLACES = ("inputs.NAME", "steps.ID.outputs.NAME", *(f"task.{name}" for name in TASK))


def _placeholder(text: str) -> str:
    """The placeholder that was probably meant, or those that exist."""
    if near := meant(text, _PLACES[2:]):
        return near
    if (match := re.fullmatch(r"steps\.([\w-]+)\.([\w-]+)", text)) and match[2] != "outputs":
        return f" (did you mean 'steps.{match[1]}.outputs.{match[2]}'?)"
    return f"; there are: {', '.join(_PLACES)}"


def _wrong(
    step_id: str | None,
    name: str,
    steps: Mapping[str, Step],
    ids: Collection[str],
    inputs: Collection[str],
) -> str | None:
    if step_id is None:
        return None if name in inputs else f"there is no input {_named(name, inputs)}"
    if step_id not in steps:
        return f"there is no step {_named(step_id, ids)}"
    step = steps[step_id]
    outputs = output_names(step)
    if name in outputs:
        return None
    if not outputs:
        return f"the {step.type} step {step.id!r} has no outputs"
    return f"the {step.type} step {step.id!r} has no output {_named(name, outputs)}"


def _named(name: str, names: Collection[str]) -> str:
    shown = ", ".join([*names][:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{name[:80]!r}{meant(name, names)}; there are: {shown}"
