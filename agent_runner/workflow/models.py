"""What a workflow is once it is read: plain frozen data, and the one error of reading it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agent_runner.workflow.conditions import Condition


class WorkflowError(Exception):
    """A workflow file that cannot be used. Lines and columns count from 1. `others` are what else
    is wrong in the file; the text has a line for each."""

    def __init__(
        self,
        file: str,
        line: int,
        column: int,
        message: str,
        others: Sequence[WorkflowError] = (),
    ) -> None:
        own = f"{file}:{line}:{column}: {message}"
        super().__init__("\n".join([own, *map(str, others)]))
        self.file = file
        self.line = line
        self.column = column
        self.message = message
        self.others = tuple(others)

    @property
    def all(self) -> tuple[WorkflowError, ...]:
        """This error and the others."""
        return (self, *self.others)


@dataclass(frozen=True)
class Advice:
    """What is valid in a workflow file, and probably not meant."""

    line: int
    column: int
    message: str


class InputError(Exception):
    """The inputs given do not fit the workflow. The message names every one that does not."""


class ValueType(StrEnum):
    """FILE: the agent writes it as a file, whose text is the value."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    FILE = "file"


class CommandOutput(StrEnum):
    """What every command step gives."""

    STDOUT = "stdout"
    STDERR = "stderr"
    EXIT_CODE = "exit_code"
    SUCCESS = "success"


class Comparison(StrEnum):
    """What a command step gives besides, where it is compared with an earlier one: the names of the
    tests that failed, whether all of them failed then, too, and that in words. Empty where it
    succeeded; `only_old_failures` also where the names cannot be read."""

    FAILED_TESTS = "failed_tests"
    ONLY_OLD_FAILURES = "only_old_failures"
    COMPARED = "compared"


class LoopOutput(StrEnum):
    """What every loop gives, whether its condition was met or not."""

    ITERATIONS = "iterations"
    CONDITION_MET = "condition_met"
    CIRCLE = "circle"


class OnCircle(StrEnum):
    """What a loop does when an iteration ends with a work tree that an earlier one ended with."""

    IGNORE = "ignore"
    END = "end"
    FAIL = "fail"


TASK_INPUTS = ("title", "description")
"""Inputs that every task has."""


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
    """What a step or a workflow gives. `filename` is where an output of type FILE is written."""

    name: str
    description: str = ""
    type: ValueType = ValueType.STRING
    required: bool = False
    filename: str | None = None


@dataclass(frozen=True)
class Defaults:
    tool: str | None = None
    model: str | None = None


# Every step has: `allow_failure`, a failure does not end the run; `commit`, a template: after the
# step the work tree is committed on the task's branch (a checkpoint commit). `read_only`: what
# the step changes in the work tree is put back. `verdict`, a template, implies `allow_failure`:
# what is said of the whole run where the step did not succeed.


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
    allow_failure: bool = False
    commit: str | None = None
    read_only: bool = False

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
    commit: str | None = None
    read_only: bool = False
    verdict: str | None = None
    compare_with: str | None = field(default=None, repr=False)
    """the step that ran the same tests before; not in the digest, which older journals have"""

    @property
    def type(self) -> str:
        return "command"


@dataclass(frozen=True)
class LoopStep:
    """Its steps again and again, until a condition holds after a whole iteration.

    `max_iterations` is what counts: the loader has applied the workflow's loop_limit to it. 0
    never runs the body. Without `until` it runs that often. Outputs: `LoopOutput`.
    """

    id: str
    name: str
    steps: tuple[Step, ...]
    until: Condition | None = None
    max_iterations: int = 3
    on_circle: OnCircle = OnCircle.IGNORE
    condition: Condition | None = None
    allow_failure: bool = False
    commit: str | None = None
    verdict: str | None = None

    @property
    def type(self) -> str:
        return "loop"


@dataclass(frozen=True)
class ParallelStep:
    """Its steps at the same time, at most `limit` of them, in one work tree. One that fails lets
    the others finish; then the whole has failed. No outputs of its own."""

    id: str
    name: str
    steps: tuple[Step, ...]
    limit: int = 4
    condition: Condition | None = None
    allow_failure: bool = False
    commit: str | None = None

    @property
    def type(self) -> str:
        return "parallel"


Step = AgentStep | CommandStep | LoopStep | ParallelStep
"""Ids are unique over the whole workflow, however deep the step."""


def walk(steps: Iterable[Step], parent: str | None = None) -> Iterator[tuple[Step, str | None]]:
    """Every step with the id of the one around it, in the order of the file."""
    for step in steps:
        yield step, parent
        if isinstance(step, LoopStep | ParallelStep):
            yield from walk(step.steps, step.id)


def output_names(step: Step) -> tuple[str, ...]:
    """The outputs that conditions and placeholders may name."""
    match step:
        case AgentStep():
            return tuple(output.name for output in step.outputs)
        case CommandStep():
            return (*CommandOutput, *(Comparison if step.compare_with else ()))
        case LoopStep():
            return tuple(LoopOutput)
        case ParallelStep():
            return ()


def leaf_runs(step: Step) -> int:
    """How often agents and commands run in it at the most."""
    match step:
        case LoopStep():
            return step.max_iterations * sum(map(leaf_runs, step.steps))
        case ParallelStep():
            return sum(map(leaf_runs, step.steps))
        case _:
            return 1


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
    known = {i.name for i in workflow.inputs} | set(TASK_INPUTS)
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
