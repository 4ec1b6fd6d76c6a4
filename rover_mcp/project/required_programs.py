"""Finds the programs that a repository's own files ask for, and which of them are missing. Pure:
the caller reads the files and runs the programs."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

MAX_BYTES = 200_000
"""Bytes of a file that are read."""
MOST = 12
"""How many programs are named."""


@dataclass(frozen=True)
class ProgramNeed:
    """A program, the versions that are asked for in the file's own syntax, and the file."""

    program: str
    version: str
    file: str


_BY_NAME = {
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "deno.lock": "deno",
    "uv.lock": "uv",
    "poetry.lock": "poetry",
    "pdm.lock": "pdm",
    "Pipfile.lock": "pipenv",
    "Cargo.toml": "cargo",
    "rust-toolchain.toml": "cargo",
    "rust-toolchain": "cargo",
    "go.mod": "go",
    "Gemfile": "ruby",
    "composer.json": "php",
    "mix.exs": "mix",
    "Makefile": "make",
    "CMakeLists.txt": "cmake",
    "justfile": "just",
}
_LINES = {".nvmrc": "node", ".node-version": "node", ".python-version": "python3"}
_TOOLS = {
    "nodejs": "node", "node": "node", "python": "python3", "golang": "go", "go": "go",
    "rust": "cargo", "erlang": "erl", "elixir": "elixir", "ruby": "ruby", "java": "java",
    "php": "php", "deno": "deno", "bun": "bun", "pnpm": "pnpm", "yarn": "yarn", "uv": "uv",
    "poetry": "poetry", "cmake": "cmake", "zig": "zig",
}  # fmt: skip
_MANAGERS = frozenset({"npm", "pnpm", "yarn", "bun"})
ASKED = frozenset({"node", "python3", "ruby", "php", "deno", "bun", "uv"})
"""Programs that are run to find out their version, where one is asked for. A repository cannot add
to these."""
_READ = ("package.json", "pyproject.toml", ".tool-versions", *_LINES)
FILES = (*_BY_NAME, *_READ)
"""The files that are read, at the repository's root."""
_NUMBERS = re.compile(r"v?=?\s*([0-9]{1,4}(?:\.[0-9]{1,5}){0,2})")
_CONDITION = re.compile(
    r"\s*(>=|<=|==|!=|~=|>|<|\^|~|=)?\s*v?([0-9]{1,4}(?:\.(?:[0-9]{1,5}|[x*]))*)\s*"
)


def wants(texts: Mapping[str, str]) -> list[ProgramNeed]:
    """What the files ask for, from their names and contents: each program once, with its version
    where one is given."""
    wants_by_name: dict[str, ProgramNeed] = {}
    for want in _wants(texts):
        known = wants_by_name.get(want.program)
        if known is None or (want.version and not known.version):
            wants_by_name[want.program] = want
    return list(wants_by_name.values())


def _wants(texts: Mapping[str, str]) -> Iterator[ProgramNeed]:
    if "package.json" in texts:
        yield from _of_package(texts["package.json"])
    for name, program in _LINES.items():
        line = (texts.get(name, "").split() or [""])[0]
        if name in texts:
            yield ProgramNeed(program, line if _NUMBERS.match(line) else "", name)
    if "pyproject.toml" in texts:
        yield ProgramNeed("python3", _requires_python(texts["pyproject.toml"]), "pyproject.toml")
    # The file is a stranger's and may be of any length.
    for line in texts.get(".tool-versions", "").splitlines()[:50]:
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0] in _TOOLS:
            version = words[1] if _NUMBERS.match(words[1]) else ""
            yield ProgramNeed(_TOOLS[words[0]], version, ".tool-versions")
    for name, program in _BY_NAME.items():
        if name in texts:
            yield ProgramNeed(program, "", name)


def _of_package(text: str) -> Iterator[ProgramNeed]:
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    package = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    engines = package.get("engines")
    version = cast("dict[str, Any]", engines).get("node") if isinstance(engines, dict) else None
    yield ProgramNeed("node", version if isinstance(version, str) else "", "package.json")
    manager = package.get("packageManager")
    if isinstance(manager, str) and manager.partition("@")[0] in _MANAGERS:
        yield ProgramNeed(manager.partition("@")[0], "", "package.json")


def _requires_python(text: str) -> str:
    try:
        project: object = tomllib.loads(text).get("project")
    except (ValueError, RecursionError):
        return ""
    requirement = (
        cast("dict[str, Any]", project).get("requires-python") if isinstance(project, dict) else ""
    )
    return requirement if isinstance(requirement, str) else ""


def lacking(
    wants: list[ProgramNeed],
    find: Callable[[str], str | None],
    version_of: Callable[[str], str | None],
) -> list[str]:
    """A line for each program that is missing, or has a version that is not asked for. `find`
    returns a program's path, `version_of` what the program at a path prints. A version that cannot
    be understood is not judged."""
    lines: list[str] = []
    for want in wants:
        path = find(want.program)
        version = f" {want.version[:40]}" if want.version else ""
        if path is None:
            lines.append(f"{want.file} asks for {want.program}{version}")
            continue
        # Only a short list of well-known programs is started, and none that a repository brings.
        judged = want.version and want.program in ASKED
        reported = _NUMBERS.search(version_of(path) or "") if judged else None
        if reported and _fits(want.version, _parts(reported[1])) is False:
            lines.append(
                f"{want.file} asks for {want.program}{version}, and {path} is {reported[1]}"
            )
    return lines[:MOST]


def _fits(wanted: str, version: tuple[int, ...]) -> bool | None:
    """Whether a version is one of those that are asked for; None where that cannot be
    understood."""
    judged = [_fits_all(part, version) for part in wanted.split("||")]
    if True in judged:
        return True
    # A warning that is wrong is worse than none, so whatever cannot be understood counts as
    # fitting.
    return None if None in judged else False


def _fits_all(wanted: str, version: tuple[int, ...]) -> bool | None:
    at, fits = 0, True
    text = wanted.replace(",", " ").strip()
    if " - " in text or not text:
        return None
    while at < len(text):
        condition = _CONDITION.match(text, at)
        if condition is None or condition.end() == at:
            return None
        fits = fits and _holds(condition[1] or "", condition[2], version)
        at = condition.end()
    return fits


def _holds(operator: str, text: str, version: tuple[int, ...]) -> bool:
    parts = _parts(re.split(r"\.[x*]", text)[0])
    padded = (*version, 0, 0, 0)[:3]
    least = (*parts, 0, 0, 0)[:3]
    match operator:
        case ">=":
            return padded >= least
        case ">":
            return padded > least and padded[: len(parts)] != parts
        case "<":
            return padded < least
        case "<=":
            return padded <= least or padded[: len(parts)] == parts
        case "!=":
            return padded[: len(parts)] != parts
        case "^":
            return padded >= least and padded[0] == parts[0]
        case "~" | "~=":
            same = parts[:-1] if operator == "~=" or len(parts) > 2 else parts
            return padded >= least and padded[: len(same)] == same
        case _:
            return padded[: len(parts)] == parts


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
