"""A workflow as plain, immutable data, and the error of reading one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agent_runner.workflow.conditions import Condition


class WorkflowError(Exception):
    """A workflow file that cannot be used. Lines and columns count from 1. `others` are the other
    errors in the file; the message has a line for each."""

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
    """Something in a workflow file that is valid and probably not meant."""

    line: int
    column: int
    message: str


class InputError(Exception):
    """Inputs that do not fit the workflow. The message names every one of them."""


class ValueType(StrEnum):
    """The type of an input or an output. FILE: the agent writes the value into a file."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    FILE = "file"


class CommandOutput(StrEnum):
    """The outputs of every command step."""

    STDOUT = "stdout"
    STDERR = "stderr"
    EXIT_CODE = "exit_code"
    SUCCESS = "success"


class Comparison(StrEnum):
    """Further outputs of a command step that is compared with an earlier one: the names of the
    tests that failed, whether all of them failed earlier, too, and that in words. They are empty if
    the command succeeded; `only_old_failures` also if the names cannot be read."""

    FAILED_TESTS = "failed_tests"
    ONLY_OLD_FAILURES = "only_old_failures"
    COMPARED = "compared"


class LoopOutput(StrEnum):
    """The outputs of every loop, whether its condition was met or not."""

    ITERATIONS = "iterations"
    CONDITION_MET = "condition_met"
    CYCLE = "cycle"


class OnCycle(StrEnum):
    """What a loop does when an iteration ends with a work tree that an earlier one ended with."""

    IGNORE = "ignore"
    END = "end"
    FAIL = "fail"


TASK_INPUTS = ("title", "description")
"""Inputs that every task has."""


@dataclass(frozen=True)
class InputDef:
    """An input that a workflow asks for. `default` is its value if none is given."""

    name: str
    description: str = ""
    type: ValueType = ValueType.STRING
    required: bool = False
    default: str | None = None


@dataclass(frozen=True)
class OutputDef:
    """An output of a step or a workflow. `filename` is the file of an output of type FILE."""

    name: str
    description: str = ""
    type: ValueType = ValueType.STRING
    required: bool = False
    filename: str | None = None


@dataclass(frozen=True)
class Defaults:
    tool: str | None = None
    model: str | None = None


# The fields of the steps. `allow_failure`: a failure does not end the run. `commit`: a template;
# after the step the work tree is committed on the task's branch (a checkpoint commit).
# `read_only`: what the step changes in the work tree is put back. `verdict`: a template that says
# what the step's failure means for the result; it implies `allow_failure`.


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
    """the step that ran the same tests before; not in the digest, which older journals hold"""

    @property
    def type(self) -> str:
        return "command"


@dataclass(frozen=True)
class LoopStep:
    """A step that repeats its steps until a condition holds at the end of an iteration.

    `max_iterations` is what counts: the loader has applied the workflow's loop_limit to it. 0
    never runs the body. Without `until` it runs that often. Outputs: `LoopOutput`.
    """

    id: str
    name: str
    steps: tuple[Step, ...]
    until: Condition | None = None
    max_iterations: int = 3
    on_cycle: OnCycle = OnCycle.IGNORE
    condition: Condition | None = None
    allow_failure: bool = False
    commit: str | None = None
    verdict: str | None = None

    @property
    def type(self) -> str:
        return "loop"


@dataclass(frozen=True)
class ParallelStep:
    """A step that runs its steps at the same time, at most `limit` of them, in one work tree. If
    one fails, the others finish, and then the parallel step has failed. It has no outputs."""

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
    """All steps with the id of the step around each, in the order of the file."""
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
    """The most runs of agents and commands that a step can amount to."""
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
    """A short digest of a step's definition, to notice that a step changed since a checkpoint."""
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
