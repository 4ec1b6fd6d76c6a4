"""Generates docs/tools.md, with every tool, prompt and resource, from the code that serves them.

`python -m rover_mcp.server.reference docs/tools.md` writes it; a test fails when it differs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mcp_types import ToolAnnotations

from rover_mcp.server.app import INSTRUCTIONS
from rover_mcp.server.prompts import prompts
from rover_mcp.server.resources import templates
from rover_mcp.server.results import EngineView
from rover_mcp.server.tool_call import ToolEntry
from rover_mcp.server.tools import TOOLS
from rover_mcp.tasks.view_models import PauseView, StepView, TaskView

HEAD = """\
# Tools, prompts and resources

Generated from the code (`python -m rover_mcp.server.reference docs/tools.md`); a test fails when it
differs. How a client learns of a task's events: [notifications](notifications.md). At a terminal:
[the command line](cli.md).

A task is named by its id (32 hexadecimal digits; the first 8 are enough) or, within its
repository, by its number or branch. A number never means a task of another repository. Every
result may carry `attention`: what happened to your tasks that has not been reported to you yet,
and `attention_more`, how many more events there are. An error that you can fix is a tool error
with `code`, `message`, `hint` and, where there is one, `next_call`: a call that works.
"""
VIEWS = (
    ("TaskView", TaskView, "one task, the same in results, resources and the CLI's JSON"),
    ("PauseView", PauseView, "`pause` of a task"),
    ("StepView", StepView, "one of a task's `steps`"),
    ("EngineView", EngineView, "one of get_status's `engines`"),
)


def page() -> str:
    """The complete page."""
    parts = [HEAD, "## Instructions for the model\n", f"```\n{INSTRUCTIONS}```\n", "## Tools\n"]
    parts += [_tool(entry) for entry in TOOLS.values()]
    parts += ["## What results hold\n", *_views()]
    parts += ["## Resources\n", _table(("address", "what", "type"), _resources())]
    parts += ["## Prompts\n", _table(("prompt", "arguments", "what it is for"), _prompts())]
    return "\n".join(parts)


def _tool(entry: ToolEntry) -> str:
    tool = entry.tool
    hints = tool.annotations or ToolAnnotations()
    kinds = [
        "reads" if hints.read_only_hint else "changes",
        *(["destroys"] if hints.destructive_hint else []),
        *(["repeating it is harmless"] if hints.idempotent_hint or hints.read_only_hint else []),
        *([_open(entry)] if hints.open_world_hint else []),
        f"set `{entry.tool_set}`",
    ]
    lines = [f"### {tool.name}\n", f"{tool.description}\n", f"*{', '.join(kinds)}.*\n"]
    rows = list(_parameters(tool.input_schema))
    if rows:
        lines.append(_table(("argument", "type", "default", "what"), rows))
    fields = [name for name in entry.result.model_fields if not name.startswith("attention")]
    lines.append(f"Returns: {', '.join(f'`{name}`' for name in fields)}.\n")
    return "\n".join(lines)


def _open(entry: ToolEntry) -> str:
    reads = entry.tool_set == "read"
    return "shows what agents or others wrote" if reads else "reaches beyond this machine"


def _parameters(schema: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    required = schema.get("required", [])
    for name, of in schema["properties"].items():
        default = "required" if name in required else _default(of)
        yield f"`{name}`", _type(of), default, str(of.get("description", ""))


def _default(of: Mapping[str, Any]) -> str:
    default = of.get("default")
    return "" if default in (None, [], {}) else f"`{str(default).lower()}`"


def _type(of: Mapping[str, Any]) -> str:
    if "enum" in of:
        return ", ".join(f"`{value}`" for value in of["enum"])
    if of.get("type") == "array":
        return f"list of {_type(of.get('items', {}))}"
    return str(of.get("type", "any"))


def _views() -> Iterator[str]:
    for name, model, about in VIEWS:
        properties = model.model_json_schema(mode="serialization")["properties"]
        rows = ((f"`{k}`", str(v.get("description", ""))) for k, v in properties.items())
        yield f"### {name}\n\n{about[0].upper()}{about[1:]}. What is not known is left out.\n"
        yield _table(("field", "what"), rows)


def _resources() -> Iterator[tuple[str, ...]]:
    yield (
        "`rover://tasks`",
        "The newest tasks; subscribe to hear of every change",
        "application/json",
    )
    for one in templates():
        yield f"`{one.uri_template}`", str(one.description), str(one.mime_type)


def _prompts() -> Iterator[tuple[str, ...]]:
    for one in prompts():
        arguments = ", ".join(
            f"`{a.name}`{'' if a.required else ' (optional)'}" for a in one.arguments or ()
        )
        yield f"`{one.name}`", arguments, str(one.description)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    texts = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)
    return "\n".join(texts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
