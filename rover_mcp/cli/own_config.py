"""Adds to the user's own config.yaml what they allowed, without changing any other byte."""

from __future__ import annotations

from typing import cast

import yaml

from agent_runner.json_object import Json
from rover_mcp.assistants.config_change import ConfigChangeRefused


# A YAML library would write the file again without its comments.
def with_key(text: str, key: str, value: object, lines: str) -> str | None:
    """The text with `lines`, which set a key; None where it sets that key already.

    Raises:
        ConfigChangeRefused: it cannot be read, or cannot be changed in this way.
    """
    before = parsed(text)
    if key in before:
        return None
    gap = "" if not text or text.endswith("\n") else "\n"
    new = f"{text}{gap}{lines}"
    if parsed(new) != {**before, key: value}:
        raise ConfigChangeRefused("is written in a way that cannot be changed safely")
    return new


def parsed(text: str) -> Json:
    """The file's content.

    Raises:
        ConfigChangeRefused: it cannot be read.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigChangeRefused(f"cannot be read ({error})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigChangeRefused("is not a mapping")
    return cast(Json, content)
