"""Shows what happened to other tasks, as lines under a result."""

from __future__ import annotations

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.copyable_command import is_here
from rover_mcp.cli.terminal_text import Paint, clean, wrap


def attention(result: Json, paint: Paint) -> list[str]:
    """What happened to other tasks."""
    lines: list[str] = []
    for event in result.get("attention") or ():
        wrapped = wrap(clean(for_terminal(_news(event))), paint.width)
        lines += [paint("!", "yellow", "bold") + wrapped[0][1:], *wrapped[1:]]
    if more := result.get("attention_more"):
        lines.append(paint(f"  and {more} more: rover list --all", "dim"))
    return ["", *lines] if lines else []


def _news(event: Json) -> str:
    """An event's summary, with the project's name where the task belongs to another project."""
    path = event.get("repo_path")
    if not path or is_here(path):
        return event["summary"]
    number = f"task {event['number']}"
    return event["summary"].replace(number, f"{number} of {path.rpartition('/')[2]}", 1)
