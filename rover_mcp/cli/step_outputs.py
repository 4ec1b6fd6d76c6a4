"""Shows the outputs of a task's steps unchanged: they are the answer of a workflow that changes
nothing."""

from __future__ import annotations

from agent_runner.json_object import Json
from rover_mcp.cli.steps import steps_of
from rover_mcp.cli.terminal_text import Paint, clean, wrap


def output_lines(task: Json, paint: Paint) -> list[str]:
    """The outputs of agents, each under its step: all with detail=full, otherwise the summary of a
    task that has stopped. What a command printed is in `rover logs`."""
    lines: list[str] = []
    for step in steps_of(task):
        if step["type"] == "command":
            continue
        given: dict[str, str] = step.get("outputs") or {}
        for name, value in given.items():
            text = clean(value, one_line=False).strip()
            head = paint(f"{clean(step['name'])}: {clean(name)}", "bold")
            if "\n" in text or not paint.fits(f"{step['name']}: {name}  {text}"):
                lines.append(head)
                for line in text.splitlines():
                    lines += [one.rstrip() for one in wrap(line, paint.width)]
            else:
                lines.append(f"{head}  {text}")
    return ["", *lines] if lines else []
