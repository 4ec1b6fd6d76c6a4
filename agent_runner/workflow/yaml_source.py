"""Reads YAML text as nodes, and collects errors with their places in it.

No object is built from a tag. Size, depth, aliases and what aliases multiply to are limited.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import NoReturn, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from agent_runner.workflow.models import WorkflowError

MAX_BYTES = 256_000
MAX_DEPTH = 32
# Aliases of aliases make a file of a few hundred bytes stand for billions of values.
MAX_ALIASES = 64
MAX_VALUES = 100_000
"""More than a file of MAX_BYTES can hold: only aliases of aliases get there."""

TOO_LARGE = f"{{}} is larger than {MAX_BYTES} bytes"

_SHOWN = 80
_TAG = "tag:yaml.org,2002:"
# `value` and `merge` are YAML 1.1's types of a bare `=` and `<<`.
_TEXTS = frozenset(_TAG + t for t in ("str", "int", "float", "bool", "timestamp", "value", "merge"))
# The line breaks of YAML 1.1, by which PyYAML counts lines.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class NotedProblem(Exception):
    """A needed value is wrong or missing, and its error has been noted."""


def meant(word: str, known: Iterable[str]) -> str:
    """A hint such as " (did you mean 'prompt'?)", if a known word is similar; else an empty
    text."""
    # Imported here because it is slow to import, and only errors need it.
    import difflib

    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word[:_SHOWN].lower(), by_lower, n=1)
    return f" (did you mean {str(by_lower[near[0]])!r}?)" if near else ""


def short(text: str) -> str:
    """A text of the file, quoted and cut for a message."""
    return repr(text[:_SHOWN])


def decode(data: bytes, file: str, what: str) -> str:
    """Decode a file, of which at most MAX_BYTES + 1 bytes were read.

    Raises:
        WorkflowError: it is too large, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise WorkflowError(file, 1, 1, TOO_LARGE.format(what))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # What comes before the first invalid byte is valid, so its lines can be counted.
        before = data[: error.start].decode().split("\n")
        place = (len(before), len(before[-1]) + 1)
        raise WorkflowError(file, *place, "the file is not UTF-8 text") from None


class YamlSource:
    """One file: its nodes, and errors with their lines. `what` names the file in errors."""

    MAX_NOTED = 50
    """Errors of one file that are kept."""

    def __init__(self, text: str, file: str, what: str = "the workflow") -> None:
        self._text = text
        self._file = file
        self._what = what
        self._values = 0
        self._noted: list[WorkflowError] = []
        self.wrong = 0

    @contextmanager
    def noting(self) -> Generator[None]:
        """Note an error that is raised inside, and continue after it. `wrong` counts the errors."""
        try:
            yield
        except NotedProblem:
            pass
        except WorkflowError as error:
            self.wrong += 1
            if len(self._noted) < self.MAX_NOTED:
                self._noted.append(error)

    def finish(self) -> None:
        """Raise the errors that were noted, in the order of the file."""
        if self._noted:
            first, *others = sorted(self._noted, key=lambda error: (error.line, error.column))
            raise WorkflowError(first.file, first.line, first.column, first.message, others)

    def compose(self) -> Node:
        """The node of the whole document.

        Raises:
            WorkflowError: it is not valid YAML, or beyond a limit.
        """
        if len(self._text.encode(errors="replace")) > MAX_BYTES:
            self._wrong(1, 1, TOO_LARGE.format(self._what))
        try:
            node = _Limited(self._text).get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            problem = error.problem or error.context or "it cannot be read"
            self._wrong(*place, f"not valid YAML: {problem}")
        except ReaderError as error:
            before = self._text[: error.position]
            lines = _BREAK.split(before)
            self._wrong(len(lines), len(lines[-1]) + 1, f"not valid YAML: {error.reason}")
        if node is None:
            self._wrong(1, 1, f"{self._what} is empty")
        return node

    def fail(self, node: Node, message: str, offset: int | None = None) -> NoReturn:
        """Raise the error at a node, or at an offset in the text of a scalar one."""
        self._wrong(*self.place(node, offset), message)

    def place(self, node: Node, offset: int | None = None) -> tuple[int, int]:
        """Line and column of a node, or of an offset in the text of a scalar one."""
        if offset is not None and isinstance(node, ScalarNode):
            return self._inside(node, offset)
        return node.start_mark.line + 1, node.start_mark.column + 1

    def pairs(self, node: Node, what: str) -> list[tuple[Node, Node]]:
        """Keys and values of a mapping."""
        if not isinstance(node, MappingNode):
            self.fail(node, f"{what} must be a mapping")
        pairs = cast("list[tuple[Node, Node]]", node.value)
        self._count(node, len(pairs))
        return pairs

    def items(self, node: Node, what: str) -> list[Node]:
        """The nodes of a list."""
        if not isinstance(node, SequenceNode):
            self.fail(node, f"{what} must be a list")
        items = cast("list[Node]", node.value)
        self._count(node, len(items))
        return items

    def text(self, node: Node, what: str) -> str:
        """A scalar as it is written: `5` and `yes` are texts, too."""
        # An explicit tag such as `!!python/object` or `!!binary` is refused, although nothing here
        # would build an object from it: the author expects something that will not happen.
        if not isinstance(node, ScalarNode) or node.tag not in _TEXTS:
            begins = self._text.startswith("{{", node.start_mark.index)
            # YAML reads `{{` as a mapping with a mapping as its key, and says so in words that do
            # not help.
            hint = "; put a text that begins with {{ in quotes" if begins else ""
            self.fail(node, f"{what} must be a text{hint}")
        return str(node.value)

    def is_tagged(self, node: Node, *kinds: str) -> bool:
        """Whether YAML itself reads a value as one of these kinds, such as `int`."""
        return node.tag in {_TAG + kind for kind in kinds}

    def _count(self, node: Node, more: int) -> None:
        self._values += more
        if self._values > MAX_VALUES:
            self.fail(node, f"with its aliases the file has more than {MAX_VALUES} values")

    def _wrong(self, line: int, column: int, message: str) -> NoReturn:
        raise WorkflowError(self._file, line, column, message)

    def _inside(self, node: ScalarNode, offset: int) -> tuple[int, int]:
        """The place of a character of a text. Folding and indenting change only blanks, so the
        other characters are counted. If they differ (escapes), it is the beginning of the text."""
        begin, mark = node.start_mark.index, node.start_mark
        raw = self._text[begin : node.end_mark.index]
        skipped = 1 if node.style else 0
        if node.style in ("|", ">"):
            skipped = len(_BREAK.split(raw, 1)[0])
        places = [i for i, c in enumerate(raw) if i >= skipped and not c.isspace()]
        value = str(node.value)
        solid = [c for c in value if not c.isspace()]
        if [raw[i] for i in places[: len(solid)]] != solid:
            return mark.line + 1, mark.column + 1
        before = sum(not c.isspace() for c in value[:offset])
        if offset < len(value) and not value[offset].isspace():
            index = places[before]
        else:
            index = places[before - 1] + 1 if before else skipped
        breaks = list(_BREAK.finditer(raw, 0, index))
        if not breaks:
            return mark.line + 1, mark.column + 1 + index
        return mark.line + 1 + len(breaks), index - breaks[-1].end() + 1


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
