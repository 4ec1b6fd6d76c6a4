"""Which of an agent's own tools does what was asked, and with which arguments. Pure.

Every agent has other names for the same two things. The arguments are filled in from the tool's
JSON schema, so that a new version of an agent needs no change here.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tests.support.models.turns import Behaviour, Call, Content, Say, Tool

WRITERS = ("Write", "write", "write_file", "create", "create_file")
SCRIPTS = ("exec",)
"""Codex's: a program in JavaScript calls the other tools."""
SHELLS = ("Bash", "bash", "run_shell_command", "exec_command", "shell_command", "shell")
_FOLDER = re.compile(
    r"(?:[Ww]orking directory:? *`?|<cwd>|directory of: *`?|current working directory is:? *`?)"
    r"(/[^\\\"\s<`]*)"
)
_PATH = re.compile(r"path|filename|^file$", re.IGNORECASE)
_CONTENT = re.compile(r"^(content|contents|file_text|text)$", re.IGNORECASE)
_COMMAND = re.compile(r"^(command|cmd|script)$", re.IGNORECASE)


def content_of(behaviour: Behaviour, tools: Sequence[Tool], body: object) -> Content:
    """What the model says, for a request with this body that offers these tools."""
    kind = behaviour["do"]
    if kind in ("text", "slow", "stream_error", "cut"):
        return Say(behaviour.get("text", "Done."))
    if kind == "tool":
        return _offered(tools, behaviour["name"], behaviour["input"])
    folder = working_directory(body)
    if kind == "write":
        path = str(PurePosixPath(folder, behaviour["path"]))
        if found := _first(tools, WRITERS):
            return _filled(found, {_PATH: path, _CONTENT: behaviour["content"]})
        if found := _first(tools, SCRIPTS):
            return _script(found, "apply_patch", _patch(path, behaviour["content"]))
        command = (
            f"mkdir -p {shlex.quote(str(PurePosixPath(path).parent))} && "
            f"printf %s {shlex.quote(behaviour['content'])} > {shlex.quote(path)}"
        )
    elif kind == "bash":
        command = behaviour["command"]
    else:
        raise ValueError(f"no such behaviour: {kind}")
    if found := _first(tools, SHELLS):
        return _filled(found, {_COMMAND: command})
    if found := _first(tools, SCRIPTS):
        return _script(found, "exec_command", {"cmd": command})
    return Say(f"No tool of {[t.name for t in tools]} does that.")


def working_directory(body: object) -> str:
    """Agents tell the model their working directory in the prompt."""
    found = _FOLDER.search(json.dumps(body))
    return found[1] if found else "/workspace"


def filled(schema: Mapping[str, Any], known: Mapping[re.Pattern[str], str] | None = None) -> Any:
    """A value that the schema allows: what is known by its name, else the least."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if "enum" in schema:
        return schema["enum"][0]
    if str(kind).lower() == "object" or "properties" in schema:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = schema.get("required", [])
        values: dict[str, Any] = {}
        for name, part in properties.items():
            value = next((v for pattern, v in (known or {}).items() if pattern.search(name)), None)
            if value is not None:
                values[name] = ["bash", "-lc", value] if part.get("type") == "array" else value
            elif name in required:
                values[name] = filled(part)
        return values
    least: dict[str, Any] = {"string": "it", "boolean": False, "integer": 1, "number": 1}
    return least.get(str(kind).lower(), [] if kind == "array" else None)


def _script(tool: Tool, name: str, given: object) -> Call:
    raw = f"text(await tools.{name}({json.dumps(given)}));"
    return Call(tool.name, raw=raw, namespace=tool.namespace)


def _patch(path: str, content: str) -> str:
    added = "".join(f"+{line}\n" for line in content.splitlines())
    return f"*** Begin Patch\n*** Add File: {path}\n{added}*** End Patch\n"


def _filled(tool: Tool, known: Mapping[re.Pattern[str], str]) -> Call:
    return Call(tool.name, filled(tool.schema or {}, known), namespace=tool.namespace)


def _first(tools: Sequence[Tool], names: Sequence[str]) -> Tool | None:
    return next((t for name in names for t in tools if t.name == name), None)


def _offered(tools: Sequence[Tool], name: str, arguments: dict[str, Any]) -> Content:
    """A call of the tool of that name. Of an MCP server's, clients put the server's in front."""
    for tool in tools:
        if tool.name == name or tool.name.endswith(f"_{name}"):
            return Call(tool.name, arguments, namespace=tool.namespace)
    return Say(f"The tool {name} is not offered, only {[t.name for t in tools]}.")
