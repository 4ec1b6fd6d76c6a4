"""Invents values for the outputs of steps, for a workflow that is only tried. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    LoopStep,
    OutputDef,
    ValueType,
    Workflow,
    conforms,
    walk,
)
from agent_runner.workflow.templates import placeholders

_PLAIN = {ValueType.BOOLEAN: "true", ValueType.NUMBER: "1"}
_COMMAND = "true"
"""A command that does nothing, and succeeds."""


@dataclass(frozen=True)
class Example:
    """A value that an output could have. `filename`: the file to write, if the output is one."""

    name: str
    value: str
    filename: str | None = None


def examples_of(step: AgentStep, workflow: Workflow) -> tuple[Example, ...]:
    """A value of the right type for each output: the one that a loop waits for, so that the
    workflow reaches its end, or a command that succeeds if the value is run."""
    return tuple(Example(o.name, _example(step.id, o, workflow), o.filename) for o in step.outputs)


def _example(step: str, output: OutputDef, workflow: Workflow) -> str:
    for value in waited_for(step, output.name, workflow):
        if conforms(value, output.type):
            return value
    if output.type in _PLAIN:
        return _PLAIN[output.type]
    if output.type is ValueType.STRING and _runs(step, output.name, workflow):
        return _COMMAND
    return f"({output.name} of a scripted run)"


def waited_for(step: str, name: str, workflow: Workflow) -> Iterator[str]:
    """The values of a step's output that loops wait for."""
    for loop, _ in walk(workflow.steps):
        if isinstance(loop, LoopStep) and loop.until is not None:
            for clause in loop.until.clauses:
                if clause.equal and (clause.step, clause.name) == (step, name):
                    yield clause.value


def _runs(step: str, name: str, workflow: Workflow) -> bool:
    """Whether a command passes the output to a shell as code, as in `bash -c`."""
    return any(
        (placeholder.step, placeholder.name) == (step, name)
        for other, _ in walk(workflow.steps)
        if isinstance(other, CommandStep) and re.search(r"\b(?:ba)?sh -l?c\b", other.command)
        for placeholder in placeholders(other.command)
    )
