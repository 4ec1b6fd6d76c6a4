"""Errors for calls whose arguments do not fit: what is wrong, why, and a call that works."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rover_mcp.domain.errors import RoverError, UserFixable
from rover_mcp.server.argument_repair import repaired
from rover_mcp.server.tool_call import ToolEntry
from rover_mcp.server.tools import TOOLS

REPEATED = 2000
"""Characters of a caller's own arguments that an error repeats at most."""

EXAMPLES: Mapping[str, object] = {
    "description": "Fix the failing test in tests/test_sum.py",
    "enabled": False,
    "task": "1",
}
"""A value for every argument that some tool requires."""
LIMITS: Mapping[str, object] = {
    "auto_resume": False,
    "budget_tokens": 1_000_000,
    "budget_usd": 5,
    "network": "providers",
}
"""A value for each argument that limits a task: an example never leaves such an argument out."""
TOOL_NAMES: Mapping[str, str] = {
    "delegate": "create_task",
    "run_task": "create_task",
    "start_task": "create_task",
    "submit_task": "create_task",
    "describe_task": "inspect",
    "get_task": "inspect",
    "get_task_status": "inspect",
    "inspect_task": "inspect",
    "task_status": "inspect",
    "get_result": "get_diff",
    "get_task_result": "get_diff",
    "get_tasks": "list_tasks",
    "wait": "wait_for_task",
    "wait_task": "wait_for_task",
    "continue_task": "resume_task",
    "retry_task": "resume_task",
    "follow_up": "iterate_task",
    "request_changes": "iterate_task",
    "review_task": "iterate_task",
    "unpause_task": "resume_task",
    "kill_task": "cancel_task",
    "stop_task": "pause_task",
    "remove_task": "delete_task",
    "status": "get_status",
}
"""Other names that models use for the tools, where the spelling is too different to guess."""


def meant_tool(name: str, offered: Collection[str]) -> str | None:
    """The tool that was probably meant by a name that no tool has."""
    # Clients put their own prefixes before a tool's name (mcp__rover__inspect in Claude Code,
    # rover-inspect in Copilot CLI, rover_inspect in opencode), and models pass these on.
    plain = name.rsplit("__", 1)[-1].rsplit(".", 1)[-1].lower().replace("-", "_")
    plain = plain.removeprefix("rover_")
    if plain in offered:
        return plain
    meant = TOOL_NAMES.get(plain) or next(iter(get_close_matches(plain, offered, 1, 0.75)), None)
    return meant if meant in offered else None


def unknown_tool(name: str, given: Mapping[str, Any], offered: Mapping[str, ToolEntry]) -> MCPError:
    """The answer to a call of a tool that does not exist, or not for this caller. It names the tool
    that was probably meant, and the call of it where it takes the same arguments."""
    # It exists, but this server was started without its set. To propose another tool would only
    # lead the model around what its user decided.
    if name in TOOLS:
        return MCPError(
            INVALID_PARAMS, f"the tool {name} is not offered here; tell the user what to do"
        )
    message = f"unknown tool {name[:80]!r}; the tools are: {', '.join(offered)}"
    if (meant := meant_tool(name, offered)) is None:
        return MCPError(INVALID_PARAMS, message)
    try:
        offered[meant].arguments.model_validate(given)
    except ValidationError:
        return MCPError(INVALID_PARAMS, f"{message}. Did you mean {meant}?")
    call = {"tool": meant, "arguments": dict(given)}
    shown = json.dumps(call, ensure_ascii=False)
    if len(shown) > REPEATED:
        return MCPError(INVALID_PARAMS, f"{message}. Did you mean {meant}?")
    return MCPError(INVALID_PARAMS, f"{message}. Next: {shown}", {"next_call": call})


def corrected(
    error: RoverError, entry: ToolEntry, given: Mapping[str, Any]
) -> Mapping[str, object] | None:
    """The call that an error proposes: its own, or the failed call with other arguments."""
    if error.next_call is not None or error.instead is None:
        return error.next_call
    fields = entry.arguments.model_fields
    other = {k: v for k, v in error.instead.items() if k in fields}
    arguments = {k: v for k, v in {**repaired(fields, given), **other}.items() if v is not None}
    small = len(json.dumps(arguments, default=str)) <= REPEATED
    return {"tool": entry.name, "arguments": arguments} if small else None


def bad_arguments(
    error: ValidationError, entry: ToolEntry, given: Mapping[str, Any]
) -> UserFixable:
    """The error about the first three things that are wrong. It has the call without them: as the
    next call where the tool only reads and nothing required is missing, otherwise as an example in
    the hint. A call that changes something is never proposed without a limit that was mistyped."""
    wrong = error.errors(include_url=False, include_input=False)
    fields = entry.arguments.model_fields
    message = "; ".join(_problem(e, fields) for e in wrong[:3])
    bad = {str(e["loc"][0]) for e in wrong if e["loc"]}
    meant = repaired(fields, given)
    good = {k: v for k, v in meant.items() if k in fields and k not in bad}
    lacking = [n for n, f in fields.items() if f.is_required() and n not in good]
    small = len(json.dumps(good, default=str)) <= REPEATED
    name, hint = entry.name, f"it takes: {', '.join(fields)}" if fields else "it takes nothing"
    call: dict[str, object] | None = None
    # Only a call that changes nothing is offered ready to be repeated: a model repeats it without
    # thought.
    if not lacking and entry.tool_set == "read":
        call = {"tool": name, "arguments": good} if small else None
    else:
        limits = _limits(bad, fields)
        needed = {name: _example(name, meant.get(name)) for name in lacking}
        example = {**(good if small else {}), **needed, **limits}
        if small or lacking:
            hint += f"; for example {json.dumps(example, ensure_ascii=False, default=str)}"
        if "task" in lacking and "task" not in meant:
            call = {"tool": "list_tasks", "arguments": {}}
    return UserFixable(f"{name}: {message}", code="invalid_arguments", hint=hint, next_call=call)


def _example(name: str, given: object) -> object:
    """An example value: the first of several that were given for one, else any that fits."""
    first = next(iter(cast("list[object]", given)), None) if isinstance(given, list) else None
    return first if isinstance(first, str) and len(first) <= REPEATED else EXAMPLES[name]


def _limits(bad: Collection[str], fields: Collection[str]) -> dict[str, object]:
    """A possible value for each limit that was given with a wrong value or under a wrong name."""
    meant = {one for name in bad for one in ([name] if name in fields else _near(name, fields)[:1])}
    return {name: value for name, value in LIMITS.items() if name in meant}


def _problem(error: ErrorDetails, fields: Collection[str]) -> str:
    """One thing that is wrong. For an unknown name it says which name may have been meant."""
    where = ".".join(map(str, error["loc"])) or "arguments"
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']}"
    meant = _near(where, fields)
    return f"unknown argument {where[:80]!r}" + (
        f" (did you mean {' or '.join(meant)}?)" if meant else ""
    )


def _near(name: str, fields: Collection[str]) -> Sequence[str]:
    named = [field for field in fields if field.startswith(name) or name.startswith(field)]
    return named or get_close_matches(name, fields, 2)
