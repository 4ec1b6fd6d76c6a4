"""Inserts one member into JSON text, or removes one, without changing any other byte. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_INDENT = re.compile(r"\n([ \t]+)\S")
DEFAULT_INDENT = "  "


@dataclass(frozen=True, slots=True)
class _JsonMember:
    """Where a member is: `start` is the position of its key, `value` and `end` delimit its
    value."""

    key: str
    start: int
    value: int
    end: int


# A JSON library would write the complete file again, and with it change the indentation and the
# escapes of what belongs to others.
def put(text: str, path: Sequence[str], value: object) -> str:
    """`text`, a JSON object, with `value` as the member at `path`. Missing objects on the way are
    created. `text` must parse, and what is on the way must be objects, which `plan` checks before
    it calls."""
    at, depth = _start(text), 0
    for depth, key in enumerate(path):
        member = _find(text, at, key)
        if member is None:
            break
        if depth == len(path) - 1:
            new = _dump(value, text, depth + 1)
            return text[: member.value] + new + text[member.end :]
        at = member.value
    inner: object = value
    for key in reversed(path[depth + 1 :]):
        inner = {key: inner}
    return _insert(text, at, depth + 1, path[depth], inner)


def take_out(text: str, path: Sequence[str]) -> str:
    """`text` without the member at `path`, or unchanged if there is none. Preconditions as for
    `put`."""
    at = _start(text)
    for key in path[:-1]:
        target = _find(text, at, key)
        if target is None:
            return text
        at = target.value
    members = list(_members(text, at))
    wanted = [i for i, member in enumerate(members) if member.key == path[-1]]
    if not wanted:
        return text
    i = wanted[-1]
    if len(members) == 1:
        return text[: at + 1] + text[_skip(text, members[0].end) :]
    if i == 0:
        return text[: members[0].start] + text[members[1].start :]
    return text[: members[i - 1].end] + text[members[i].end :]


def _insert(text: str, at: int, depth: int, key: str, value: object) -> str:
    """Insert a last member into the object that begins at `at` and is `depth` levels deep."""
    members = list(_members(text, at))
    new = f"{json.dumps(key)}: {_dump(value, text, depth)}"
    newline, unit = _layout(text)
    if members:
        end = members[-1].end
        comma = f",{newline}{unit * depth}" if newline else ", "
        return f"{text[:end]}{comma}{new}{text[end:]}"
    close = _skip(text, at + 1)
    inner = f"{newline}{unit * depth}{new}{newline}{unit * (depth - 1)}" if newline else new
    return text[: at + 1] + inner + text[close:]


def _dump(value: object, text: str, depth: int) -> str:
    """A value in the layout that it would have `depth` levels deep in `text`."""
    newline, unit = _layout(text)
    if not newline:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=unit).split("\n")
    return f"{newline}{unit * depth}".join(lines)


def _layout(text: str) -> tuple[str, str]:
    """How `text` breaks its lines and indents; no line breaks for a filled one-line text."""
    newline = "\r\n" if "\r\n" in text else "\n"
    match = _INDENT.search(text)
    if match is None:
        filled = "\n" not in text.strip() and text.strip() != "{}"
        return ("" if filled else newline), DEFAULT_INDENT
    return newline, match[1]


def _members(text: str, at: int) -> Iterator[_JsonMember]:
    """The members of the object that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, colon = _decode(text, at)
        value = _skip(text, _skip(text, colon) + 1)
        _, end = _decode(text, value)
        yield _JsonMember(key, at, value, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _find(text: str, at: int, key: str) -> _JsonMember | None:
    """The last member of that name, which is the one that counts."""
    matching = [member for member in _members(text, at) if member.key == key]
    return matching[-1] if matching else None


def _decode(text: str, at: int) -> tuple[Any, int]:
    return _DECODER.raw_decode(text, at)


def _start(text: str) -> int:
    return _skip(text, 0)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
