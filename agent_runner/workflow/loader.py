"""YAML to Workflow. Every error names file, line and column; nothing that is not known passes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from yaml.nodes import Node

from agent_runner.workflow import language as lang
from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    Defaults,
    InputDef,
    LoopStep,
    OnCircle,
    OutputDef,
    ParallelStep,
    Step,
    Workflow,
    WorkflowError,
    conforms,
    leaf_runs,
)
from agent_runner.workflow.references import References
from agent_runner.workflow.shapes import Found
from agent_runner.workflow.source import MAX_BYTES, Source, decode

__all__ = ["WorkflowError", "load_workflow", "parse_workflow", "read_workflow"]

MAX_STEPS = 200
MAX_NESTING = 5
"""Loops and parallel steps inside each other."""
MAX_RUNS = 1_000_000
"""What the loops of a workflow may come to at the most, in runs of agents and commands."""


def load_workflow(path: Path) -> Workflow:
    """Read a workflow file.

    Raises:
        OSError: it cannot be read.
        WorkflowError: it is not a valid workflow.
    """
    with path.open("rb") as file:
        return read_workflow(file, str(path))


def read_workflow(file: BinaryIO, name: str) -> Workflow:
    """Read a workflow from an open file; `name` is what errors call it.

    Raises:
        OSError: it cannot be read.
        WorkflowError: it is not a valid workflow.
    """
    return parse_workflow(decode(file.read(MAX_BYTES + 1), name, "the workflow"), name)


def parse_workflow(text: str, name: str) -> Workflow:
    """Read a workflow from text; `name` is what errors call the file.

    Raises:
        WorkflowError: it is not a valid workflow.
    """
    source = Source(text, name)
    found = lang.WORKFLOW.read(source, source.compose(), "the workflow")
    config, defaults = found.get(lang.WORKFLOW_CONFIG), found.get(lang.WORKFLOW_DEFAULTS)
    reader = _Steps(source, config.get(lang.LOOP_LIMIT) if config else None)
    workflow = Workflow(
        name=found.need(lang.WORKFLOW_NAME),
        description=found.get(lang.WORKFLOW_DESCRIPTION) or "",
        inputs=_inputs(source, found.get(lang.INPUTS) or ()),
        outputs=_outputs(source, found.get(lang.WORKFLOW_OUTPUTS) or ()),
        defaults=Defaults(
            tool=defaults.get(lang.TOOL) if defaults else None,
            model=defaults.get(lang.MODEL) if defaults else None,
        ),
        timeout=config.get(lang.AGENT_TIMEOUT) if config else None,
        steps=reader.read(found.need(lang.STEPS), 0),
    )
    if sum(map(leaf_runs, workflow.steps)) > MAX_RUNS:
        source.fail(found.at(lang.STEPS), _too_many_runs("the workflow's loops"))
    reader.references.check(workflow)
    return workflow


def _too_many_runs(what: str) -> str:
    return f"{what} may come to more than {MAX_RUNS} runs of agents and commands"


def _inputs(source: Source, items: Sequence[Found]) -> tuple[InputDef, ...]:
    seen: set[str] = set()
    inputs: list[InputDef] = []
    for item in items:
        name = item.need(lang.NAME)
        _unique(source, item.at(lang.NAME), f"input {name!r}", seen)
        kind, default = item.need(lang.INPUT_TYPE), item.get(lang.INPUT_DEFAULT)
        if default is not None and not conforms(default, kind):
            source.fail(item.at(lang.INPUT_DEFAULT), f"the default of {name!r} is not a {kind}")
        about = item.get(lang.DESCRIPTION) or ""
        inputs.append(InputDef(name, about, kind, item.need(lang.REQUIRED), default))
    return tuple(inputs)


def _outputs(source: Source, items: Sequence[Found]) -> tuple[OutputDef, ...]:
    seen: set[str] = set()
    outputs: list[OutputDef] = []
    for item in items:
        # A plain text, too, where only some words are allowed.
        name, filename = str(item.need(lang.NAME)), item.get(lang.FILENAME)
        _unique(source, item.at(lang.NAME), f"output {name!r}", seen)
        if filename is not None:
            _unique(source, item.at(lang.FILENAME), f"filename {filename!r}", seen)
        about, kind = item.get(lang.DESCRIPTION) or "", item.need(lang.OUTPUT_TYPE)
        outputs.append(OutputDef(name, about, kind, item.need(lang.REQUIRED), filename))
    return tuple(outputs)


def _unique(source: Source, node: Node, what: str, seen: set[str]) -> None:
    if what in seen:
        source.fail(node, f"{what} is there twice")
    seen.add(what)


class _Steps:
    """Reads the steps of one workflow, however deep, and counts them."""

    def __init__(self, source: Source, loop_limit: int | None) -> None:
        self.references = References(source)
        self._source = source
        self._loop_limit = lang.MAX_ITERATIONS if loop_limit is None else loop_limit
        self._seen: set[str] = set()

    def read(self, items: Sequence[Node], depth: int) -> tuple[Step, ...]:
        return tuple(self._step(item, depth) for item in items)

    def _step(self, node: Node, depth: int) -> Step:
        found = lang.STEP.read(self._source, node, "a step")
        _unique(self._source, found.at(lang.ID), f"step {found.need(lang.ID)!r}", self._seen)
        if len(self._seen) > MAX_STEPS:
            self._source.fail(node, f"a workflow may have at most {MAX_STEPS} steps")
        match found.need(lang.TYPE):
            case lang.StepType.AGENT:
                return self._agent(found)
            case lang.StepType.COMMAND:
                return self._command(found)
            case lang.StepType.LOOP:
                return self._loop(found, depth + 1)
            case lang.StepType.PARALLEL:
                return self._parallel(found, depth + 1)

    def _agent(self, found: Found) -> AgentStep:
        config = found.get(lang.STEP_SETTINGS)
        return AgentStep(
            id=found.need(lang.ID),
            name=found.get(lang.TITLE) or found.need(lang.ID),
            condition=self.references.condition("if", found.get(lang.IF)),
            prompt=self.references.template("prompt", found.need(lang.PROMPT)),
            tool=found.get(lang.TOOL),
            model=found.get(lang.MODEL),
            outputs=_outputs(self._source, found.get(lang.AGENT_OUTPUTS) or ()),
            timeout=config.get(lang.TIMEOUT) if config else None,
            retries=config.need(lang.RETRIES) if config else AgentStep.retries,
            allow_failure=found.need(lang.ALLOW_FAILURE),
            commit=self._commit(found),
        )

    def _command(self, found: Found) -> CommandStep:
        config = found.get(lang.STEP_SETTINGS)
        timeout = found.get(lang.TIMEOUT) or (config.get(lang.TIMEOUT) if config else None)
        args = found.get(lang.ARGS) or ()
        return CommandStep(
            id=found.need(lang.ID),
            name=found.get(lang.TITLE) or found.need(lang.ID),
            condition=self.references.condition("if", found.get(lang.IF)),
            command=self.references.template("command", found.need(lang.COMMAND_TEXT)),
            args=tuple(self.references.template("args", arg) for arg in args),
            outputs=_outputs(self._source, found.get(lang.COMMAND_OUTPUTS) or ()),
            timeout=timeout,
            retries=config.need(lang.RETRIES) if config else CommandStep.retries,
            allow_failure=found.need(lang.ALLOW_FAILURE),
            commit=self._commit(found),
        )

    def _loop(self, found: Found, depth: int) -> LoopStep:
        self._check_depth(found, depth)
        stated, on_circle = found.need(lang.ITERATIONS), found.need(lang.ON_CIRCLE)
        if on_circle is not OnCircle.IGNORE and stated > lang.MAX_CIRCLE_ITERATIONS:
            self._source.fail(
                found.at(lang.ITERATIONS),
                f"with on_circle: {on_circle} max_iterations must be at most "
                f"{lang.MAX_CIRCLE_ITERATIONS}",
            )
        step = LoopStep(
            id=found.need(lang.ID),
            name=found.get(lang.TITLE) or found.need(lang.ID),
            condition=self.references.condition("if", found.get(lang.IF)),
            until=self.references.condition("until", found.get(lang.UNTIL)),
            max_iterations=min(stated, self._loop_limit),
            on_circle=on_circle,
            steps=self.read(found.need(lang.STEPS), depth),
            allow_failure=found.need(lang.ALLOW_FAILURE),
            commit=self._commit(found),
        )
        if leaf_runs(step) > MAX_RUNS:
            self._source.fail(found.at(lang.ITERATIONS, lang.ID), _too_many_runs("this loop"))
        return step

    def _parallel(self, found: Found, depth: int) -> ParallelStep:
        self._check_depth(found, depth)
        return ParallelStep(
            id=found.need(lang.ID),
            name=found.get(lang.TITLE) or found.need(lang.ID),
            condition=self.references.condition("if", found.get(lang.IF)),
            limit=found.need(lang.LIMIT),
            steps=self.read(found.need(lang.CHILDREN), depth),
            allow_failure=found.need(lang.ALLOW_FAILURE),
            commit=self._commit(found),
        )

    def _commit(self, found: Found) -> str | None:
        commit = found.get(lang.COMMIT)
        return None if commit is None else self.references.template("commit", commit)

    def _check_depth(self, found: Found, depth: int) -> None:
        if depth > MAX_NESTING:
            self._source.fail(
                found.at(lang.TYPE), f"steps may be nested at most {MAX_NESTING} deep"
            )
