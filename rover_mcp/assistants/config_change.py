"""How an assistant's configuration changes: its new text, or why it is left alone. Pure."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agent_runner.json_object import Json
from rover_mcp.assistants import json_text, toml_text
from rover_mcp.assistants.known import NAME, Assistant


class ConfigChangeRefused(Exception):
    """The file is left alone. The message says why, in words that follow the file's name."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """What a file contains now and would contain. They are equal where nothing has to be done."""

    old: str
    new: str
    was_there: bool
    """Whether it already had an entry for Rover."""


def with_entry(client: Assistant, text: str, argv: Sequence[str]) -> ConfigChange:
    """`text` with an entry that starts `argv`. What the user added to an entry stays.

    Raises:
        ConfigChangeRefused: it cannot be done without changing what does not belong to Rover.
    """
    before = _parse(client, text)
    current = _entry(client, before)
    wanted = entry(client, argv, current or {})
    if current is not None and {k: v for k, v in wanted.items() if v is not None} == current:
        return ConfigChange(text, text, was_there=True)
    new = _put(client, text, current, wanted)
    # The text was edited by position, so it is parsed again: nothing but the entry may differ.
    _check(client, new, before, {k: v for k, v in wanted.items() if v is not None})
    return ConfigChange(text, new, was_there=current is not None)


def without_entry(client: Assistant, text: str) -> ConfigChange:
    """`text` without Rover's entry.

    Raises:
        ConfigChangeRefused: it cannot be done without changing what does not belong to Rover.
    """
    before = _parse(client, text)
    if _entry(client, before) is None:
        return ConfigChange(text, text, was_there=False)
    if client.toml:
        new = toml_text.take_out(text, ".".join(client.path))
    else:
        new = json_text.take_out(text, client.path)
    _check(client, new, before, None)
    return ConfigChange(text, new, was_there=True)


def entry(client: Assistant, argv: Sequence[str], current: Mapping[str, Any]) -> Json:
    """An entry that starts `argv`, based on an existing one. A value of None removes the key."""
    # Only the command line is Rover's to decide. A timeout that the user has changed stays.
    said_or_default = {key: current.get(key, value) for key, value in client.defaults.items()}
    return {**current, **client.command(argv), **said_or_default}


def block(client: Assistant, argv: Sequence[str]) -> str:
    """What a person can paste into an empty configuration file."""
    change = with_entry(client, "", argv)
    return change.new


def diff(change: ConfigChange, name: str) -> list[str]:
    """What would change, with only one line of context: secrets of other servers may be near."""
    lines = difflib.unified_diff(
        change.old.splitlines(), change.new.splitlines(), name, name, lineterm="", n=1
    )
    return list(lines)


def _put(client: Assistant, text: str, current: Json | None, wanted: Json) -> str:
    if client.toml:
        changed = {k: v for k, v in wanted.items() if (current or {}).get(k) != v}
        return toml_text.put(text, ".".join(client.path), changed)
    complete = {k: v for k, v in wanted.items() if v is not None}
    return json_text.put(text if text.strip() else "{}\n", client.path, complete)


def _parse(client: Assistant, text: str) -> Json:
    if not text.strip():
        return {}
    try:
        parsed = tomllib.loads(text) if client.toml else json.loads(text)
    except (ValueError, RecursionError) as error:
        # opencode and VS Code allow comments. A parser that skips them cannot keep them, so such a
        # file is left to its user.
        commented = not client.toml and ("//" in text or "/*" in text)
        why = "has comments, or is not JSON" if commented else "cannot be read"
        raise ConfigChangeRefused(f"{why} ({error})") from error
    if not isinstance(parsed, dict):
        raise ConfigChangeRefused("is not an object")
    return cast(Json, parsed)


def _entry(client: Assistant, parsed: Json) -> Json | None:
    at = parsed
    for depth, key in enumerate(client.path):
        if key not in at:
            return None
        inner = at[key]
        if not isinstance(inner, dict):
            raise ConfigChangeRefused(f"has something else at {'.'.join(client.path[: depth + 1])}")
        at = cast(Json, inner)
    return at


def _check(client: Assistant, new: str, before: Json, wanted: Json | None) -> None:
    """Check that the new text says what it should, and is otherwise unchanged."""
    try:
        after = _parse(client, new)
    except ConfigChangeRefused:
        after = {}
    if _without(client, after) != _without(client, before) or _entry(client, after) != wanted:
        raise ConfigChangeRefused("is written in a way that cannot be changed safely")


def _without(client: Assistant, parsed: Json) -> Json:
    """A copy without Rover's entry. A section that is empty then is treated as absent."""
    section = cast(Json, parsed.get(client.section) or {})
    others = {k: v for k, v in section.items() if k != NAME}
    return {**parsed, client.section: others}
