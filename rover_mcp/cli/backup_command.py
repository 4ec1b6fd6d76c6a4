"""`rover backup` and `rover restore`: a data folder as one file, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.offline import run_offline
from rover_mcp.cli.terminal_text import Paint, clean, dated, size
from rover_mcp.cli.tool_commands import home_of, show

SHOWN = 10
IN_IT = (
    "Included: the tasks' records, specifications, journals, logs, work trees, agents' sessions "
    "and commits; config.yaml, workflows, what you trust, tokens for HTTP."
)
NOT_IN_IT = (
    "Not included: your repositories; keys and logins of providers; what Docker or podman keep "
    "(images, and the work of their tasks since the last checkpoint); caches, daemon.log."
)
SHARED = (
    "Not included: the PostgreSQL database. Copy it with pg_dump before each backup, and "
    "restore it with pg_restore or psql before a daemon starts."
)


def backup(args: argparse.Namespace) -> int:
    """Create a backup; the daemon may be running."""
    target = str(Path(args.target).expanduser().absolute())
    show(args, run_offline("backup", home_of(args), target), _backup_lines)
    return 0


def restore(args: argparse.Namespace) -> int:
    """Put a backup in place of the data folder, which is kept under another name."""
    source = str(Path(args.source).expanduser().absolute())
    show(args, run_offline("restore", home_of(args), source), _restore_lines)
    return 0


def _backup_lines(result: Json, paint: Paint) -> list[str]:
    running = f" ({result['running']} of them running)" if result["running"] else ""
    lines = [
        f"{paint(clean(result['file']), 'bold')}: {_tasks(result)}{running}, "
        f"{size(result['bytes'])}",
        IN_IT,
        NOT_IN_IT,
    ]
    if result["database"] == "postgresql":
        lines.append(paint(SHARED, "yellow"))
    if result["left_out"]:
        lines.append(f"Left out: {', '.join(map(clean, result['left_out']))}")
    return [*lines, *_some("Missing, because it could not be read", result["skipped"], paint)]


def _restore_lines(result: Json, paint: Paint) -> list[str]:
    lines = [
        f"{_tasks(result)} of {dated(result['made_at'])} restored into {clean(result['home'])}"
    ]
    if result["kept"]:
        lines.append(f"The previous data folder is kept: {clean(result['kept'])}")
    for task in result["paused"]:
        name = f"Task {task['number']} {clean(task['title'])[:60]!r}"
        lines.append(
            f"{name} was running when the backup was made, and is paused: rover resume {task['id']}"
        )
    if result["database"] == "postgresql":
        lines.append(paint(SHARED, "yellow"))
    return [*lines, *_some("Missing repositories", result["missing_repositories"], paint)]


def _tasks(result: Json) -> str:
    return "1 task" if result["tasks"] == 1 else f"{result['tasks']} tasks"


def _some(label: str, names: list[str], paint: Paint) -> list[str]:
    if not names:
        return []
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [paint(f"{label}: {', '.join(map(clean, names[:SHOWN]))}{more}", "yellow")]
