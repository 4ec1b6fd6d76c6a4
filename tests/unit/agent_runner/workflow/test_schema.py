"""The published JSON Schema and the loader are two readings of one description."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent_runner.workflow.loader import parse_workflow
from agent_runner.workflow.mapping_shapes import ReadMapping, Shape
from agent_runner.workflow.models import WorkflowError
from agent_runner.workflow.schema import as_text, workflow_schema

Json = dict[str, Any]
FOLDER = Path(__file__).parents[4] / "workflows"
PUBLISHED = FOLDER / "workflow.schema.json"
VALIDATOR = Draft202012Validator(workflow_schema())


class Core(yaml.SafeLoader):
    """YAML 1.2, as editors read it: `yes` is a text, and so is a date."""


Core.yaml_implicit_resolvers = {
    first: [(t, r) for t, r in resolvers if t.rpartition(":")[2] in {"int", "float", "null"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Core.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


def wrong(document: object) -> str | None:
    """What the loader says of it. JSON is YAML."""
    try:
        parse_workflow(json.dumps(document, ensure_ascii=False), "f")
    except WorkflowError as error:
        return error.message
    return None


def test_the_published_schema_is_up_to_date() -> None:
    """Write it anew: python -m agent_runner.workflow.schema > workflows/workflow.schema.json"""
    assert PUBLISHED.read_text("utf-8") == as_text()
    Draft202012Validator.check_schema(json.loads(as_text()))


def definitions() -> Iterator[tuple[str, Json]]:
    schema = workflow_schema()
    yield "workflow", schema
    yield from schema["$defs"].items()


@pytest.mark.parametrize(("name", "definition"), [*definitions()])
def test_editors_can_say_what_everything_is(name: str, definition: Json) -> None:
    assert definition["title"], name
    for word, schema in definition["properties"].items():
        assert schema["description"], word
        if reference := schema.get("$ref"):
            assert reference.removeprefix("#/$defs/") in workflow_schema()["$defs"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_built_in_workflows_fit_and_name_it(path: Path) -> None:
    """G7."""
    text = path.read_text("utf-8")
    assert text.startswith(f"# yaml-language-server: $schema={PUBLISHED.name}\n")
    VALIDATOR.validate(yaml.load(text, Core))
    VALIDATOR.validate(yaml.safe_load(text))


def test_the_examples_of_the_page_are_right() -> None:
    page = (FOLDER.parent / "docs" / "workflows.md").read_text("utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    workflows = [example for example in examples if "version:" in example]
    assert len(workflows) == 2
    for workflow in workflows:
        parse_workflow(workflow, "page")
        VALIDATOR.validate(yaml.load(workflow, Core))


HEAD = 'version: "1.0"\nname: w\n'
AGENT = "{id: a, type: agent, prompt: p}"
COMMAND = "{id: c, type: command, command: c}"


def step(text: str) -> str:
    return f"{HEAD}steps: [{text}]"


GOOD = [
    step(AGENT),
    'version: 1.0\nname: w\ndescription: 5\nsteps: [{id: "yes", type: agent, prompt: true}]',
    f"{HEAD}config: {{timeout: 1.5, loopLimit: 0, continueOnError: No}}\nsteps: [{AGENT}]",
    f"{HEAD}inputs: [{{name: a, type: number, default: 2020-01-01}}]\nsteps: [{AGENT}]".replace(
        "number", "string"
    ),
    f"{HEAD}outputs: [{{name: o, type: file, filename: a/b}}]\nsteps: [{AGENT}]",
    step("{id: l, type: loop, maxIterations: 100, on_cycle: fail, steps: [" + COMMAND + "]}"),
    step("{id: l, type: loop, max_iterations: 10000, steps: [" + COMMAND + "]}"),
    step("{id: a, type: agent, prompt: p, read_only: true}"),
    step("{id: a, type: command, command: c, read_only: no, verdict: it fails}"),
    step("{id: l, type: loop, verdict: 1, steps: [" + COMMAND + "]}"),
    step("{id: p, type: parallel, limit: 16, allow_failure: ON, steps: [" + COMMAND + "]}"),
    step("{id: c, type: command, command: 1, args: ['', 2, no], outputs: [{name: stdout}]}"),
    step("{id: a, type: agent, prompt: p, if: inputs.title == 1, config: {retries: 10}}"),
]
BAD_SHAPE = [
    "[]",
    "version: 1.0\nname: w",
    step(AGENT).replace("1.0", "1.1"),
    step(AGENT).replace("name: w", "name: a b"),
    step(AGENT) + "\nwat: 1",
    step(""),
    step("x"),
    step("{id: a, prompt: p}"),
    step("{id: a, type: sequential, steps: []}"),
    step("{id: a, type: agent, prompt: ' '}"),
    step("{id: a, type: agent, prompt: [p]}"),
    step("{id: a, type: agent, prompt: p, command: c}"),
    step("{id: a, type: agent, prompt: p, if: ''}"),
    step("{id: a, type: agent, prompt: p, if: true}"),
    step("{id: a, type: agent, prompt: p, allow_failure: 1}"),
    step("{id: a, type: agent, prompt: p, verdict: v}"),
    step("{id: a, type: command, command: c, verdict: ' '}"),
    step("{id: l, type: loop, read_only: true, steps: [" + COMMAND + "]}"),
    step("{id: a, type: agent, prompt: p, config: {timeout: 0}}"),
    step("{id: a, type: agent, prompt: p, config: {timeout: '5'}}"),
    step("{id: a, type: agent, prompt: p, config: {retries: 1.5}}"),
    step("{id: a, type: agent, prompt: p, outputs: [{name: o, type: file}]}"),
    step("{id: a, type: agent, prompt: p, outputs: [{name: o, filename: f}]}"),
    step("{id: a, type: agent, prompt: p, outputs: [{name: o, type: file, filename: ../f}]}"),
    step("{id: a, type: agent, prompt: p, outputs: [{name: o, type: date}]}"),
    step("{id: c, type: command, command: c, outputs: [{name: other}]}"),
    step("{id: c, type: command, command: c, outputs: [{name: stdout, type: file, filename: f}]}"),
    step("{id: l, type: loop, steps: []}"),
    step("{id: l, type: loop, until: x, steps: [" + COMMAND + "]}"),
    step("{id: l, type: loop, max_iterations: 1, maxIterations: 1, steps: [" + COMMAND + "]}"),
    step("{id: l, type: loop, max_iterations: 10001, steps: [" + COMMAND + "]}"),
    step("{id: l, type: loop, max_iterations: 101, on_cycle: end, steps: [" + COMMAND + "]}"),
    step("{id: l, type: loop, maxIterations: 101, on_cycle: fail, steps: [" + COMMAND + "]}"),
    step("{id: l, type: loop, on_cycle: stop, steps: [" + COMMAND + "]}"),
    step("{id: p, type: parallel, limit: 17, steps: [" + COMMAND + "]}"),
    step("{id: p, type: parallel, outputs: [], steps: [" + COMMAND + "]}"),
    f"{HEAD}config: {{continueOnError: yes}}\nsteps: [{AGENT}]",
    f"{HEAD}config: {{continue_on_error: true}}\nsteps: [{AGENT}]",
    f"{HEAD}inputs: [{{name: a, type: file}}]\nsteps: [{AGENT}]",
    f"{HEAD}defaults: {{tool: null}}\nsteps: [{AGENT}]",
]
ONLY_THE_LOADER = [
    step(f"{AGENT}, {AGENT}"),
    step("{id: a, type: agent, prompt: '{{inputs.nope}}'}"),
    step("{id: a, type: agent, prompt: p, if: steps.b.outputs.c == 1}"),
    step("{id: a, type: agent, prompt: p, if: a == 1}"),
    f"{HEAD}inputs: [{{name: a, type: number, default: x}}]\nsteps: [{AGENT}]",
]


def loads(text: str) -> bool:
    try:
        parse_workflow(text, "f")
    except WorkflowError:
        return False
    return True


@pytest.mark.parametrize("text", GOOD)
def test_what_the_loader_takes_fits_the_schema(text: str) -> None:
    assert loads(text)
    VALIDATOR.validate(yaml.load(text, Core))


@pytest.mark.parametrize("text", BAD_SHAPE)
def test_what_has_a_wrong_shape_is_refused_by_both(text: str) -> None:
    assert not loads(text)
    assert not VALIDATOR.is_valid(yaml.load(text, Core))


@pytest.mark.parametrize("text", ONLY_THE_LOADER)
def test_what_no_schema_can_tell_the_loader_refuses(text: str) -> None:
    assert not loads(text)
    assert VALIDATOR.is_valid(yaml.load(text, Core))


FULL: Json = {
    "version": "1.0",
    "name": "w",
    "description": "d",
    "inputs": [{"name": "i", "type": "boolean", "default": "yes", "required": False, "label": "l"}],
    "outputs": [{"name": "o", "type": "file", "filename": "f", "required": True}],
    "defaults": {"tool": "claude", "model": "m"},
    "config": {"timeout": 60, "loop_limit": 50, "continueOnError": False},
    "steps": [
        {
            "id": "l",
            "type": "loop",
            "until": "steps.c.outputs.success == true",
            "max_iterations": 100,
            "on_cycle": "end",
            "steps": [
                {
                    "id": "p",
                    "type": "parallel",
                    "limit": 2,
                    "name": "P",
                    "steps": [
                        {"id": "c", "type": "command", "command": "x", "args": ["a"], "timeout": 5,
                         "outputs": [{"name": "stdout", "type": "string"}], "allow_failure": True},
                    ],
                }
            ],
        },
        {"id": "a", "type": "agent", "prompt": "do {{inputs.i}}", "tool": "t", "model": "m",
         "if": "inputs.i == 1", "commit": "c", "config": {"timeout": 1.5, "retries": 2},
         "outputs": [{"name": "x", "description": "d", "type": "number"},
                     {"name": "y", "type": "file", "filename": "y.md"}]},
    ],
}  # fmt: skip
"""Every kind of mapping is in it."""

Path_ = tuple[str | int, ...]


def places(value: object, path: Path_ = ()) -> Iterator[Path_]:
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from places(item, (*path, key))


def at(document: Any, path: Path_) -> Any:
    for key in path:
        document = document[key]
    return document


WORDS = sorted({word for _, d in definitions() for word in d["properties"]} | {"wat"})
MAPPINGS = [path for path in places(FULL) if isinstance(at(FULL, path), dict)]


def test_the_sample_has_every_kind_of_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the two tests below leave none out."""
    seen: set[str] = set()
    read = Shape.read

    def noted(self: Shape, *args: Any) -> ReadMapping:
        seen.add(self.name)
        return read(self, *args)

    monkeypatch.setattr(Shape, "read", noted)
    assert wrong(FULL) is None
    VALIDATOR.validate(FULL)
    assert seen == {name for name, d in definitions() if "additionalProperties" in d}


