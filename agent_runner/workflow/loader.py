"""YAML to Workflow. Every error names file, line and column; nothing that is not known passes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from agent_runner.workflow import conditions
from agent_runner.workflow.models import (
    AgentStep,
    CommandStep,
    Defaults,
    InputDef,
    OutputDef,
    Step,
    ValueType,
    Workflow,
    WorkflowError,
    conforms,
)

MAX_BYTES = 256_000
MAX_DEPTH = 32
MAX_ALIASES = 64
MAX_STEPS = 200
MAX_RETRIES = 10
MAX_TIMEOUT = 86_400
VERSION = "1.0"
COMMAND_OUTPUTS = ("stdout", "stderr", "exit_code", "success")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_NOT_YET = ("loop", "parallel", "sequential", "conditional")
_LATER_KEYS = frozenset(
    (
        "until",
        "max_iterations",
        "maxIterations",
        "loop_limit",
        "loopLimit",
        "continueOnError",
        "continue_on_error",
        "filename",
    )
)

T = TypeVar("T")


def load_workflow(path: Path) -> Workflow:
    """Read a workflow file.

    Raises:
        OSError: it cannot be read.
        WorkflowError: it is not a valid workflow.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WorkflowError(str(path), line, 1, "the file is not UTF-8 text") from None
    return parse_workflow(text, str(path))


def parse_workflow(text: str, name: str) -> Workflow:
    """Read a workflow from text; `name` is what errors call the file.

    Raises:
        WorkflowError: it is not a valid workflow.
    """
    if len(text.encode()) > MAX_BYTES:
        raise WorkflowError(name, 1, 1, f"the workflow is larger than {MAX_BYTES} bytes")
    reader = _Reader(name)
    return _workflow(reader, reader.compose(text))


