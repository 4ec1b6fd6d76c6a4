"""Understands calls whose arguments have another form than the schema's. Pure.

Models and the programs around them make a few known mistakes: strict-mode clients send null for
every argument that they leave out, others send JSON as text, a list of one, or a status in their
own words. Whatever has only one possible meaning is accepted. A limit is never widened.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Union, cast, get_args, get_origin

from pydantic.fields import FieldInfo

from agent_runner.duration_grammar import parse_duration

# Clients in strict mode send null for every argument that the model left out.
NOTHING = ("", "null", "undefined")
"""What models write for an argument that they leave out. "none" is not among them: it is a value of
`network`."""

NAMES: Mapping[str, str] = {
    "id": "task",
    "number": "task",
    "task_number": "task",
    "tasks": "task",
    "task_ids": "task",
    "repo": "repo_path",
    "repository": "repo_path",
    "repository_path": "repo_path",
    "project": "repo_path",
    "project_path": "repo_path",
    "cwd": "repo_path",
    "working_directory": "repo_path",
    "prompt": "description",
    "instructions": "description",
    "timeout": "timeout_s",
    "timeout_seconds": "timeout_s",
    "lines": "tail",
    "statuses": "status",
}
"""Other names for arguments, in addition to those that end in `_id` or are written in camelCase."""

STATUSES: Mapping[str, tuple[str, ...]] = {
    "running": ("IN_PROGRESS", "ITERATING"),
    "working": ("IN_PROGRESS", "ITERATING"),
    "started": ("IN_PROGRESS", "ITERATING"),
    "active": ("NEW", "IN_PROGRESS", "ITERATING"),
    "queued": ("NEW",),
    "pending": ("NEW",),
    "created": ("NEW",),
    "waiting": ("NEW", "PAUSED"),
    "suspended": ("PAUSED",),
    "done": ("COMPLETED", "MERGED", "PUSHED"),
    "finished": ("COMPLETED", "MERGED", "PUSHED"),
    "complete": ("COMPLETED",),
    "succeeded": ("COMPLETED",),
    "success": ("COMPLETED",),
    "error": ("FAILED",),
    "errored": ("FAILED",),
    "failure": ("FAILED",),
    "canceled": ("CANCELLED",),
    "aborted": ("CANCELLED",),
}
EVERY = frozenset({"all", "any", "*"})
_COMMENT = re.compile(
    r"(?P<file>[^:]{1,1000}):(?P<line>[1-9][0-9]{0,8}):\s*(?P<text>.+)", re.DOTALL
)


def repaired(fields: Mapping[str, FieldInfo], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments under the names that the tool has for them, without those that are absent."""
    meant: dict[str, Any] = {}
    for name, value in given.items():
        field = fields.get(known := _name(name, fields))
        # Two names for one argument are fine if they agree. If they differ, no one can say which
        # was meant.
        if known != name and (known in given or known in meant):
            if value is not None and value != given.get(known, meant.get(known)):
                meant[name] = value  # two values for one argument: refused
        elif field is None:
            if value is not None:
                meant[name] = value
        elif field.is_required() or not _is_absent(value):
            meant[known] = _plain(field, value)
    return {name: value for name, value in meant.items() if value is not None}


def _name(name: str, fields: Collection[str]) -> str:
    """The argument that another name stands for, or the name itself."""
    if name in fields:
        return name
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|-", "_", name).lower()
    known = (snake, NAMES.get(snake, ""), snake.removesuffix("_id"))
    return next((one for one in known if one in fields), name)


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in NOTHING)


def _plain(field: FieldInfo, value: Any) -> Any:
    """The only item of a list of one, and a number as text where the argument is an optional
    text."""
    kinds = _kinds(field.annotation)
    if not kinds & {list, dict}:
        value = _only(value)
    optional_text = str in kinds and not field.is_required()
    return text_of_number(value) if optional_text else value


