"""Adding to the user's own config.yaml what they allowed, with every other byte as it was."""

from __future__ import annotations

from typing import cast

import yaml

from agent_runner.json_object import Json
from rover_mcp.assistants.config_change import ConfigLeftAlone


def with_key(text: str, key: str, value: object, lines: str) -> str | None:
    """The text with `lines`, which say `key: value`; None: it says something of the key already.

    Raises:
        ConfigLeftAlone: it cannot be read, or not be changed in this way.
    """
    before = parsed(text)
    if key in before:
        return None
    gap = "" if not text or text.endswith("\n") else "\n"
    new = f"{text}{gap}{lines}"
    if parsed(new) != {**before, key: value}:
        raise ConfigLeftAlone("is written in a way that cannot be changed safely")
    return new


def parsed(text: str) -> Json:
    """
    Raises:
        ConfigLeftAlone: it cannot be read.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigLeftAlone(f"cannot be read ({error})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigLeftAlone("is not a mapping")
    return cast(Json, content)
