"""The hook that shows an assistant's model its tasks before the first turn: where each assistant
keeps it, and how its file changes. Pure.

Claude Code has it from the plugin. Codex, Gemini CLI and Qwen Code take its form; Copilot CLI has
one of its own. tests/clients has each real program run what is written here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from agent_runner.json_object import Json
from rover_mcp.assistants import json_text
from rover_mcp.assistants.config_change import ConfigChange, ConfigChangeRefused
from rover_mcp.assistants.known import CLIENTS, Machine

COMMAND = "session-start"


@dataclass(frozen=True, slots=True)
class SessionHook:
    """`entry` is inserted into the list of `event`; `around` is what the file needs besides."""

    file: Callable[[Machine], Path]
    event: str
    entry: Callable[[str], Json]
    around: Mapping[str, Any] = field(default_factory=dict[str, Any])
    after: str = "restart it"


def _nested(command: str) -> Json:
    return {"hooks": [{"type": "command", "command": command}]}


def _flat(command: str) -> Json:
    return {"type": "command", "bash": command}


def _beside(client: str, *parts: str) -> Callable[[Machine], Path]:
    """A file in the folder of an assistant's configuration."""
    return lambda machine: CLIENTS[client].files(machine)[0].parent.joinpath(*parts)


HOOKS: Mapping[str, SessionHook] = {
    "codex": SessionHook(
        _beside("codex", "hooks.json"), "SessionStart", _nested,
        after="restart it, and trust the hook there",
    ),
    "gemini": SessionHook(_beside("gemini", "settings.json"), "SessionStart", _nested),
    "qwen": SessionHook(_beside("qwen", "settings.json"), "SessionStart", _nested),
    "copilot": SessionHook(
        _beside("copilot", "hooks", "rover.json"), "sessionStart", _flat, {"version": 1}
    ),
}  # fmt: skip


def command_of(launcher: Sequence[str]) -> str:
    """The hook's command line, for the installation whose launcher is started by `argv`."""
    if Path(launcher[0]).name == "rover-mcp":
        rover, rest = [launcher[0].removesuffix("-mcp")], launcher[1:]
    else:
        # Under uvx the program is not called like its package.
        rover, rest = [launcher[0], "--from", "rover-mcp", "rover"], launcher[2:]
    return shlex.join([*rover, COMMAND, *rest])


def with_hook(hook: SessionHook, text: str, command: str) -> ConfigChange:
    """`text` with the hook, once.

    Raises:
        ConfigChangeRefused: it cannot be done without changing what does not belong to Rover.
    """
    before = _parse(text)
    there = _entries(hook, before)
    others = [entry for entry in there if not _is_ours(entry)]
    wanted = [*others, hook.entry(command)]
    if there == wanted:
        return ConfigChange(text, text, was_there=True)
    new = text if text.strip() else "{}\n"
    for name, value in hook.around.items():
        if name not in before:
            new = json_text.put(new, (name,), value)
    return _checked(hook, text, json_text.put(new, ("hooks", hook.event), wanted), wanted)


def without_hook(hook: SessionHook, text: str) -> ConfigChange:
    """`text` without the hook.

    Raises:
        ConfigChangeRefused: as `with_hook`.
    """
    there = _entries(hook, _parse(text))
    others = [entry for entry in there if not _is_ours(entry)]
    if there == others:
        return ConfigChange(text, text, was_there=False)
    path = ("hooks", hook.event)
    new = json_text.put(text, path, others) if others else json_text.take_out(text, path)
    return _checked(hook, text, new, others)


def _parse(text: str) -> Json:
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigChangeRefused(f"has comments, or is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise ConfigChangeRefused("is not an object")
    return cast(Json, parsed)


def _entries(hook: SessionHook, parsed: Json) -> list[Any]:
    hooks = parsed.get("hooks", {})
    there = cast(Json, hooks).get(hook.event, []) if isinstance(hooks, dict) else None
    if not isinstance(there, list):
        raise ConfigChangeRefused(f"has something else at hooks.{hook.event}")
    return cast("list[Any]", there)


def _is_ours(entry: object) -> bool:
    """Whether one of its commands is `rover session-start`, of any installation."""
    if isinstance(entry, str):
        words = entry.split()
        return COMMAND in words and "rover" in {Path(w.strip("'\"")).name for w in words}
    if isinstance(entry, Mapping):
        return any(_is_ours(value) for value in cast("Mapping[str, object]", entry).values())
    return isinstance(entry, list) and any(_is_ours(one) for one in cast("list[object]", entry))


def _checked(hook: SessionHook, old: str, new: str, wanted: list[Any]) -> ConfigChange:
    """Check that the new text has the change and otherwise equals the old one."""
    before, after = _parse(old), _parse(new)
    there = bool([entry for entry in _entries(hook, before) if _is_ours(entry)])
    if _entries(hook, after) != wanted or _rest(hook, after) != {
        **_rest(hook, before), **{k: v for k, v in hook.around.items() if k in after}
    }:  # fmt: skip
        raise ConfigChangeRefused("is written in a way that cannot be changed safely")
    return ConfigChange(old, new, was_there=there)


def _rest(hook: SessionHook, parsed: Json) -> Json:
    """Everything but the event's list. Hooks that are empty then are treated as absent."""
    hooks = {k: v for k, v in cast(Json, parsed.get("hooks") or {}).items() if k != hook.event}
    return {**parsed, "hooks": hooks}