class _Limited(yaml.SafeLoader):
    """Composes nodes within limits on depth and aliases, and never builds an object."""

    depth = 0
    aliases = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = cast("yaml.Event", self.peek_event())  # pyright: ignore[reportUnknownMemberType] - untyped in its stubs
        self.aliases += isinstance(event, yaml.AliasEvent)
        self.depth += 1
        mark = cast("yaml.Mark", event.start_mark)
        if self.aliases > MAX_ALIASES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_ALIASES} aliases", problem_mark=mark
            )
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Reader:
    """Turns nodes into values, or says where one is wrong."""

    def __init__(self, file: str) -> None:
        self._file = file

    def compose(self, text: str) -> Node:
        try:
            node = _Limited(text).get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            problem = error.problem or error.context or "not valid YAML"
            raise WorkflowError(self._file, *place, f"not valid YAML: {problem}") from None
        except yaml.YAMLError as error:
            problem = str(error).splitlines()[0]
            raise WorkflowError(self._file, 1, 1, f"not valid YAML: {problem}") from None
        if node is None:
            raise WorkflowError(self._file, 1, 1, "the workflow is empty")
        return node

    def fail(self, node: Node, message: str, *, right: int = 0) -> NoReturn:
        mark = node.start_mark
        raise WorkflowError(self._file, mark.line + 1, mark.column + 1 + right, message)

    def mapping(
        self, node: Node, what: str, allowed: Sequence[str], required: Sequence[str] = ()
    ) -> dict[str, Node]:
        if not isinstance(node, MappingNode):
            self.fail(node, f"{what} must be a mapping")
        found: dict[str, Node] = {}
        for key_node, value in node.value:
            key = self.text(key_node, f"a key of {what}")
            if key in found:
                self.fail(key_node, f"{key!r} is there twice in {what}")
            if key not in allowed:
                if key in _LATER_KEYS:
                    self.fail(key_node, f"{key!r} is not supported yet")
                self.fail(key_node, f"unknown key {key!r} in {what}; known: {', '.join(allowed)}")
            found[key] = value
        for key in required:
            if key not in found:
                self.fail(node, f"{what} needs {key!r}")
        return found

    def items(self, node: Node, what: str) -> list[Node]:
        if not isinstance(node, SequenceNode):
            self.fail(node, f"{what} must be a list")
        return list(node.value)

    def text(self, node: Node, what: str) -> str:
        if not isinstance(node, ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            self.fail(node, f"{what} must be a text")
        return str(node.value)

    def name(self, node: Node, what: str) -> str:
        value = self.text(node, what)
        if not _NAME.fullmatch(value):
            self.fail(
                node,
                f"{what} {value[:80]!r} must begin with a letter or _ and hold only letters, "
                "digits, - and _ (at most 64)",
            )
        return value

    def boolean(self, node: Node, what: str) -> bool:
        word = self.text(node, what).lower()
        if word not in {"true", "false", "yes", "no", "on", "off"}:
            self.fail(node, f"{what} must be true or false")
        return word in {"true", "yes", "on"}

    def number(self, node: Node, what: str, low: float, high: float) -> float:
        try:
            value = float(self.text(node, what))
        except ValueError:
            self.fail(node, f"{what} must be a number")
        if not low <= value <= high:
            self.fail(node, f"{what} must be from {low:g} to {high:g}")
        return value

    def value_type(self, node: Node) -> ValueType:
        value = self.text(node, "type")
        if value == "file":
            self.fail(node, "type 'file' is not supported yet; use string")
        if value not in set(ValueType):
            self.fail(node, f"unknown type {value!r}; known: {', '.join(ValueType)}")
        return ValueType(value)

    def condition(self, node: Node) -> conditions.Condition:
        text = self.text(node, "if")
        try:
            return conditions.parse(text)
        except conditions.ConditionError as error:
            # Inside quotes and block texts the offset would point beside the place.
            plain = isinstance(node, ScalarNode) and not node.style
            self.fail(node, f"if: {error.message}", right=error.offset if plain else 0)


Keys = Mapping[str, Node]


def _maybe(keys: Keys, key: str, read: Callable[[Node], T], default: T) -> T:
    return read(keys[key]) if key in keys else default


def _text(reader: _Reader, keys: Keys, key: str) -> str | None:
    return reader.text(keys[key], key) if key in keys else None


def _flag(reader: _Reader, keys: Keys, key: str) -> bool:
    return key in keys and reader.boolean(keys[key], key)


def _workflow(r: _Reader, root: Node) -> Workflow:
    allowed = ("version", "name", "description", "inputs", "outputs", "defaults", "config", "steps")
    keys = r.mapping(root, "the workflow", allowed, ("version", "name", "steps"))
    if (version := r.text(keys["version"], "version")) != VERSION:
        r.fail(keys["version"], f"version {version!r} is not known; write version: '{VERSION}'")
    defaults = _maybe(keys, "defaults", lambda n: r.mapping(n, "defaults", ("tool", "model")), {})
    config = _maybe(keys, "config", lambda n: r.mapping(n, "config", ("timeout",)), {})
    return Workflow(
        name=r.name(keys["name"], "name"),
        description=_text(r, keys, "description") or "",
        inputs=_maybe(keys, "inputs", lambda n: _inputs(r, n), ()),
        outputs=_maybe(keys, "outputs", lambda n: _outputs(r, n), ()),
        defaults=Defaults(tool=_text(r, defaults, "tool"), model=_text(r, defaults, "model")),
        timeout=_timeout(r, config),
        steps=_steps(r, keys["steps"]),
    )


def _unique(r: _Reader, node: Node, name: str, seen: set[str], what: str) -> None:
    if name in seen:
        r.fail(node, f"{what} {name!r} is there twice")
    seen.add(name)


def _inputs(r: _Reader, node: Node) -> tuple[InputDef, ...]:
    seen: set[str] = set()
    found: list[InputDef] = []
    allowed = ("name", "description", "label", "type", "required", "default")
    for item in r.items(node, "inputs"):
        keys = r.mapping(item, "an input", allowed, ("name",))
        name = r.name(keys["name"], "name")
        _unique(r, keys["name"], name, seen, "input")
        kind = _maybe(keys, "type", r.value_type, ValueType.STRING)
        default = _text(r, keys, "default")
        if default is not None and not conforms(default, kind):
            r.fail(keys["default"], f"the default of {name!r} is not a {kind}")
        required = _maybe(keys, "required", lambda n: r.boolean(n, "required"), False)
        found.append(InputDef(name, _text(r, keys, "description") or "", kind, required, default))
    return tuple(found)


def _outputs(r: _Reader, node: Node) -> tuple[OutputDef, ...]:
    seen: set[str] = set()
    found: list[OutputDef] = []
    allowed = ("name", "description", "type", "required")
    for item in r.items(node, "outputs"):
        keys = r.mapping(item, "an output", allowed, ("name",))
        name = r.name(keys["name"], "name")
        _unique(r, keys["name"], name, seen, "output")
        kind = _maybe(keys, "type", r.value_type, ValueType.STRING)
        required = _maybe(keys, "required", lambda n: r.boolean(n, "required"), False)
        found.append(OutputDef(name, _text(r, keys, "description") or "", kind, required))
    return tuple(found)


def _steps(r: _Reader, node: Node) -> tuple[Step, ...]:
    seen: set[str] = set()
    found: list[Step] = []
    for item in r.items(node, "steps"):
        step, place = _step(r, item)
        _unique(r, place, step.id, seen, "step")
        found.append(step)
    if not found:
        r.fail(node, "a workflow needs at least one step")
    if len(found) > MAX_STEPS:
        r.fail(node, f"a workflow may have at most {MAX_STEPS} steps")
    return tuple(found)


_COMMON = ("id", "type", "name", "if", "outputs", "config")
_KEYS = {
    "agent": (*_COMMON, "prompt", "tool", "model"),
    "command": (*_COMMON, "command", "args", "allow_failure", "timeout"),
}


def _step(r: _Reader, node: Node) -> tuple[Step, Node]:
    kind = _step_type(r, node)
    body = "prompt" if kind == "agent" else "command"
    keys = r.mapping(node, f"a step of type {kind}", _KEYS[kind], ("id", "type", body))
    step_id = r.name(keys["id"], "id")
    name = _text(r, keys, "name") or step_id
    config = _maybe(keys, "config", lambda n: r.mapping(n, "config", ("timeout", "retries")), {})
    timeout = _timeout(r, keys) or _timeout(r, config)
    retries = int(_maybe(config, "retries", lambda n: r.number(n, "retries", 0, MAX_RETRIES), 0.0))
    condition = r.condition(keys["if"]) if "if" in keys else None
    outputs = _maybe(keys, "outputs", lambda n: _outputs(r, n), ())
    text = r.text(keys[body], body)
    if not text.strip():
        r.fail(keys[body], f"{body} is empty")
    if kind == "agent":
        step: Step = AgentStep(
            id=step_id,
            name=name,
            prompt=text,
            tool=_text(r, keys, "tool"),
            model=_text(r, keys, "model"),
            condition=condition,
            outputs=outputs,
            timeout=timeout,
            retries=retries,
        )
        return step, keys["id"]
    for output in outputs:
        if output.name not in COMMAND_OUTPUTS:
            r.fail(keys["outputs"], f"a command's outputs are {', '.join(COMMAND_OUTPUTS)}")
    args = _maybe(keys, "args", lambda n: r.items(n, "args"), [])
    step = CommandStep(
        id=step_id,
        name=name,
        command=text,
        args=tuple(r.text(a, "an argument") for a in args),
        allow_failure=_flag(r, keys, "allow_failure"),
        condition=condition,
        outputs=outputs,
        timeout=timeout,
        retries=retries,
    )
    return step, keys["id"]


def _step_type(r: _Reader, node: Node) -> str:
    """The type first: what else a step may say depends on it."""
    if not isinstance(node, MappingNode):
        r.fail(node, "a step must be a mapping")
    found = [v for k, v in node.value if isinstance(k, ScalarNode) and k.value == "type"]
    if not found:
        r.fail(node, "a step needs 'type': agent or command")
    kind = r.text(found[0], "type")
    if kind in _NOT_YET:
        r.fail(found[0], f"steps of type {kind!r} are not supported yet")
    if kind not in _KEYS:
        r.fail(found[0], f"unknown step type {kind!r}; known: {', '.join(_KEYS)}")
    return kind


def _timeout(r: _Reader, keys: Keys) -> float | None:
    if "timeout" not in keys:
        return None
    return r.number(keys["timeout"], "timeout", 1, MAX_TIMEOUT)
