"""`rover list`: a line for each task, or two where the terminal is narrow."""

from __future__ import annotations

from datetime import datetime

from agent_runner.json_object import Json
from rover_mcp.cli.pauses import in_short
from rover_mcp.cli.terminal_text import STATUS_COLOURS, Paint, ago, clean, shorten, table, width_of

TITLE_SHOWN = 60
TITLE_LEAST = 24
"""If there is less room than this for the titles, the phase gets a line of its own."""


def task_rows(tasks: list[Json], paint: Paint) -> list[str]:
    """The tasks in columns. A paused task shows where it is paused, and until when."""
    several = len({t["repo_path"] for t in tasks}) > 1
    paid = any(t.get("cost_usd") for t in tasks)
    rows = [_row(t, several, paid, paint.now()) for t in tasks]
    header = ["#", "status", "", "changed", *(["project"] if several else []), "agent"]
    header += [*(["cost"] if paid else []), "phase", "title"]
    titles = max(TITLE_LEAST, *(min(width_of(row[-1]), TITLE_LEAST) for row in rows))
    if paint.width is None or _width(rows, header) + titles <= paint.width:
        return _coloured(table(rows, paint, header), tasks, paint, 1)
    short = [row[:-2] + row[-1:] for row in rows]
    head, *lines = table(short, paint, header[:-2] + header[-1:])
    lines = _coloured(lines, tasks, paint, 0)
    phases = [paint(shorten(f"    {row[-2]}", paint.width), "dim") for row in rows]
    return [head, *(x for pair in zip(lines, phases, strict=True) for x in pair)]


def _row(t: Json, several: bool, paid: bool, now: datetime) -> list[str]:
    pause, cost = t.get("pause"), t.get("cost_usd")
    return [
        str(t["number"]),
        t["status"],
        f"{t['progress']} %",
        ago(t["updated_at"], now),
        *([shorten(clean(t["repo_path"]).rpartition("/")[2], 20)] if several else []),
        clean(t["agent"]) + (f" (1 of {t['racers']})" if t.get("racers") else ""),
        *([dollars(cost) if cost else ""] if paid else []),
        in_short(pause, now) if pause else shorten(clean(t["phase"]), 60),
        shorten(clean(t["title"]), TITLE_SHOWN),
    ]


def _width(rows: list[list[str]], header: list[str]) -> int:
    """The columns of everything but the title."""
    every = [header, *rows]
    return sum(2 + max(width_of(row[i]) for row in every) for i in range(len(header) - 1))


def _coloured(lines: list[str], tasks: list[Json], paint: Paint, first: int) -> list[str]:
    painted = lines[:first]
    for line, t in zip(lines[first:], tasks, strict=True):
        status = t["status"]
        painted.append(line.replace(status, paint(status, STATUS_COLOURS.get(status, "cyan")), 1))
    return painted


def dollars(cost: float) -> str:
    """An amount of money in a column."""
    return f"${cost:.2f}" if cost >= 0.01 or cost == 0 else "<$0.01"
