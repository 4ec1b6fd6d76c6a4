"""`rover trash` and `rover gc`: what is kept that could go, and what was deleted and can come
back."""

from __future__ import annotations

import argparse

from agent_runner.json_object import Json
from rover_mcp.cli.setup_arguments import GC_ONLY_BY_NAME
from rover_mcp.cli.terminal_text import Paint, clean, dated, size
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
    return [*rows, "", "To restore one: rover undelete ID"]


def _row(task: Json, paint: Paint) -> str:
    name = f"{task['id'][:8]}  task {task['number']}  {clean(task['title'])}"
    where = paint(clean(task["project"]), "dim")
    return f"{name}  {task['status']}  {where}  until {dated(task['until'])}"


def gc(args: argparse.Namespace) -> int:
    """Show what could be freed, by kind; free it with --yes."""
    client = connect(args)
    try:
        wanted = {"action": "gc", "kinds": args.kinds, "confirm": args.yes}
        show(args, client.request_for_long("rover/space", wanted), gc_lines)
        return 0
    finally:
        client.close()


def gc_lines(result: Json, paint: Paint) -> list[str]:
    """Each kind with its size, then its items; what exists nowhere else is marked."""
    items: list[Json] = result["items"]
    if not items:
        return ["There is nothing to free."]
    rows: list[str] = []
    for kind in dict.fromkeys(item["kind"] for item in items):
        of_kind = [item for item in items if item["kind"] == kind]
        total = size(sum(item["bytes"] or 0 for item in of_kind))
        rows.append(f"{paint(kind, 'bold')}: {total}{_only_by_name(kind, result)}")
        rows += [row for item in of_kind for row in _item(item, paint)]
    if result["freed"]:
        return rows
    return [*rows, "", "Nothing is freed yet. To free it: rover gc --yes, or rover gc KIND --yes"]


def _only_by_name(kind: str, result: Json) -> str:
    named = kind in GC_ONLY_BY_NAME and not result["freed"]
    return f", freed only by: rover gc {kind} --yes" if named else ""


def _item(item: Json, paint: Paint) -> list[str]:
    taken = "" if item["bytes"] is None else size(item["bytes"])
    kept = "  kept: it is in use, or cannot be removed" if item["freed"] is False else ""
    rows = [f"{taken:>10}  {clean(item['detail'])}{kept}"]
    if item["only_here"]:
        rows.append(" " * 12 + paint("nowhere else: ", "red") + clean(item["only_here"]))
    return rows
