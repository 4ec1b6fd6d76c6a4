"""What a caller is told whose arguments do not fit: what failed, why, and a call that works."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rover_mcp.errors import UserFixable
from rover_mcp.server.tools import ToolEntry

REPEATED = 2000
"""Characters of a caller's own arguments that are given back at most."""

EXAMPLES: Mapping[str, object] = {
    "description": "Fix the failing test in tests/test_sum.py",
    "enabled": False,
    "task": "1",
}
"""A value for every argument that some tool requires."""


def bad_arguments(
    error: ValidationError, entry: ToolEntry, given: Mapping[str, Any]
) -> UserFixable:
    """The first three things that are wrong, and the call without them: as the next call where
    the tool only reads and it has all that it requires, else as an example in the hint. What
    changes something is not to be called without a limit that was mistyped."""
    wrong = error.errors(include_url=False, include_input=False)
    fields = entry.arguments.model_fields
    told = "; ".join(_told(e, fields) for e in wrong[:3])
    bad = {str(e["loc"][0]) for e in wrong if e["loc"]}
    good = {k: v for k, v in given.items() if k in fields and k not in bad}
    lacking = [n for n, f in fields.items() if f.is_required() and n not in good]
    small = len(json.dumps(good, default=str)) <= REPEATED
    name, hint = entry.tool.name, f"it takes: {', '.join(fields)}" if fields else "it takes nothing"
    call: dict[str, object] | None = None
    if not lacking:
        reads = entry.tool_set == "read"
        call = {"tool": name, "arguments": good} if reads and small else None
    else:
        example = {**(good if small else {}), **{n: EXAMPLES[n] for n in lacking}}
        hint += f"; for example {json.dumps(example, ensure_ascii=False)}"
        if "task" in lacking:
            call = {"tool": "list_tasks", "arguments": {}}
    return UserFixable(f"{name}: {told}", code="invalid_arguments", hint=hint, next_call=call)


def _told(error: ErrorDetails, fields: Iterable[str]) -> str:
    """One thing that is wrong; of a name that there is not, which may have been meant."""
    where = ".".join(map(str, error["loc"])) or "arguments"
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    named = [field for field in fields if field.startswith(where) or where.startswith(field)]
    meant = named or get_close_matches(where, fields, 2)
    return f"there is no {where[:80]!r}" + (f" (is it {' or '.join(meant)}?)" if meant else "")
