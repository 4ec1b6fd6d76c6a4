"""Parses the names of tasks: an id, or a number or branch within a project."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from rover_mcp.domain.errors import UserFixable

RESOURCE = "rover://tasks/"
"""The beginning of a task's address (rover_mcp/server/session.py)."""
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HANDLE = re.compile(r"([0-9a-f]{32})\.[1-9][0-9]{0,5}", re.ASCII)
_NUMBER = re.compile(r"(?:(?:[Tt]ask )?#|[Tt]ask )?([1-9][0-9]{0,8})", re.ASCII)
_PREFIX = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{8,31}", re.ASCII)
_BRANCH = re.compile(r"[A-Za-z0-9][\w./-]{0,150}/[1-9][0-9]{0,8}-[a-z0-9-]{1,60}", re.ASCII)


@dataclass(frozen=True)
class TaskName:
    """The name of a task in a call. `prefix` is the beginning of its id, at least 8 digits. Numbers
    and branches belong to a project."""

    kind: Literal["id", "prefix", "number", "branch"]
    value: str


def new_task_id() -> str:
    """128 random bits as 32 hex digits: unguessable, and safe in paths, refs and headers."""
    return secrets.token_hex(16)


# Eight digits that are all decimal look like a number to whoever parses them.
def short_id(task_id: str) -> str:
    """The beginning of an id, by which calls name the task: 8 digits, or more where these would be
    read as a number."""
    most = next((n for n in range(8, 32) if _PREFIX.fullmatch(task_id[:n])), 32)
    return task_id[:most] if _ID.fullmatch(task_id) else task_id


def sandbox_name(task_id: str, attempt: int) -> str:
    """The name of a sandbox. It is deterministic, so that a repeated start finds the existing
    sandbox."""
    return f"rover-{task_id[:12]}-{attempt}"


def parse_task(text: str) -> TaskName:
    """Parse the name of a task: "3", "#3", "task 3", a branch, an id or its beginning, or a handle.

    Raises:
        UserFixable: it is none of these.
    """
    text = text.removeprefix(RESOURCE)
    if match := _ID.fullmatch(text) or _HANDLE.fullmatch(text):
        return TaskName("id", match[0][:32])
    if match := _NUMBER.fullmatch(text):
        return TaskName("number", match[1])
    if _PREFIX.fullmatch(text):
        return TaskName("prefix", text)
    if _BRANCH.fullmatch(text):
        return TaskName("branch", text)
    raise UserFixable(
        f"{text[:80]!r} does not name a task: give its number (1, 2, ...), its branch, or its id "
        "(32 hex digits; the first 8 are enough)",
        code="malformed_id",
        next_call={"tool": "list_tasks", "arguments": {}},
    )


def slug(title: str, most: int = 40) -> str:
    """A title as part of a branch name: lower-case ASCII letters, digits and dashes."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:most].rstrip("-") or "task"


def branch_name(number: int, title: str, taken: frozenset[str], prefix: str = "rover") -> str:
    """`<prefix>/<number>-<slug>`, with a counter where the repository has that branch, or one
    below it."""
    base = f"{prefix}/{number}-{slug(title)}"
    name, counter = base, 2
    while name in taken or any(other.startswith(f"{name}/") for other in taken):
        name, counter = f"{base}-{counter}", counter + 1
    return name


def named(name: str, names: Iterable[str], *suffixes: str) -> str | None:
    """The one name that matches in any case, with blanks or underscores in place of dashes, or
    followed by one of the suffixes; None where none does, or more than one."""
    known = list(names)
    if name in known:
        return name
    plain = _plain(name)
    forms = {plain, *(plain.removesuffix(suffix) for suffix in suffixes)}
    matches = [one for one in known if _plain(one) in forms]
    return matches[0] if len(matches) == 1 else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def agent_named(name: str, known: Iterable[str]) -> str:
    """The agent of this name, or the name itself where there is none: Claude, claude-code and
    codex_cli are claude and codex."""
    return named(name, known, "-cli", "-code", "-agent") or name


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name with the most similar spelling; None where none is similar."""
    return next(iter(get_close_matches(name[:80], list(names), n=1)), None)


def meant(name: str, names: Iterable[str]) -> str:
    """ "did you mean quick? else " for quik; empty where no name is similar."""
    near = nearest(name, names)
    return f"did you mean {near}? else " if near else ""
