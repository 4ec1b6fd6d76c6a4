"""The mappings in a workflow file: reads them from nodes and describes them as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from yaml.nodes import MappingNode, Node, ScalarNode

from agent_runner.json_object import Json
from agent_runner.workflow.value_kinds import ValueKind
from agent_runner.workflow.yaml_source import NotedProblem, YamlSource, meant, short

T = TypeVar("T")


@dataclass(frozen=True)
class Key(Generic[T]):
    """A key of a mapping. `about` describes it for authors."""

    name: str
    kind: ValueKind[T]
    about: str
    default: T | None = None
    synonyms: tuple[str, ...] = ()

    def schema(self) -> Json:
        default = {} if self.default is None else {"default": self.default}
        return self.kind.schema() | {"description": self.about} | default


@dataclass(frozen=True)
class ReadMapping:
    """A mapping that was read: its shape, the nodes and the values of its keys. Its errors are
    noted; with any it is not `valid`."""

    source: YamlSource
    node: Node
    shape: Shape
    nodes: Mapping[str, Node]
    values: Mapping[str, object]
    valid: bool = True

    def get(self, key: Key[T]) -> T | None:
        """The value, or the key's default."""
        return cast("T | None", self.values.get(key.name, key.default))

    def need(self, key: Key[T]) -> T:
        """The value of a key that is required or has a default.

        Raises:
            NotedProblem: it is missing or wrong, which is noted.
        """
        value = self.get(key)
        if value is None:
            raise NotedProblem(key.name)
        return value

    def at(self, key: Key[Any], otherwise: Key[Any] | None = None) -> Node:
        """The node of a value; without one, the node of another key's value, or of the mapping."""
        fallback = self.nodes.get(otherwise.name, self.node) if otherwise else self.node
        return self.nodes.get(key.name, fallback)


@dataclass(frozen=True)
class Shape:
    """A mapping with known keys and no others. `name` is what the JSON Schema calls it."""

    name: str
    what: str
    keys: tuple[Key[Any], ...]
    required: tuple[Key[Any], ...] = ()
    extra: Json = field(default_factory=dict[str, Any])

    def read(self, source: YamlSource, node: Node, what: str) -> ReadMapping:
        del what
        before = source.wrong
        nodes = self._nodes(source, node)
        # Every value is read even if one is wrong, so that all errors of a mapping are reported at
        # once.
        by_name = {key.name: key.kind for key in self.keys}
        values: dict[str, object] = {}
        for name, value in nodes.items():
            with source.noting():
                values[name] = by_name[name].read(source, value, name)
        return ReadMapping(source, node, self, nodes, values, valid=source.wrong == before)

    def _nodes(self, source: YamlSource, node: Node) -> dict[str, Node]:
        """The nodes of the known keys. Unknown and missing keys are noted as errors."""
        known = {word: key for key in self.keys for word in (key.name, *key.synonyms)}
        nodes: dict[str, Node] = {}
        for key_node, value in source.pairs(node, self.what):
            with source.noting():
                word = source.text(key_node, f"a key of {self.what}")
                # An unknown key is an error, since a misspelt one would otherwise be ignored, and
                # the run would do something else than its author wrote.
                if word not in known:
                    names = ", ".join(key.name for key in self.keys)
                    message = f"unknown key {short(word)} in {self.what}{meant(word, known)}"
                    source.fail(key_node, f"{message}; known: {names}")
                if (name := known[word].name) in nodes:
                    source.fail(key_node, f"{word!r} is given twice in {self.what}")
                nodes[name] = value
        for key in self.required:
            if key.name not in nodes:
                with source.noting():
                    source.fail(node, f"{self.what} needs {key.name!r}")
        return nodes

    def schema(self) -> Json:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> Json:
        """The JSON Schema of the mapping."""
        properties = {word: key.schema() for key in self.keys for word in (key.name, *key.synonyms)}
        # A key and its synonym together would leave open which of them counts.
        clashes = [
            {"not": {"required": [first, second]}}
            for key in self.keys
            for first, second in [(key.name, s) for s in key.synonyms]
        ]
        definition: Json = {"type": "object", "title": self.what, "properties": properties}
        if self.required:
            definition["required"] = [key.name for key in self.required]
        if clashes:
            definition["allOf"] = clashes
        return definition | {"additionalProperties": False} | self.extra


@dataclass(frozen=True)
class Variants:
    """A mapping whose shape depends on its `type`, or on the default of that key."""

    name: str
    what: str
    type: Key[Any]
    shapes: Mapping[str, Shape]

    def read(self, source: YamlSource, node: Node, what: str) -> ReadMapping:
        types = [value for key, value in source.pairs(node, self.what) if _is(key, self.type.name)]
        if types:
            kind = str(self.type.kind.read(source, types[0], self.type.name))
        elif self.type.default is not None:
            kind = str(self.type.default)
        else:
            source.fail(node, f"{self.what} needs {self.type.name!r}: {', '.join(self.shapes)}")
        return self.shapes[kind].read(source, node, what)

    def schema(self) -> Json:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> Json:
        """The JSON Schema of the mapping. The type selects a shape, so that errors are about
        one."""
        word, default = self.type.name, self.type.default
        needed: Json = {} if default is not None else {"required": [word]}
        cases = [
            {
                # A mapping without the key meets `properties`: so the default's case is its own.
                "if": {"properties": {word: {"const": kind}}}
                | ({} if kind == default else {"required": [word]}),
                "then": shape.schema(),
            }
            for kind, shape in self.shapes.items()
        ]
        properties = {word: self.type.schema()}
        return {"type": "object", "title": self.what, "properties": properties, **needed} | {
            "allOf": cases
        }


def _is(node: Node, word: str) -> bool:
    return isinstance(node, ScalarNode) and node.value == word


def scalars(node: Node, key: str) -> list[str]:
    """The values of a key as they are written, whatever errors the mapping has."""
    pairs = cast("list[tuple[Node, Node]]", node.value) if isinstance(node, MappingNode) else []
    return [str(v.value) for k, v in pairs if _is(k, key) and isinstance(v, ScalarNode)]
