"""The kinds of values in a workflow file. Each kind reads a node, and describes the same values
as JSON Schema (draft 2020-12)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from yaml.nodes import Node

from agent_runner.duration_grammar import EXPECTED, PATTERN, parse_duration
from agent_runner.json_object import Json
from agent_runner.workflow import conditions
from agent_runner.workflow.yaml_source import YamlSource, meant, short

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)

_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
# No part begins with a dot or a dash, which excludes hidden files, `..` and options of commands.
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_FILENAME = rf"{_PART}(?:/{_PART})*"
_FILENAME_LENGTH = 200
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# PyYAML follows YAML 1.1, in which all of these are booleans. To editors, which follow 1.2, `yes`
# and `on` are strings, so the JSON Schema accepts both.
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


class ValueKind(Protocol[T_co]):
    """A kind of value: how it is read, and its JSON Schema."""

    def read(self, source: YamlSource, node: Node, what: str) -> T_co:
        """The value of a node. `what` names it in the WorkflowError for a wrong one."""
        ...

    def schema(self) -> Json: ...


@dataclass(frozen=True)
class Located(Generic[T]):
    """A value with its node, for checks that are only possible later."""

    value: T
    node: Node


@dataclass(frozen=True)
class Text:
    """Any scalar, as it is written in the file."""

    def read(self, source: YamlSource, node: Node, what: str) -> str:
        return source.text(node, what)

    def schema(self) -> Json:
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True)
class TextTemplate:
    """A text with placeholders. It must not be empty unless `may_be_empty`."""

    may_be_empty: bool = False

    def read(self, source: YamlSource, node: Node, what: str) -> Located[str]:
        text = source.text(node, what)
        if not self.may_be_empty and not text.strip():
            source.fail(node, f"{what} is empty")
        return Located(text, node)

    def schema(self) -> Json:
        # A pattern binds texts only.
        return Text().schema() | ({} if self.may_be_empty else {"pattern": r"\S"})


@dataclass(frozen=True)
class Name:
    def read(self, source: YamlSource, node: Node, what: str) -> str:
        value = source.text(node, what)
        if not re.fullmatch(_NAME, value):
            source.fail(
                node,
                f"{what} {short(value)} must begin with a letter or _ and hold only letters, "
                "digits, - and _ (at most 64)",
            )
        if source.is_tagged(node, "bool"):
            source.fail(node, f"{what} {value!r} is true or false to YAML; put it in quotes")
        return value

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^{_NAME}$"}


@dataclass(frozen=True)
class Filename:
    """A relative path of a file."""

    def read(self, source: YamlSource, node: Node, what: str) -> str:
        value = source.text(node, what)
        if len(value) > _FILENAME_LENGTH or not re.fullmatch(_FILENAME, value):
            source.fail(
                node,
                f"{what} {short(value)} must be a relative path of letters, digits, _, - and ., "
                f"each part beginning with a letter, a digit or _ (at most {_FILENAME_LENGTH})",
            )
        if not source.is_tagged(node, "str"):
            source.fail(node, f"{what} {value!r} is not a text to YAML; put it in quotes")
        return value

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^{_FILENAME}$", "maxLength": _FILENAME_LENGTH}


@dataclass(frozen=True)
class TrueOrFalse:
    """True or false. `only` leaves one of them; `why` says so."""

    only: bool | None = None
    why: str = ""

    def read(self, source: YamlSource, node: Node, what: str) -> bool:
        word = source.text(node, what).lower()
        if word not in (*_TRUE, *_FALSE):
            source.fail(node, f"{what} must be true or false")
        value = word in _TRUE
        if self.only not in (None, value):
            source.fail(node, self.why)
        return value

    def schema(self) -> Json:
        words = {None: (*_TRUE, *_FALSE), True: _TRUE, False: _FALSE}[self.only]
        pattern = "|".join("".join(f"[{c.upper()}{c}]" for c in word) for word in words)
        plain = {"type": "boolean"} if self.only is None else {"const": self.only}
        return {"anyOf": [plain, {"type": "string", "pattern": f"^(?:{pattern})$"}]}


@dataclass(frozen=True)
class Number:
    """A number as JSON writes it, without quotes."""

    low: float
    high: float

    def read(self, source: YamlSource, node: Node, what: str) -> float:
        text = source.text(node, what)
        if not source.is_tagged(node, "int", "float") or not _NUMBER.fullmatch(text):
            source.fail(node, f"{what} must be a number")
        value = float(text)
        if not self.low <= value <= self.high:
            source.fail(node, f"{what} must be from {self.low:g} to {self.high:g}")
        return value

    def schema(self) -> Json:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Duration:
    """A time: seconds as a number, or a text that `agent_runner.duration_grammar` reads."""

    low: float
    high: float

    def read(self, source: YamlSource, node: Node, what: str) -> float:
        text = source.text(node, what)
        if source.is_tagged(node, "int", "float") and _NUMBER.fullmatch(text):
            value = float(text)
        else:
            value = parse_duration(text)
        if value is None:
            source.fail(node, f"{what} must be {EXPECTED}")
        if not self.low <= value <= self.high:
            source.fail(node, f"{what} must be from {self.low:g} to {self.high:g} seconds")
        return value

    def schema(self) -> Json:
        seconds = Number(self.low, self.high).schema()
        return {"anyOf": [seconds, {"type": "string", "pattern": f"^(?:{PATTERN})$"}]}


@dataclass(frozen=True)
class WholeNumber:
    low: int
    high: int

    def read(self, source: YamlSource, node: Node, what: str) -> int:
        value = Number(self.low, self.high).read(source, node, what)
        if not value.is_integer():
            source.fail(node, f"{what} must be a whole number")
        return int(value)

    def schema(self) -> Json:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Word(Generic[E]):
    """One of a closed set of words. `refused` says why certain others are not supported."""

    words: tuple[E, ...]
    refused: Mapping[str, str] = field(default_factory=dict[str, str])

    def read(self, source: YamlSource, node: Node, what: str) -> E:
        value = source.text(node, what)
        if value in self.refused:
            source.fail(node, f"{what} {value!r} is not supported: {self.refused[value]}")
        known = {word.value: word for word in self.words}
        if value not in known:
            message = f"unknown {what} {short(value)}{meant(value, known)}"
            source.fail(node, f"{message}; known: {', '.join(known)}")
        return known[value]

    def schema(self) -> Json:
        return {"enum": [word.value for word in self.words]}


@dataclass(frozen=True)
class Version:
    """The version, as a text or as the number that YAML takes it for without quotes."""

    known: str

    def read(self, source: YamlSource, node: Node, what: str) -> str:
        value = source.text(node, what)
        number = source.is_tagged(node, "int", "float") and _NUMBER.fullmatch(value)
        if not (float(value) == float(self.known) if number else value == self.known):
            source.fail(node, f'{what} {short(value)} is not known; write {what}: "{self.known}"')
        return self.known

    def schema(self) -> Json:
        return {"enum": [self.known, float(self.known)]}


@dataclass(frozen=True)
class ConditionText:
    """A condition. One that cannot be parsed is an error at its place in the file."""

    def read(self, source: YamlSource, node: Node, what: str) -> Located[conditions.Condition]:
        try:
            return Located(conditions.parse(source.text(node, what)), node)
        except conditions.ConditionError as error:
            source.fail(node, f"{what}: {error.message}", error.offset)

    def schema(self) -> Json:
        return {"type": "string", "pattern": "[!=]=", "maxLength": conditions.MAX_LENGTH}


@dataclass(frozen=True)
class ListOf(Generic[T]):
    """A list of items of one kind. Errors call an item `each`."""

    each: str
    kind: ValueKind[T]

    def read(self, source: YamlSource, node: Node, what: str) -> tuple[T, ...]:
        values: list[T] = []
        for item in source.items(node, what):
            with source.noting():
                values.append(self.kind.read(source, item, self.each))
        return tuple(values)

    def schema(self) -> Json:
        return {"type": "array", "items": self.kind.schema()}
