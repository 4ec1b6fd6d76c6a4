"""What a workflow is once it is read: plain frozen data, and the one error of reading it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent_runner.workflow.conditions import Condition


class WorkflowError(Exception):
    """A workflow file that cannot be used. Lines and columns count from 1."""

    def __init__(self, file: str, line: int, column: int, message: str) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.file = file
        self.line = line
        self.column = column
        self.message = message


class InputError(Exception):
    """The inputs given do not fit the workflow. The message names every one that does not."""


class ValueType(StrEnum):
    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class InputDef:
    """What a workflow asks for. `default` counts only where nothing is given."""

    name: str
    description: str = ""
    type: ValueType = ValueType.STRING
    required: bool = False
    default: str | None = None


@dataclass(frozen=True)
class OutputDef:
    """What a step or a workflow gives."""

    name: str
    description: str = ""
    type: ValueType = ValueType.STRING
    required: bool = False


@dataclass(frozen=True)
class Defaults:
    tool: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class AgentStep:
    """A step that an agent does. `timeout` is in seconds; None means the run's limit."""

    id: str
    name: str
    prompt: str
    tool: str | None = None
    model: str | None = None
    condition: Condition | None = None
    outputs: tuple[OutputDef, ...] = ()
    timeout: float | None = None
    retries: int = 0

    @property
    def type(self) -> str:
        return "agent"


@dataclass(frozen=True)
class CommandStep:
    """A step that bash does. `timeout` is in seconds; None means the run's limit."""

    id: str
    name: str
    command: str
    args: tuple[str, ...] = ()
    allow_failure: bool = False
    condition: Condition | None = None
    outputs: tuple[OutputDef, ...] = ()
    timeout: float | None = None
    retries: int = 0

    @property
    def type(self) -> str:
        return "command"


Step = AgentStep | CommandStep


@dataclass(frozen=True)
class Workflow:
    """A workflow, read and checked. `timeout` is for agent steps that name none, in seconds."""

    name: str
    description: str
    inputs: tuple[InputDef, ...]
    outputs: tuple[OutputDef, ...]
    defaults: Defaults
    timeout: float | None
    steps: tuple[Step, ...]


def definition_digest(step: Step) -> str:
    """A short digest of what a step says, to notice a step that changed under a checkpoint."""
    return hashlib.sha256(repr(step).encode()).hexdigest()[:16]


def conforms(value: str, kind: ValueType) -> bool:
    """Whether `value` can be read as `kind`."""
    if kind is ValueType.NUMBER:
        try:
            float(value)
        except ValueError:
            return False
    if kind is ValueType.BOOLEAN:
        return value.strip().lower() in {"true", "false", "yes", "no", "on", "off"}
    return True


def resolve_inputs(workflow: Workflow, given: Mapping[str, str]) -> dict[str, str]:
    """The inputs with their defaults.

    Raises:
        InputError: one is missing, unknown or of another type. `title` and `description` are
            never unknown: every task has them.
    """
    known = {i.name for i in workflow.inputs} | {"title", "description"}
    wrong = [f"unknown input {name!r}" for name in given if name not in known]
    resolved = dict(given)
    for definition in workflow.inputs:
        value = given.get(definition.name, definition.default)
        if value is None:
            if definition.required:
                wrong.append(f"missing input {definition.name!r}: {definition.description}")
            continue
        if not conforms(value, definition.type):
            wrong.append(f"input {definition.name!r} is not a {definition.type}: {value[:80]!r}")
        resolved[definition.name] = value
    if wrong:
        names = ", ".join(sorted(known))
        raise InputError("; ".join(wrong) + f". {workflow.name} takes: {names}")
    return resolved
