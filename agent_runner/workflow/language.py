"""Describes the workflow language: the loader reads by this table, and the JSON Schema is made of
it.

Rules that concern more than one key (names that must exist or be unique, nesting, what loops
multiply to) are checked by the loader.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from yaml.nodes import Node

from agent_runner.json_object import Json
from agent_runner.workflow.mapping_shapes import Key, Shape, Variants
from agent_runner.workflow.models import (
    AgentStep,
    CommandOutput,
    LoopStep,
    OnCycle,
    ParallelStep,
    ValueType,
)
from agent_runner.workflow.value_kinds import (
    ConditionText,
    Duration,
    Filename,
    ListOf,
    Name,
    Text,
    TextTemplate,
    TrueOrFalse,
    Version,
    WholeNumber,
    Word,
)
from agent_runner.workflow.yaml_source import YamlSource

VERSION = "1.0"
MAX_RETRIES = 10
MAX_TIMEOUT = 86_400
MAX_ITERATIONS = 10_000
MAX_CYCLE_ITERATIONS = 100
"""A loop that compares its work trees keeps all of them."""
MAX_PARALLEL = 16


class StepType(StrEnum):
    AGENT = "agent"
    COMMAND = "command"
    LOOP = "loop"
    PARALLEL = "parallel"


@dataclass(frozen=True)
class Steps:
    """A list of steps, not yet read: the loader knows how deep it is and counts the steps."""

    def read(self, source: YamlSource, node: Node, what: str) -> list[Node]:
        items = source.items(node, what)
        if not items:
            source.fail(node, f"{what} must hold at least one step")
        return items

    def schema(self) -> Json:
        return {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{_STEP}"}}


_STEP = "step"
# Repeated in each description, because an editor shows an author one key at a time.
_PLACEHOLDERS = (
    "Placeholders: {{inputs.NAME}}, {{steps.ID.outputs.NAME}}, {{task.title}}, "
    "{{task.description}}, {{task.base_commit}}"
)
_CONDITION = "steps.ID.outputs.NAME == VALUE or inputs.NAME != VALUE, joined by && and ||"
_PLAIN_TYPES = (ValueType.STRING, ValueType.NUMBER, ValueType.BOOLEAN)

# --- inputs and outputs ---

NAME = Key("name", Name(), "the name that refers to it")
DESCRIPTION = Key("description", Text(), "what it is, for people and agents")
REQUIRED = Key("required", TrueOrFalse(), "whether it is required", default=False)

INPUT_LABEL = Key("label", Text(), "its label in a form")
INPUT_TYPE = Key("type", Word(_PLAIN_TYPES), "the type of its value", default=ValueType.STRING)
INPUT_DEFAULT = Key("default", Text(), "its value where none is given")
INPUT = Shape(
    "input",
    "an input",
    (NAME, DESCRIPTION, INPUT_LABEL, INPUT_TYPE, REQUIRED, INPUT_DEFAULT),
    (NAME,),
)

OUTPUT_TYPE = Key("type", Word(tuple(ValueType)), "the type of its value", default=ValueType.STRING)
FILENAME = Key(
    "filename",
    Filename(),
    "the file in the work tree that the agent writes it to, which the repository must not have",
)
_VALUE_OUTPUT = Shape(
    "valueOutput", "an output", (NAME, DESCRIPTION, OUTPUT_TYPE, REQUIRED), (NAME,)
)
_FILE_OUTPUT = Shape(
    "fileOutput",
    "an output of type file",
    (NAME, DESCRIPTION, OUTPUT_TYPE, FILENAME, REQUIRED),
    (NAME, FILENAME),
)
OUTPUT = Variants(
    "output",
    "an output",
    OUTPUT_TYPE,
    {**dict.fromkeys(_PLAIN_TYPES, _VALUE_OUTPUT), ValueType.FILE: _FILE_OUTPUT},
)

_COMMAND_OUTPUT_NAME = Key(
    "name", Word(tuple(CommandOutput)), "one of those that every command has"
)
_COMMAND_OUTPUT = Shape(
    "commandOutput",
    "a command's output",
    (_COMMAND_OUTPUT_NAME, DESCRIPTION, INPUT_TYPE, REQUIRED),
    (_COMMAND_OUTPUT_NAME,),
)

# --- steps ---

ID = Key("id", Name(), "its name in conditions and placeholders; unique in the file")
TYPE = Key(
    "type",
    Word(
        tuple(StepType),
        {
            # Known from other workflow languages. A hint helps their users more than a list of the
            # types would.
            "sequential": "steps are done one after the other anyway; use `if` to leave some out",
            "conditional": "use `if` at the steps themselves",
        },
    ),
    "what kind of step it is",
)
TITLE = Key("name", Text(), "what people see (default: the id)")
IF = Key("if", ConditionText(), f"the step is skipped where this is false: {_CONDITION}")
ALLOW_FAILURE = Key(
    "allow_failure", TrueOrFalse(), "its failure does not end the run", default=False
)
COMMIT = Key(
    "commit",
    TextTemplate(),
    f"a message: after the step the work tree is committed with it. {_PLACEHOLDERS}",
)
_COMMON = (ID, TYPE, TITLE, IF, ALLOW_FAILURE, COMMIT)

READ_ONLY = Key(
    "read_only",
    TrueOrFalse(),
    "what it changes in the work tree is put back after it",
    default=False,
)
VERDICT = Key(
    "verdict",
    TextTemplate(),
    "where it does not succeed, the run continues, and its result carries this text, in one line. "
    + _PLACEHOLDERS,
)

TIMEOUT = Key("timeout", Duration(1, MAX_TIMEOUT), "seconds, or a time such as 90s, 5m, 1h")
RETRIES = Key(
    "retries",
    WholeNumber(0, MAX_RETRIES),
    "how often a failed step is tried again",
    default=AgentStep.retries,
)
_STEP_CONFIG = Shape("stepConfig", "config", (TIMEOUT, RETRIES))
STEP_SETTINGS = Key("config", _STEP_CONFIG, "time limit and retries")

PROMPT = Key("prompt", TextTemplate(), f"what the agent is to do. {_PLACEHOLDERS}")
TOOL = Key("tool", Text(), "the agent's name, where it is not the task's; or {{inputs.NAME}}")
MODEL = Key("model", Text(), "the model, as that agent calls it; or {{inputs.NAME}}")
AGENT_OUTPUTS = Key(
    "outputs", ListOf("an output", OUTPUT), "what the agent is asked to answer with"
)
AGENT = Shape(
    "agentStep",
    "a step of type agent",
    (*_COMMON, READ_ONLY, PROMPT, TOOL, MODEL, AGENT_OUTPUTS, STEP_SETTINGS),
    (ID, TYPE, PROMPT),
)

COMMAND_TEXT = Key(
    "command", TextTemplate(), f"what bash runs; values arrive quoted. {_PLACEHOLDERS}"
)
ARGS = Key(
    "args",
    ListOf("an argument", TextTemplate(may_be_empty=True)),
    "arguments after the command, each a text of its own",
)
COMMAND_OUTPUTS = Key(
    "outputs", ListOf("an output", _COMMAND_OUTPUT), "for readers only: every command has all four"
)
COMPARE_WITH = Key(
    "compare_with",
    Name(),
    "the command step that ran the same tests before a change: outputs tell whether only tests "
    "fail that failed then",
)
COMMAND = Shape(
    "commandStep",
    "a step of type command",
    (
        *_COMMON, READ_ONLY, VERDICT, COMMAND_TEXT, ARGS, COMMAND_OUTPUTS, COMPARE_WITH, TIMEOUT,
        STEP_SETTINGS,
    ),
    (ID, TYPE, COMMAND_TEXT),
)  # fmt: skip

STEPS = Key("steps", Steps(), "what is done, in this order")
UNTIL = Key("until", ConditionText(), f"looked at after each whole iteration: {_CONDITION}")
ITERATIONS = Key(
    "max_iterations",
    WholeNumber(0, MAX_ITERATIONS),
    "at most this often; 0 never",
    default=LoopStep.max_iterations,
    # The original spells some keys in camel case. Its files are read unchanged.
    synonyms=("maxIterations",),
)
ON_CYCLE = Key(
    "on_cycle",
    Word(tuple(OnCycle)),
    "where an iteration ends with files that an earlier one ended with: ignore it, end the loop, "
    "or let it fail",
    default=LoopStep.on_cycle,
)
_FEW: Json = {
    name: {"maximum": MAX_CYCLE_ITERATIONS} for name in (ITERATIONS.name, *ITERATIONS.synonyms)
}
_WATCHES: Json = {
    "properties": {ON_CYCLE.name: {"enum": [OnCycle.END.value, OnCycle.FAIL.value]}},
    "required": [ON_CYCLE.name],
}
LOOP = Shape(
    "loopStep",
    "a step of type loop",
    (*_COMMON, VERDICT, STEPS, UNTIL, ITERATIONS, ON_CYCLE),
    (ID, TYPE, STEPS),
    # The loader checks the same. It stands here too so that an editor marks it.
    {"if": _WATCHES, "then": {"properties": _FEW}},
)

CHILDREN = Key("steps", Steps(), "what is done at the same time, in one work tree")
LIMIT = Key(
    "limit", WholeNumber(1, MAX_PARALLEL), "at most this many at once", default=ParallelStep.limit
)
PARALLEL = Shape(
    "parallelStep", "a step of type parallel", (*_COMMON, CHILDREN, LIMIT), (ID, TYPE, CHILDREN)
)

STEP = Variants(
    _STEP,
    "a step",
    TYPE,
    {
        StepType.AGENT: AGENT,
        StepType.COMMAND: COMMAND,
        StepType.LOOP: LOOP,
        StepType.PARALLEL: PARALLEL,
    },
)

# --- the workflow ---

LOOP_LIMIT = Key(
    "loop_limit",
    WholeNumber(0, MAX_ITERATIONS),
    "no loop runs more often, whatever it says",
    synonyms=("loopLimit",),
)
CONTINUE_ON_ERROR = Key(
    "continueOnError",
    # The original's files may say `false`, which is what happens here. `true` would hide failures
    # of any step, so it has to be said at the steps that may fail.
    TrueOrFalse(only=False, why="write allow_failure: true at the steps that may fail"),
    "false: a failed step ends the run, unless it has allow_failure",
    synonyms=("continue_on_error",),
)
AGENT_TIMEOUT = Key(
    "timeout",
    Duration(1, MAX_TIMEOUT),
    "seconds, or a time such as 90s, 5m, 1h, for agent steps that name none",
)
CONFIG = Shape("config", "config", (AGENT_TIMEOUT, LOOP_LIMIT, CONTINUE_ON_ERROR))
DEFAULTS = Shape("defaults", "defaults", (TOOL, MODEL))

WORKFLOW_VERSION = Key("version", Version(VERSION), "of the language")
WORKFLOW_NAME = Key("name", Name(), "for people; tasks ask for a workflow by its file's name")
WORKFLOW_DESCRIPTION = Key("description", Text(), "what it is good for, in a line")
INPUTS = Key("inputs", ListOf("an input", INPUT), "what a task may or must give")
WORKFLOW_OUTPUTS = Key("outputs", ListOf("an output", OUTPUT), "what it gives, for readers")
WORKFLOW_DEFAULTS = Key("defaults", DEFAULTS, "for agent steps that say nothing else")
WORKFLOW_CONFIG = Key("config", CONFIG, "limits for the workflow")
WORKFLOW = Shape(
    "workflow",
    "the workflow",
    (
        WORKFLOW_VERSION,
        WORKFLOW_NAME,
        WORKFLOW_DESCRIPTION,
        INPUTS,
        WORKFLOW_OUTPUTS,
        WORKFLOW_DEFAULTS,
        WORKFLOW_CONFIG,
        STEPS,
    ),
    (WORKFLOW_VERSION, STEPS),
)

SHAPES: tuple[Shape | Variants, ...] = (
    INPUT,
    OUTPUT,
    _VALUE_OUTPUT,
    _FILE_OUTPUT,
    _COMMAND_OUTPUT,
    DEFAULTS,
    CONFIG,
    _STEP_CONFIG,
    STEP,
    AGENT,
    COMMAND,
    LOOP,
    PARALLEL,
)
"""Everything that the workflow itself refers to."""
