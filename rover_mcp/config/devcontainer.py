"""Reads `devcontainer.json`: what Rover honours of it, and the names of what it does not.

It is a repository's file and therefore data: none of it reaches the host, and what it would open
(mounts, privileges, run arguments) is never applied.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from rover_mcp.config.values import DevcontainerUse, variable_fault
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.source_tree import DockerfileBuild

PLACES = (".devcontainer/devcontainer.json", ".devcontainer.json")
MAX_BYTES = 256 * 1024
_COMMANDS = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
_ENVIRONMENTS = ("containerEnv", "remoteEnv")
_HONOURED = frozenset({"image", "build", "dockerFile", "context", *_COMMANDS, *_ENVIRONMENTS})
# Of an editor, or of no consequence in a sandbox: nothing is lost without them.
_HARMLESS = frozenset(
    {
        "$schema", "name", "customizations", "settings", "extensions", "forwardPorts",
        "portsAttributes", "otherPortsAttributes", "appPort", "shutdownAction", "hostRequirements",
        "userEnvProbe", "waitFor", "workspaceFolder", "overrideCommand", "updateRemoteUserUID",
        "remoteUser", "containerUser", "init",
    }
)  # fmt: skip
_FEATURES = frozenset({"features", "dockerComposeFile"})
_BUILD = frozenset({"dockerfile", "context", "args", "target"})
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,499}")


@dataclass(frozen=True)
class Devcontainer:
    """What is honoured, and `ignored`, the names of what is not."""

    image: str | None = None
    build: DockerfileBuild | None = None
    commands: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    ignored: tuple[str, ...] = ()

    def within(self, use: DevcontainerUse, *, own_setup: bool = False) -> Devcontainer:
        """The part of it that counts. `own_setup`: the project's configuration has commands of its
        own, which replace these."""
        if use == "off":
            return Devcontainer()
        return replace(self, commands=()) if own_setup or use == "image" else self

    @property
    def needs(self) -> tuple[str, ...]:
        """What its commands may need that no sandbox gives them."""
        return tuple(name for name in self.ignored if name in _FEATURES)


def parse_devcontainer(data: bytes, place: str) -> Devcontainer:
    """Read the file at `place`.

    Raises:
        UserFixable: it is not such a file, or names a path outside ("invalid_devcontainer").
    """
    content = _load(data, place)
    ignored = [k for k in content if k not in _HONOURED and k not in _HARMLESS]
    folder = posixpath.dirname(place)
    image = content.get("image")
    if image is not None and not (isinstance(image, str) and _REFERENCE.fullmatch(image)):
        raise _invalid(place, "invalid image name")
    build = None if image is not None else _build(content, place, folder, ignored)
    return Devcontainer(
        image=image,
        build=build,
        commands=tuple(c for name in _COMMANDS for c in _commands(content.get(name), place, name)),
        environment=_environment(content, ignored),
        ignored=tuple(sorted(ignored)),
    )


def _load(data: bytes, place: str) -> dict[str, Any]:
    try:
        text = data.decode("utf-8-sig")
        content: object = json.loads(_plain_json(text))
    except (ValueError, RecursionError) as error:
        raise _invalid(place, str(error)) from None
    if not isinstance(content, dict):
        raise _invalid(place, "it must hold an object")
    return cast("dict[str, Any]", content)


# The file is JSON with comments. A regular expression for that would take quadratic time on a
# hostile file.
def _plain_json(text: str) -> str:
    """The text without comments and trailing commas. Linear for every text."""
    parts: list[str] = []
    comma: int | None = None  # its place in `parts`, while nothing but space follows it
    at = 0
    while at < len(text):
        if text[at] == '"':
            string = _STRING.match(text, at)
            if string is None:
                raise ValueError("a string is not closed")
            part, at = string[0], string.end()
        elif text.startswith("//", at):
            end = text.find("\n", at)
            part, at = "", end if end >= 0 else len(text)
        elif text.startswith("/*", at):
            end = text.find("*/", at + 2)
            if end < 0:
                raise ValueError("a comment is not closed")
            part, at = " ", end + 2
        else:
            part, at = text[at], at + 1
        if comma is not None and part in ("}", "]"):
            parts[comma] = ""
        if part.strip():
            comma = len(parts) if part == "," else None
        parts.append(part)
    return "".join(parts)


def _build(
    content: Mapping[str, Any], place: str, folder: str, ignored: list[str]
) -> DockerfileBuild | None:
    section: object = content.get("build")
    build = cast("dict[str, Any]", section) if isinstance(section, dict) else {}
    file = build.get("dockerfile", content.get("dockerFile"))
    if file is None:
        return None
    ignored += [f"build.{name}" for name in build if name not in _BUILD]
    args: object = build.get("args", {})
    target: object = build.get("target")
    if not isinstance(args, dict) or not isinstance(target, str | None):
        raise _invalid(place, "build.args must be an object, build.target a text")
    context = _inside(build.get("context", content.get("context", ".")), place, folder)
    return DockerfileBuild(
        dockerfile=_inside(file, place, folder),
        context=context,
        args={str(k): str(v) for k, v in cast("dict[Any, Any]", args).items()},
        target=target,
    )


def _inside(path: object, place: str, folder: str) -> str:
    """A path from the root of the repository that stays inside it."""
    if not isinstance(path, str) or path.startswith("/") or "\0" in path or "\\" in path:
        raise _invalid(place, f"{path!r} is not a relative path")
    normal = posixpath.normpath(posixpath.join(folder, path))
    if normal == ".." or normal.startswith("../"):
        raise _invalid(place, f"{path!r} leaves the repository")
    return "" if normal == "." else normal


def _commands(value: object, place: str, name: str) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        words = cast("list[object]", value)
        if all(isinstance(word, str) for word in words):
            return [shlex.join(cast("list[str]", words))] if words else []
    if isinstance(value, dict):
        # Side by side in an editor; one after the other here, which each of them permits.
        each = cast("dict[str, object]", value).values()
        return [command for inner in each for command in _commands(inner, place, name)]
    raise _invalid(place, f"{name} is not a command")


def _environment(content: Mapping[str, Any], ignored: list[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for section in _ENVIRONMENTS:
        given: object = content.get(section)
        pairs = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        for name, value in pairs.items():
            literal = isinstance(value, str) and "${" not in value
            if not literal or variable_fault(name, value):
                ignored.append(f"{section}.{name}")
            else:
                variables[name] = value
    return variables


def _invalid(place: str, why: str) -> UserFixable:
    return UserFixable(
        f"{place}: {why}",
        hint=f"correct {place}, and commit it; or devcontainer: off "
        "(rover create --devcontainer off) leaves it out",
        code="invalid_devcontainer",
    )
