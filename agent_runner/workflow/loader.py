"""Reads a workflow file. Every error names file, line and column; unknown keys are errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import BinaryIO, TypedDict

from yaml.nodes import Node

from agent_runner.workflow import language as lang
from agent_runner.workflow.advice import advise
from agent_runner.workflow.conditions import Condition
from agent_runner.workflow.mapping_shapes import Key, ReadMapping, scalars
from agent_runner.workflow.models import (
    Advice,
    AgentStep,
    CommandStep,
    Defaults,
    InputDef,
    LoopStep,
    OnCycle,
    OutputDef,
    ParallelStep,
    Step,
    Workflow,
    WorkflowError,
    conforms,
    leaf_runs,
)
from agent_runner.workflow.references import References
from agent_runner.workflow.value_kinds import Located
from agent_runner.workflow.yaml_source import MAX_BYTES, YamlSource, decode, meant, short

__all__ = [
    "Checked",
    "WorkflowError",
    "check_workflow",
    "load_workflow",
    "parse_workflow",
    "read_workflow",
]

STDIN = "<stdin>"
"""The name of a workflow that is not in a file, in errors."""
# An agent or a model is one name. A text around the placeholder could only become a name that
# nobody checked when the task was created.
_ONE_INPUT = re.compile(r"\{\{\s*inputs\.[A-Za-z_][A-Za-z0-9_-]*\s*\}\}")
MAX_STEPS = 200
MAX_NESTING = 5
"""Loops and parallel steps inside each other."""
MAX_RUNS = 1_000_000
"""The most runs of agents and commands that the loops of a workflow may amount to."""


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


@lru_cache(maxsize=16)
def parse_workflow(text: str, name: str) -> Workflow:
    """Read a workflow from text; `name` is what errors call the file. Kept, because each attempt's
    workflow is asked for four times in the daemon.

    Raises:
        WorkflowError: it is not a valid workflow.
    """
    return check_workflow(text, name).workflow


@dataclass(frozen=True)
class Checked:
    """A workflow, and advice about what is probably not meant in its file."""

    workflow: Workflow
    advice: tuple[Advice, ...]


def check_workflow(text: str, name: str, agents: Collection[str] | None = None) -> Checked:
    """Read a workflow from text, as `parse_workflow` does, and look for what is probably not meant.
    `agents`: the existing ones, if they are known.

    Raises:
        WorkflowError: it is not a valid workflow. Its `all` are all errors of the file.
    """
    source = YamlSource(text, name)
    node = source.compose()
    # An author who has to run the check again for each error gives up, so errors are collected and
    # raised together by `finish`.
    checked: list[Checked] = []
    with source.noting():
        checked.append(_checked(source, node, name, agents))
    source.finish()
    return checked[0]


def _checked(source: YamlSource, node: Node, file: str, agents: Collection[str] | None) -> Checked:
    fields = lang.WORKFLOW.read(source, node, "the workflow")
    config = fields.get(lang.WORKFLOW_CONFIG)
    tools = _Tools(source, agents)
    reader = _Steps(source, config.get(lang.LOOP_LIMIT) if config else None, tools)
    stem = PurePath(file).name.partition(".")[0]
    workflow = _workflow(source, fields, reader, stem)
    # Nested loops multiply: three of 10,000 iterations each pass every other limit, and never end.
    if sum(map(leaf_runs, workflow.steps)) > MAX_RUNS:
        source.fail(fields.at(lang.STEPS), _too_many_runs("the workflow's loops"))
    inputs = [name for item in fields.get(lang.INPUTS) or () if (name := item.get(lang.NAME))]
    reader.references.check(workflow, reader.ids, inputs)
    # Advice about a file with errors would often be about a consequence of one of them.
    if source.wrong:
        return Checked(workflow, ())
    named = fields.at(lang.WORKFLOW_NAME)
    other = named if workflow.name != stem and file != STDIN else None
    advice = advise(workflow, source, reader.references.mentions, fields.at(lang.STEPS), other)
    return Checked(workflow, tuple(advice))


def _workflow(source: YamlSource, fields: ReadMapping, reader: _Steps, stem: str) -> Workflow:
    config, defaults = fields.get(lang.WORKFLOW_CONFIG), fields.get(lang.WORKFLOW_DEFAULTS)
    # The steps first, so that their errors are noted whatever else is wrong.
    steps = reader.read(fields.need(lang.STEPS), 0)
    return Workflow(
        name=fields.get(lang.WORKFLOW_NAME) or stem,
        description=fields.get(lang.WORKFLOW_DESCRIPTION) or "",
        inputs=_inputs(source, fields.get(lang.INPUTS) or ()),
        outputs=_outputs(source, fields.get(lang.WORKFLOW_OUTPUTS) or ()),
        defaults=Defaults(
            tool=reader.tools.of(defaults, defaults.get(lang.TOOL)) if defaults else None,
            model=defaults.get(lang.MODEL) if defaults else None,
        ),
        timeout=config.get(lang.AGENT_TIMEOUT) if config else None,
        steps=steps,
    )


def _too_many_runs(what: str) -> str:
    return f"{what} may come to more than {MAX_RUNS} runs of agents and commands"


def _inputs(source: YamlSource, items: Sequence[ReadMapping]) -> tuple[InputDef, ...]:
    seen: set[str] = set()
    inputs: list[InputDef] = []
    for item in items:
        with source.noting():
            inputs.append(_input(source, item, seen))
    return tuple(inputs)


def _input(source: YamlSource, item: ReadMapping, seen: set[str]) -> InputDef:
    name = item.need(lang.NAME)
    _unique(source, item.at(lang.NAME), f"input {name!r}", seen)
    kind, default = item.need(lang.INPUT_TYPE), item.get(lang.INPUT_DEFAULT)
    if default is not None and not conforms(default, kind):
        source.fail(item.at(lang.INPUT_DEFAULT), f"the default of {name!r} is not a {kind}")
    about = item.get(lang.DESCRIPTION) or ""
    return InputDef(name, about, kind, item.need(lang.REQUIRED), default)


def _outputs(source: YamlSource, items: Sequence[ReadMapping]) -> tuple[OutputDef, ...]:
    seen: set[str] = set()
    outputs: list[OutputDef] = []
    for item in items:
        with source.noting():
            outputs.append(_output(source, item, seen))
    return tuple(outputs)


def _output(source: YamlSource, item: ReadMapping, seen: set[str]) -> OutputDef:
    # The name of a command's output is one of an enum, which is a str.
    name, filename = str(item.need(lang.NAME)), item.get(lang.FILENAME)
    _unique(source, item.at(lang.NAME), f"output {name!r}", seen)
    if filename is not None:
        _unique(source, item.at(lang.FILENAME), f"filename {filename!r}", seen)
    about, kind = item.get(lang.DESCRIPTION) or "", item.need(lang.OUTPUT_TYPE)
    return OutputDef(name, about, kind, item.need(lang.REQUIRED), filename)


def _unique(source: YamlSource, node: Node, what: str, seen: set[str]) -> None:
    if what in seen:
        source.fail(node, f"{what} is defined twice")
    seen.add(what)


@dataclass(frozen=True)
class _Tools:
    """Checks the agents that steps name. `known` None: any agent may exist."""

    source: YamlSource
    known: Collection[str] | None

    def of(self, fields: ReadMapping, tool: str | None) -> str | None:
        """Check an agent's name. One that an input gives is known only when a task is created."""
        # A file is also checked where it is not known which agents exist, such as in an editor.
        if tool is None or self.known is None or tool in self.known or "{{" in tool:
            return tool
        with self.source.noting():
            among = meant(tool, self.known) or f"; there are: {', '.join(self.known)}"
            self.source.fail(fields.at(lang.TOOL), f"there is no agent {short(tool)}{among}")
        return tool


