"""`rover forget`: shows all that is kept of a project, and removes it where the user agrees."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.client import McpClient
from rover_mcp.cli.terminal_text import Paint, clean, size
from rover_mcp.cli.tool_commands import ask_person, connect, show
from rover_mcp.launcher.daemon_client import has_person


def forget(args: argparse.Namespace) -> int:
    """Show what would be removed; remove it with --yes, or where a person at the terminal
    agrees."""
    place = str(Path(args.path or ".").expanduser().absolute())
    client = connect(args)
    try:
        if args.yes:
            show(args, _ask(client, place, confirm=True), lines)
            return 0
        plan = _ask(client, place, confirm=False)
        if args.json or not has_person():
            show(args, plan, _would_go)
            return 0
        print("\n".join(lines(plan, Paint(sys.stdout))), flush=True)
        if not ask_person("This cannot be undone.", "Forget it?"):
            print("Nothing was removed.", file=sys.stderr)
            return 1
        seen = [task["id"] for task in plan["tasks"] if task["id"]]
        done = _ask(client, place, confirm=True, seen=seen)
        print(_done(done))
        return 0
    finally:
        client.close()


def _ask(client: McpClient, place: str, **params: object) -> Json:
    return client.request_for_long("rover/forget", {"repoPath": place, **params})


def lines(plan: Json, paint: Paint) -> list[str]:
    """What is removed, beginning with what exists nowhere else; then what stays."""
    path = paint(clean(plan["path"]), "bold")
    begin = f"Kept for {path}, {size(plan['bytes'])}:"
    tasks = sorted(plan["tasks"], key=lambda task: task["only_here"] is None)
    rows = [begin, *(row for task in tasks for row in _task(task, paint))]
    rows += [_part(part) for part in plan["parts"]]
    rows += [f"{paint('stays', 'green')}  {clean(what)}" for what in plan["kept"]]
    return [*rows, _done(plan)] if plan["forgotten"] else rows


def _task(task: Json, paint: Paint) -> Iterator[str]:
    name = f"task {task['number'] or '?'}  {clean(task['title'] or '')}".rstrip()
    yield f"{_size(task)}  {name}  {task['status']}"
    if task["only_here"]:
        yield " " * 10 + paint("nowhere else: ", "red") + clean(task["only_here"])


def _part(part: Json) -> str:
    return f"{_size(part)}  {part['what']}: {clean(part['detail'])}"


def _size(thing: Json) -> str:
    return f"{'' if thing['bytes'] is None else size(thing['bytes']):>8}"


def _done(plan: Json) -> str:
    count = len(plan["tasks"])
    return f"Forgotten, with {count} {'task' if count == 1 else 'tasks'}."


def _would_go(plan: Json, paint: Paint) -> list[str]:
    command = f"rover forget {shlex.quote(clean(plan['path']))} --yes"
    return [*lines(plan, paint), "", f"Nothing has been removed yet. To forget it: {command}"]
