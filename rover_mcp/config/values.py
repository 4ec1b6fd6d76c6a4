"""What single values of a project's configuration may be. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from agent_runner.duration_grammar import EXPECTED, PATTERN, parse_duration

DevcontainerUse = Annotated[
    Literal["off", "image", "all"],
    # YAML reads a plain `off` as a truth value.
    BeforeValidator(lambda value: "off" if value is False else value),
]
"""What of a repository's devcontainer.json counts."""
MAX_TEXT = 10_000
"""Characters of one command or one variable's value."""

_UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,3})?"
_SIZE = rf"({_NUMBER}) ?({'|'.join(_UNITS)})"

# No character that a shell, git or an ignore file reads as more than itself; nothing that begins
# like an option; no `.` and `..`.
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_.@+][A-Za-z0-9_.@+~-]*"
_PATH = rf"{_PART}(?:/{_PART})*"
_MAX_PATH = 200
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}"

# This file is committed. To refuse a name that merely looks secret costs a rename; to accept one
# costs a key.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|PASS|CREDENTIALS?|APIKEY|KEY|AUTH"
    r"|COOKIE|SESSION)$|SECRET|PASSWORD|PRIVATE_KEY|ACCESS_KEY|API_KEY",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"://[^/@\s:]*:[^/@\s]+@|-----BEGIN |\b(?:sk-|sk_live_|gh[pousr]_|github_pat_|glpat-|xox[abps]-"
    r"|AKIA|AIza)[A-Za-z0-9_-]{8}"
)
# Variables with which a repository could change which programs run, or where a model's requests go.
_RESERVED = re.compile(
    r"PATH|HOME|USER|TMPDIR|SHELL|IFS|ENV|BASH.*|SHELLOPTS|PS4|(?:LD|GIT|ROVER|ANTHROPIC|OPENAI"
    r"|GEMINI|GOOGLE_GEMINI|CLAUDE|CODEX|COPILOT|DBOS)_.*|GLIBC_TUNABLES|.*_PROXY",
    re.IGNORECASE,
)


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(_SIZE, value)
    if match is None:
        raise ValueError("a size is a number of bytes, or a number with a unit such as 4GiB")
    return round(float(match[1]) * _UNITS[match[2]])


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    seconds = parse_duration(value)
    if seconds is None:
        raise ValueError(f"a time is {EXPECTED}")
    return seconds


def _path(value: str) -> str:
    if len(value) > _MAX_PATH or not re.fullmatch(_PATH, value):
        raise ValueError(
            "a path is relative to the repository's root and consists of letters, digits and "
            f"_ . - @ + ~, without .. (at most {_MAX_PATH} characters); patterns are not allowed"
        )
    if ".git" in value.lower().split("/"):
        raise ValueError("files in .git cannot be named")
    return value


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL character cannot be handed to a program")
    return value


def _command(value: str) -> str:
    if not value.strip():
        raise ValueError("the command is empty")
    return _text(value)


def variable_fault(name: str, value: str) -> str | None:
    """Why a variable cannot stand in a file that is committed; None: it can."""
    if not re.fullmatch(VARIABLE, name):
        return f"{name[:80]!r} is not the name of a variable"
    if _RESERVED.fullmatch(name):
        return f"{name} is set by rover, or changes how programs are started"
    if looks_secret(name, value):
        return (
            f"{name} looks like a secret, and this file is committed: put it into a file that git "
            "ignores, such as .env, and name that under `copy`; keys of model providers belong "
            "under `credentials` in your own config.yaml"
        )
    return None


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable's name or value is like that of a secret."""
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value))


def _pattern(regex: str, what: str) -> dict[str, Any]:
    return {"anyOf": [{"type": what, "exclusiveMinimum": 0}, {"type": "string", "pattern": regex}]}


Size = Annotated[
    int,
    Field(gt=0, le=2**60, strict=True),
    BeforeValidator(_size),
    WithJsonSchema(_pattern(f"^{_SIZE}$", "integer")),
]
"""Bytes, written as a number or with a unit."""

Seconds = Annotated[
    float,
    Field(gt=0, le=30 * 86400, strict=True),
    BeforeValidator(_seconds),
    WithJsonSchema(_pattern(f"^(?:{PATTERN})$", "number")),
]
"""Seconds, written as a number or as a text that `agent_runner.duration_grammar` reads."""

RepoPath = Annotated[
    str,
    AfterValidator(_path),
    WithJsonSchema({"type": "string", "maxLength": _MAX_PATH, "pattern": f"^{_PATH}$"}),
]
"""A file of the repository, by its path from the root."""

Command = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_command)]
"""A line or more of bash."""

Value = Annotated[
    str,
    Field(max_length=MAX_TEXT),
    AfterValidator(_text),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""A variable's value, as it is written."""
