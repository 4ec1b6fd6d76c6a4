"""Reads a ProjectConfig from YAML text; every error names the file, line and column."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from agent_runner.workflow.models import WorkflowError
from agent_runner.workflow.yaml_source import MAX_BYTES, YamlSource, decode
from rover_mcp.config.project import FILE, ProjectConfig
from rover_mcp.config.safe_read import FileRefused, read_beneath
from rover_mcp.config.validation import reason
from rover_mcp.domain.errors import UserFixable

WHAT = "the configuration"
MAX_DEPTH = 8
_TEXTS = ("environment",)
"""Mappings whose values are texts exactly as they are written, even `5` and `yes`."""

Place = tuple[str | int, ...]


class ConfigError(UserFixable):
    """A configuration that cannot be used. Lines and columns count from 1."""

    code = "invalid_config"

    def __init__(self, file: str, line: int, column: int, reason: str) -> None:
        super().__init__(
            f"{file}:{line}:{column}: {reason}",
            hint=f"correct {FILE} at that line; to see whether it is right: rover config check",
        )
        self.file = file
        self.line = line
        self.column = column
        self.reason = reason


@dataclass(frozen=True)
class FoundConfig:
    """A project's configuration as it was read. `digest` identifies its content."""

    config: ProjectConfig
    digest: str


def load_config(root: Path) -> FoundConfig | None:
    """The configuration of the checkout at `root`; None where it has none.

    Raises:
        ConfigError: it is not valid, or cannot be read beneath `root`.
    """
    try:
        # One byte more than is allowed, so that a file that is too long is an error and not cut
        # off.
        data = read_beneath(root, FILE, MAX_BYTES + 1).data
    except FileRefused as error:
        if error.missing:
            return None
        raise ConfigError(FILE, 1, 1, str(error)) from None
    # The digest is of the very bytes that were parsed. A second read could see another file.
    return FoundConfig(parse_config(data), hashlib.sha256(data).hexdigest()[:16])


def parse_config(data: bytes, name: str = FILE) -> ProjectConfig:
    """Read a configuration from the bytes of its file; `name` is what errors call it.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        source = YamlSource(decode(data, name, WHAT), name, WHAT)
        return _read(source, source.compose())
    except WorkflowError as error:
        raise ConfigError(error.file, error.line, error.column, error.message) from None


def _read(source: YamlSource, node: Node) -> ProjectConfig:
    reader = _Reader(source)
    plain = reader.value(node, ())
    if not isinstance(plain, dict):
        source.fail(node, f"{WHAT} must be a mapping")
    try:
        return ProjectConfig.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        source.fail(reader.place(first), reason(first, ProjectConfig))


class _Reader:
    """Converts nodes to plain values, and finds the node of an error."""

    def __init__(self, source: YamlSource) -> None:
        self._source = source
        self._nodes: dict[Place, Node] = {}
        self._keys: dict[Place, Node] = {}
        self._scalars = SafeConstructor()

    def value(self, node: Node, place: Place) -> object:
        """The value of a node: mappings with texts as keys, lists, and scalars."""
        self._nodes[place] = node
        if len(place) > MAX_DEPTH:
            # An alias may stand inside what it names.
            self._source.fail(node, f"more than {MAX_DEPTH} levels")
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            items = self._source.items(node, WHAT)
            return [self.value(item, (*place, i)) for i, item in enumerate(items)]
        return self._scalar(cast("ScalarNode", node), place)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value in self._source.pairs(node, WHAT):
            key = self._source.text(key_node, "a key")
            if key in values:
                # YAML's own readers take the last of two keys, and a reviewer reads the first.
                self._source.fail(key_node, f"{key[:80]!r} occurs twice")
            self._keys[*place, key] = key_node
            values[key] = self.value(value, (*place, key))
        # A key whose lines are all comments says nothing.
        return {key: value for key, value in values.items() if value is not None}

    def _scalar(self, node: ScalarNode, place: Place) -> object:
        if self._source.is_tagged(node, "null"):
            return None
        text = self._source.text(node, ".".join(map(str, place)) or WHAT)
        # `VERSION: 1.10` means the text 1.10, and not the number 1.1.
        if len(place) == 2 and place[0] in _TEXTS:
            return text
        try:
            if self._source.is_tagged(node, "int"):
                return self._scalars.construct_yaml_int(node)
            if self._source.is_tagged(node, "float"):
                return self._scalars.construct_yaml_float(node)
            if self._source.is_tagged(node, "bool"):
                return self._scalars.construct_yaml_bool(node)
        except ValueError:
            self._source.fail(node, f"{text[:80]!r} is not a number")
        return text

    def place(self, error: ErrorDetails) -> Node:
        """The node that an error is about: the key where it is unknown, otherwise the value."""
        place: Place = error["loc"]
        if name := error.get("ctx", {}).get("key"):
            place = (*place, name)
        if place in self._keys and (name or error["type"] == "extra_forbidden"):
            return self._keys[place]
        while place not in self._nodes:
            place = place[:-1]
        return self._nodes[place]
