"""`--format`: a template with fields in braces, for scripts. The fields are known in advance, so
that a wrong name is an error and not an empty word."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import clean

Read = Callable[[Json], object]
_ESCAPES = {r"\t": "\t", r"\n": "\n"}
"""Escapes that a shell leaves as they are inside quotes."""


class BadTemplate(ValueError):
    """A template that cannot be used. The message says why, and which fields there are."""


def _at(path: str) -> Read:
    names = path.split(".")

    def read(thing: Json) -> object:
        value: Json | None = thing
        for name in names:
            value = (value or {}).get(name)
        return value

    return read


def _fields(*paths: str) -> dict[str, Read]:
    return {path: _at(path) for path in paths}


def _working(kind: str, *marks: str) -> Read:
    """The names of the engines or agents that have all of these marks."""

    def read(status: Json) -> object:
        return [thing["name"] for thing in status[kind] if all(map(thing.get, marks))]

    return read


LISTED: Mapping[str, Read] = _fields(
    "number", "id", "title", "status", "phase", "progress", "agent", "cost_usd", "branch",
    "repo_path", "origin", "racers", "updated_at", "error", "pause.reason", "pause.message",
    "pause.account",
    "pause.provider", "pause.since", "pause.retry_at", "pause.auto_resume",
)  # fmt: skip
TASK: Mapping[str, Read] = {
    **LISTED,
    "cost_usd": _at("usage.cost_usd"),
    **_fields(
        "workflow", "model", "engine", "network", "base_branch", "base_commit", "ahead",
        "iteration", "attempt", "created_at", "duration_s", "verdict", "warnings",
        "usage.input_tokens", "usage.output_tokens", "budget.usd", "budget.tokens",
        "changes.files", "changes.added", "changes.removed",
    ),
}  # fmt: skip
STATUS: Mapping[str, Read] = {
    **_fields(
        "version", "home", "queue.running", "queue.queued", "queue.paused", "queue.limit",
        "disk.free_bytes", "cannot_start.message", "notice",
    ),
    "engines": _working("engines", "available"),
    "agents": _working("agents", "installed", "signed_in"),
}  # fmt: skip
KINDS: Mapping[str, Mapping[str, Read]] = {"list": LISTED, "inspect": TASK, "status": STATUS}


@dataclass(frozen=True)
class _Field:
    name: str
    read: Read
    spec: str

    def text(self, thing: Json) -> str:
        value = self.read(thing)
        if value is None:
            return ""
        try:
            # By the exact type: a bool is an int, and would be shown as 1.
            return format(value if type(value) in (int, float) else _words(value), self.spec)
        except ValueError as error:
            raise BadTemplate(f"{{{self.name}:{self.spec}}}: {error}") from error


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(clean, cast("list[object]", value)))
    return clean(value)


@dataclass(frozen=True)
class FormatTemplate:
    """Texts and fields, in their order."""

    parts: Sequence[str | _Field]

    def fill(self, thing: Json) -> str:
        """The template filled with an object's fields; a field that it lacks is left empty.

        Raises:
            BadTemplate: a field does not have the type that its format is for.
        """
        return "".join(p if isinstance(p, str) else p.text(thing) for p in self.parts)


def template(text: str, known: Mapping[str, Read]) -> FormatTemplate:
    """Parse a template.

    Raises:
        BadTemplate: it names an unknown field, or has a syntax error.
    """
    for written, meant in _ESCAPES.items():
        text = text.replace(written, meant)
    try:
        return FormatTemplate(list(_parts(text, known)))
    except BadTemplate:
        raise
    except ValueError as error:  # braces that do not match
        raise BadTemplate(f"{error}; write {{{{ and }}}} for braces themselves") from error


def _parts(text: str, known: Mapping[str, Read]) -> Iterable[str | _Field]:
    for literal, name, spec, conversion in string.Formatter().parse(text):
        if literal:
            yield literal
        if name is None:
            continue
        if name not in known:
            raise BadTemplate(f"unknown field {name!r}; the fields are {', '.join(known)}")
        # Python's templates can call `repr` and nest fields. Neither is needed, and both would have
        # to be kept for ever.
        if conversion or "{" in (spec or ""):
            raise BadTemplate(f"{{{name}}} takes a format like :>8, and nothing else")
        yield _Field(name, known[name], spec or "")