class _Common(TypedDict):
    id: str
    name: str
    condition: Condition | None
    commit: str | None


class _Steps:
    """Reads the steps of one workflow, at any depth, and counts them."""

    def __init__(self, source: YamlSource, loop_limit: int | None, tools: _Tools) -> None:
        self.tools = tools
        self.references = References(source)
        self._source = source
        self._loop_limit = lang.MAX_ITERATIONS if loop_limit is None else loop_limit
        self._seen: set[str] = set()
        self._parallel_around = False
        self.ids: dict[str, None] = {}

    def read(self, items: Sequence[Node], depth: int) -> tuple[Step, ...]:
        """The steps that can be read. The errors of the others are noted."""
        steps: list[Step] = []
        for item in items:
            with self._source.noting():
                steps.append(self._step(item, depth))
        return tuple(steps)

    def _step(self, node: Node, depth: int) -> Step:
        # First, so that no reference to a step counts as unknown because the step has another
        # error.
        self.ids |= dict.fromkeys(scalars(node, lang.ID.name))
        fields = lang.STEP.read(self._source, node, "a step")
        name = fields.need(lang.ID)
        _unique(self._source, fields.at(lang.ID), f"step {name!r}", self._seen)
        if len(self._seen) > MAX_STEPS:
            self._source.fail(node, f"a workflow may have at most {MAX_STEPS} steps")
        match fields.need(lang.TYPE):
            case lang.StepType.AGENT:
                return self._agent(fields)
            case lang.StepType.COMMAND:
                return self._command(fields)
            case lang.StepType.LOOP:
                return self._loop(fields, depth + 1)
            case lang.StepType.PARALLEL:
                return self._parallel(fields, depth + 1)

    def _agent(self, fields: ReadMapping) -> AgentStep:
        config = fields.get(lang.STEP_SETTINGS)
        if not fields.valid:
            self.references.not_valid(fields.need(lang.ID))
        return AgentStep(
            **self._common(fields),
            prompt=self._template(fields, lang.PROMPT),
            tool=self.tools.of(fields, self._named(fields, lang.TOOL)),
            model=self._named(fields, lang.MODEL),
            outputs=_outputs(self._source, fields.get(lang.AGENT_OUTPUTS) or ()),
            timeout=config.get(lang.TIMEOUT) if config else None,
            retries=config.need(lang.RETRIES) if config else AgentStep.retries,
            allow_failure=fields.need(lang.ALLOW_FAILURE),
            read_only=self._read_only(fields),
        )

    def _command(self, fields: ReadMapping) -> CommandStep:
        config = fields.get(lang.STEP_SETTINGS)
        timeout = fields.get(lang.TIMEOUT) or (config.get(lang.TIMEOUT) if config else None)
        step, args = fields.need(lang.ID), fields.get(lang.ARGS) or ()
        verdict = self._optional(fields, lang.VERDICT)
        return CommandStep(
            **self._common(fields),
            command=self._template(fields, lang.COMMAND_TEXT),
            args=tuple(self.references.template(step, lang.ARGS.name, arg) for arg in args),
            outputs=_outputs(self._source, fields.get(lang.COMMAND_OUTPUTS) or ()),
            timeout=timeout,
            retries=config.need(lang.RETRIES) if config else CommandStep.retries,
            # A verdict reports the failure in the result of the run, which therefore continues.
            allow_failure=fields.need(lang.ALLOW_FAILURE) or verdict is not None,
            read_only=self._read_only(fields),
            verdict=verdict,
            compare_with=self._compared(fields),
        )

    def _compared(self, fields: ReadMapping) -> str | None:
        step = fields.get(lang.COMPARE_WITH)
        if step is not None:
            where, node = fields.need(lang.ID), fields.at(lang.COMPARE_WITH)
            self.references.command(where, lang.COMPARE_WITH.name, node, step)
        return step

    def _loop(self, fields: ReadMapping, depth: int) -> LoopStep:
        self._check_depth(fields, depth)
        stated, on_cycle = fields.need(lang.ITERATIONS), fields.need(lang.ON_CYCLE)
        if on_cycle is not OnCycle.IGNORE and stated > lang.MAX_CYCLE_ITERATIONS:
            self._source.fail(
                fields.at(lang.ITERATIONS),
                f"with on_cycle: {on_cycle} max_iterations must be at most "
                f"{lang.MAX_CYCLE_ITERATIONS}",
            )
        verdict = self._optional(fields, lang.VERDICT)
        step = LoopStep(
            **self._common(fields),
            until=self._condition(fields, lang.UNTIL),
            # `loop_limit` bounds the cost of a whole run, so it overrules what each loop says.
            max_iterations=min(stated, self._loop_limit),
            on_cycle=on_cycle,
            steps=self.read(fields.need(lang.STEPS), depth),
            allow_failure=fields.need(lang.ALLOW_FAILURE) or verdict is not None,
            verdict=verdict,
        )
        if leaf_runs(step) > MAX_RUNS:
            self._source.fail(fields.at(lang.ITERATIONS, lang.ID), _too_many_runs("this loop"))
        return step

    def _parallel(self, fields: ReadMapping, depth: int) -> ParallelStep:
        self._check_depth(fields, depth)
        steps = self._beside(fields.need(lang.CHILDREN), depth)
        return ParallelStep(
            **self._common(fields),
            limit=fields.need(lang.LIMIT),
            steps=steps,
            allow_failure=fields.need(lang.ALLOW_FAILURE),
        )

    def _beside(self, items: Sequence[Node], depth: int) -> tuple[Step, ...]:
        """The steps of a parallel step, which share one work tree."""
        # Restored afterwards and not set to False, because parallel steps may be nested.
        before, self._parallel_around = self._parallel_around, True
        steps = self.read(items, depth)
        self._parallel_around = before
        return steps

    def _named(self, fields: ReadMapping, key: Key[str]) -> str | None:
        """The name of an agent or a model, or the placeholder of the input that names it."""
        text = fields.get(key)
        if text is not None and "{{" in text:
            self.references.template(fields.need(lang.ID), key.name, Located(text, fields.at(key)))
            if not _ONE_INPUT.fullmatch(text):
                message = f"{key.name} must be a name, or one input: {{{{inputs.NAME}}}}"
                self._source.fail(fields.at(key), message)
        return text

    def _common(self, fields: ReadMapping) -> _Common:
        """The values that every type of step has."""
        return {
            "id": fields.need(lang.ID),
            "name": fields.get(lang.TITLE) or fields.need(lang.ID),
            "condition": self._condition(fields, lang.IF),
            "commit": self._optional(fields, lang.COMMIT),
        }

    def _condition(self, fields: ReadMapping, key: Key[Located[Condition]]) -> Condition | None:
        return self.references.condition(fields.need(lang.ID), key.name, fields.get(key))

    def _template(self, fields: ReadMapping, key: Key[Located[str]]) -> str:
        return self.references.template(fields.need(lang.ID), key.name, fields.need(key))

    def _optional(self, fields: ReadMapping, key: Key[Located[str]]) -> str | None:
        return None if fields.get(key) is None else self._template(fields, key)

    def _read_only(self, fields: ReadMapping) -> bool:
        value = fields.need(lang.READ_ONLY)
        # What a step changed is found by comparing the whole work tree before and after it, so
        # changes of a sibling that runs at the same time would be taken for its own.
        if value and self._parallel_around:
            self._source.fail(
                fields.at(lang.READ_ONLY),
                "a step inside a parallel step cannot be read_only: what the others write at the "
                "same time, in the same work tree, would be put back, too",
            )
        return value

    def _check_depth(self, fields: ReadMapping, depth: int) -> None:
        if depth > MAX_NESTING:
            self._source.fail(
                fields.at(lang.TYPE), f"steps may be nested at most {MAX_NESTING} deep"
            )
