"""`rover trash` and `rover gc`: what is kept that could go, and what was deleted and can come
back."""

from __future__ import annotations

import argparse

from agent_runner.json_object import Json
from rover_mcp.cli.terminal_text import Paint, clean, dated
from rover_mcp.cli.tool_commands import connect, show


def trash(args: argparse.Namespace) -> int:
    """List the deleted tasks that can be given back."""
    client = connect(args)
    try:
        show(args, client.request_for_long("rover/space", {"action": "trash"}), trash_lines)
        return 0
    finally:
        client.close()


def trash_lines(result: Json, paint: Paint) -> list[str]:
    """A line for each task, the one that goes first on top."""
    tasks: list[Json] = result["trash"]
    if not tasks:
        return ["The trash is empty."]
    rows = [_row(task, paint) for task in tasks]
    return [*rows, "", "To give one back: rover undelete ID"]


def _row(task: Json, paint: Paint) -> str:
    name = f"{task['id'][:8]}  task {task['number']}  {clean(task['title'])}"
    where = paint(clean(task["project"]), "dim")
    return f"{name}  {task['status']}  {where}  until {dated(task['until'])}"
