"""Reads config.yaml, keeps the last usable one, and says where a mistake is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import yaml
from pydantic import ValidationError

from agent_runner.atomic_write import replace_file
from rover_mcp.config.settings import Settings
from rover_mcp.config.validation import reason
from rover_mcp.domain.errors import EnvironmentFault

LAST_GOOD: Final = "config.last.yaml"
"""The copy of the last usable config.yaml in the data folder."""


def load_settings(home: Path) -> Settings:
    """Settings of the data folder `home`; defaults where config.yaml does not exist.

    Raises:
        EnvironmentFault: config.yaml cannot be read or holds something unknown.
    """
    path = home / "config.yaml"
    try:
        text = _read(path)
        raw: object = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EnvironmentFault(
            f"{path} cannot be read: {_unquoted(error)}", hint="correct the file"
        ) from None
    if not isinstance(raw, dict):
        raise EnvironmentFault(f"{path} must hold a mapping", hint="correct the file")
    try:
        return Settings.model_validate({**raw, "home": home, "text": text, "wrong": ""})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise EnvironmentFault(
            f"{path}:{_line(text, first['loc'])}: {reason(first, Settings)}",
            hint="correct or remove this setting",
        ) from error


# Otherwise a typing error in config.yaml would end every task that is under way.
def settings_to_serve(home: Path) -> Settings:
    """The settings for a daemon. Where config.yaml cannot be used they are those of the last usable
    one, so that existing tasks continue.

    Raises:
        EnvironmentFault: it cannot be used, and there was none before.
    """
    last = home / LAST_GOOD
    try:
        settings = load_settings(home)
    except EnvironmentFault as fault:
        before = _parsed(last)
        if before is None:
            raise
        with suppress(OSError, UnicodeDecodeError):
            text = _read(home / "config.yaml")
            return before.model_copy(update={"text": text, "wrong": fault.message})
        return before.model_copy(update={"wrong": fault.message})
    _keep(last, settings.text)
    return settings


def _parsed(last: Path) -> Settings | None:
    """The settings that were kept; None if this version cannot use any."""
    try:
        raw: object = yaml.safe_load(last.read_text("utf-8")) or {}
        values = {**cast("dict[str, Any]", raw), "home": last.parent, "text": "", "wrong": ""}
        return Settings.model_validate(values)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValidationError):
        return None


def _keep(last: Path, text: str) -> None:
    """Keep a copy. Without one a mistake in config.yaml stops what waits, so a failure here is
    harmless."""
    with suppress(OSError, UnicodeDecodeError):
        if last.is_file() and last.read_text("utf-8") == text:
            return
        replace_file(last, text, mode=0o600)


def _line(text: str, place: Sequence[str | int]) -> int:
    """The line in a file at which a setting, or the innermost part of its path that exists, is
    found."""
    node = cast("yaml.Node | None", yaml.compose(text, yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]  # untyped
    line = 1
    for part in place:
        entry = None
        if isinstance(node, yaml.MappingNode):
            entry = next(((k, v) for k, v in node.value if k.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            entry = (node.value[part], node.value[part])
        if entry is None:
            break
        line, node = entry[0].start_mark.line + 1, entry[1]
    return line


def _unquoted(error: Exception) -> str:
    """What is wrong and where, without the line of the file, which may contain a secret."""
    mark = getattr(error, "problem_mark", None)
    if isinstance(error, yaml.MarkedYAMLError) and mark is not None:
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return error.strerror or str(error) if isinstance(error, OSError) else type(error).__name__


def have_changed(settings: Settings) -> bool:
    """Whether config.yaml has changed since these settings were read."""
    try:
        return _read(settings.home / "config.yaml") != settings.text
    except (OSError, UnicodeDecodeError):
        return True


def _read(config: Path) -> str:
    try:
        return config.read_text("utf-8")
    except FileNotFoundError:
        return ""