def unknown_keys(path: Path_) -> list[str]:
    """The words that the loader does not know in a mapping."""
    return [w for w in WORDS if (wrong(with_key(path, w)) or "").startswith("unknown key")]


def with_key(path: Path_, word: str, value: object = None) -> Json:
    document = copy.deepcopy(FULL)
    at(document, path).setdefault(word, value)
    return document


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: "/".join(map(str, path)) or "workflow")
def test_both_know_the_same_keys_everywhere(path: Path_) -> None:
    unknown = unknown_keys(path)
    assert "wat" in unknown
    for word in WORDS:
        errors = VALIDATOR.iter_errors(with_key(path, word))
        refused = any(
            error.validator == "additionalProperties" and f"'{word}'" in error.message
            for error in errors
        )
        assert refused is (word in unknown), word


SCALARS = st.sampled_from(
    ["", " ", "x", "a b", "yes", "On", "true", "1", "file", "loop", "agent", "end", "stdout", "../x",
     "inputs.i == 1", "steps.c.outputs.success != 0", "{{inputs.i}}", "{{inputs.nope}}", True, False,
     None, 0, 1, -1, 1.0, 1.5, 5, 16, 17, 100, 101, 10_000, 10_001, 86_401]
)  # fmt: skip
VALUES = (
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(st.sampled_from(WORDS), SCALARS, max_size=2)
)
BEYOND_A_SCHEMA = re.compile(
    "there is no |has no output|has no outputs|is (?:defined|given) twice|may come to|is not a |put it in quotes"
    "|is not a placeholder|: expected steps|a value is missing"
)


@st.composite
def mutants(draw: st.DrawFn) -> Json:
    document = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in places(document) if p]))
        parent = at(document, path[:-1])
        match draw(st.sampled_from(["change", "remove", "add", "move"])):
            case "change":
                parent[path[-1]] = draw(VALUES)
            case "remove":
                del parent[path[-1]]
            case "move" if isinstance(parent, dict):
                parent[draw(st.sampled_from(WORDS))] = parent.pop(path[-1])
            case _ if isinstance(parent, dict):
                parent[draw(st.sampled_from(WORDS))] = draw(VALUES)
            case _:
                parent.append(draw(VALUES))
    return document


@settings(deadline=None, max_examples=100)
@given(mutants())
def test_whatever_is_written_both_judge_it_alike(document: Json) -> None:
    """Both ways, but for what needs more than one place of the file to be judged."""
    message = wrong(document)
    fits = VALIDATOR.is_valid(document)
    assert fits or message is not None
    assert not fits or message is None or BEYOND_A_SCHEMA.search(message), message