def _kinds(annotation: object) -> set[object]:
    """The types that an argument may have."""
    parts = get_args(annotation)
    if get_origin(annotation) is Union or (parts and type(None) in parts):
        return {kind for part in parts for kind in _kinds(part)}
    return {get_origin(annotation) or annotation}


def _only(value: object) -> object:
    """The only item of a list of one."""
    several = _list(value)
    return several[0] if several is not None and len(several) == 1 else value


def text_of_number(value: object) -> object:
    """A number as text: 3 and 3.0 as "3"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    is_integer = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_integer else value)


def task_text(value: object) -> object:
    """The name of a task, which may also be given as a list of one or as a number."""
    value = text_of_number(_only(value))
    return value.strip().strip("\"'") if isinstance(value, str) else value


def items(value: object) -> object:
    """A list, which may also be given as JSON in a text or as a single text."""
    if isinstance(value, str):
        parsed = _list(_json(value)) if value.lstrip().startswith("[") else None
        value = [value] if parsed is None else parsed
    several = _list(value)
    return value if several is None else [item for item in several if item is not None]


def comment(value: object) -> object:
    """A review comment, which may also have the form of a compiler's messages: `src/a.py:12:
    text`."""
    match = _COMMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    return {"file": match["file"], "line": match["line"], "text": match["text"]}


def task_list(value: object) -> object:
    """Several tasks by name, which may also be given as "1, 2"."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        value = [part for part in value.split(",") if part.strip()]
    several = _list([value] if isinstance(value, int | float) else items(value))
    return value if several is None else [task_text(item) for item in several]


def names_in_order(value: object) -> object:
    """Several names in one text, which may also be given as a list."""
    names = None if value is None else _list(items(value))
    if names is None or not all(isinstance(name, str) for name in names):
        return value
    return ", ".join(map(str, names))


def name_list(value: object) -> object:
    """Several names, which may also be given as "a, b"."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [name for part in value.split(",") if (name := part.strip())]
    return items(value)


def statuses(known: Iterable[str]) -> Callable[[object], object]:
    """A reader of task statuses, in any case and in other words; "all" stands for every status."""
    by_word = {_word(status): (status,) for status in known}

    def read(value: object) -> object:
        several = _list(items(value))
        if several is None:
            return value
        wanted: list[object] = []
        for item in several:
            for part in item.split(",") if isinstance(item, str) else [item]:
                word = _word(part) if isinstance(part, str) else ""
                # An empty list is the same as no filter.
                if word in EVERY:
                    return []
                wanted += by_word.get(word) or STATUSES.get(word) or (part,)
        return wanted

    return read


def choice(*known: str, **also: str) -> Callable[[object], object]:
    """A reader of one of a few words, in any case. `also` maps other words to these."""
    by_word = {_word(name): name for name in known} | also

    def read(value: object) -> object:
        return by_word.get(_word(value), value) if isinstance(value, str) else value

    return read


def within(least: float, most: float) -> Callable[[object], object]:
    """A reader of a number, which is moved to the nearest value that is allowed."""

    def read(value: object) -> object:
        # A limit that is too large is cut to the maximum instead of refused: the model wanted as
        # long as possible.
        number = _number(value)
        return value if number is None else min(max(number, least), most)

    return read


def seconds(most: float) -> Callable[[object], object]:
    """A reader of a time such as "30 s" or "5 min", of at most `most` seconds. Models write units
    in any case, and spaces where they like, which the grammar for files does not allow."""

    def read(value: object) -> object:
        text = " ".join(value.lower().split()) if isinstance(value, str) else ""
        parsed = parse_duration(text)
        return within(0, most)(value if parsed is None else parsed)

    return read


def inputs(value: object) -> object:
    """A workflow's inputs, which may also be JSON in a text, with values of any type."""
    if isinstance(value, str):
        value = _json(value)
    if not isinstance(value, Mapping):
        return value
    given = cast("Mapping[str, Any]", value)
    return {
        name: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
        for name, one in given.items()
        if one is not None
    }


def _word(text: str) -> str:
    return re.sub(r"[-\s]+", "_", text.strip().lower())


def _number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return value


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _list(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None
