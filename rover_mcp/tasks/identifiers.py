"""How a task is named: by its id, or by its number within its project. Parsed strictly (I2)."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

from rover_mcp.errors import UserFixable

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


def new_task_id() -> str:
    """128 random bits as 32 hex digits: unguessable, and safe in paths, refs and headers."""
    return secrets.token_hex(16)


def sandbox_name(task_id: str, attempt: int) -> str:
    """Deterministic, so that a repeated start finds the sandbox that is there."""
    return f"rover-{task_id[:12]}-{attempt}"


def parse_task(text: str) -> str | int:
    """A task's id as text or its number as int.

    Raises:
        UserFixable: it is neither.
    """
    if _ID.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text):
        return int(text)
    raise UserFixable(
        f"{text[:80]!r} is no task: give its id (32 hex digits) or its number (1, 2, ...)",
        code="malformed_id",
        next_call={"tool": "list_tasks", "arguments": {}},
    )


def slug(title: str, most: int = 40) -> str:
    """A title as a part of a branch name: lower-case ASCII letters, digits and dashes."""
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


def meant(name: str, names: Iterable[str]) -> str:
    """ "did you mean quick? else " for quik; nothing where no name is near."""
    near = get_close_matches(name[:80], names, n=1)
    return f"did you mean {near[0]}? else " if near else ""
