"""The result of `rover usage` as tables for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent_runner.json_object import Json
from rover_mcp.cli.listing import dollars
from rover_mcp.cli.render import budget_text
from rover_mcp.cli.terminal_text import Paint, clean, dated, pad, shorten, table, width_of, wrap
from rover_mcp.domain.durations import about

GROUPS_SHOWN = 50
NAME_WIDTH = 60
NAME_LEAST = 16
NO_PRICE = "no price known"
_HEADER = ("tasks", "calls", "tokens in", "tokens out", "cost")


def usage_lines(result: Json, paint: Paint) -> list[str]:
    """Usage, what it leaves out, waiting, and the budgets of unfinished tasks."""
    since = f"since {dated(result['since'])}" if result["since"] else "so far"
    lines = _usage(result, since, paint)
    lines += _waiting(result["waiting"], since, paint)
    return lines + _budgets(result, paint)


# Usage


def _usage(result: Json, since: str, paint: Paint) -> list[str]:
    groups: list[Json] = result["groups"]
    if not groups:
        return [f"No task has called a model {since}."]
    listed = _shown(groups, result["by"])
    rows = [[_name(group, result["by"]), *_numbers(group)] for group in listed]
    if len(groups) > 1:
        rows.append(["total", *_numbers(result["total"])])
    lines = [paint(f"Usage by {result['by']} {since}", "bold")]
    lines += _right_aligned(rows, [result["by"], *_HEADER], paint)
    if len(groups) > len(listed):
        lines.append(f"… {len(groups) - len(listed)} more: --csv and --json have all of them")
    return lines + _left_out(result["total"], paint)


def _shown(groups: list[Json], by: str) -> list[Json]:
    """The first groups, or of days the last: both are what a reader looks for."""
    return groups[-GROUPS_SHOWN:] if by == "day" else groups[:GROUPS_SHOWN]


def _name(group: Json, by: str) -> str:
    key = clean(group["key"])
    if by == "project":
        return key.rpartition("/")[2] or key
    if by != "task":
        return key
    if "number" not in group:
        return f"{key[:8]} (deleted)"
    trash = " (in the trash)" if group["in_trash"] else ""
    where = clean(group["project"]).rpartition("/")[2]
    return f"{where} {group['number']}: {clean(group['title'])}{trash}"


def _numbers(group: Json) -> list[str]:
    cost, unpriced = group["cost_usd"], group["unpriced_tokens"]
    money = NO_PRICE if cost is None else dollars(cost)
    more = "+" if cost is not None and unpriced else ""
    cached = group["cache_read_tokens"] + group["cache_write_tokens"]
    return [
        f"{group['tasks']:,}",
        f"{group['calls']:,}",
        f"{group['input_tokens'] + cached:,}",
        f"{group['output_tokens']:,}",
        money + more,
    ]


def _right_aligned(rows: list[list[str]], header: list[str], paint: Paint) -> list[str]:
    """A table whose first column is shortened to what the terminal leaves it, and whose others are
    numbers."""
    every = [header, *rows]
    widths = [max(width_of(row[i]) for row in every) for i in range(len(header))]
    room = NAME_WIDTH if paint.width is None else paint.width - sum(w + 2 for w in widths[1:])
    first = min(widths[0], max(NAME_LEAST, min(room, NAME_WIDTH)))
    cells = [
        [pad(shorten(row[0], first), first)]
        + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        for row in every
    ]
    return table(cells[1:], paint, cells[0])


def _left_out(total: Json, paint: Paint) -> list[str]:
    lines: list[str] = []
    if unpriced := total["unpriced_tokens"]:
        text = f"No price is known for {unpriced:,} tokens, which the cost leaves out"
        lines += wrap(f"{text}. rover usage --by model shows of which models.", paint.width, "")
    if count := total["estimated_calls"]:
        noun = "call" if count == 1 else "calls"
        lines += wrap(f"{count:,} {noun} reported no usage; it is estimated.", paint.width, "")
    return lines


# Waiting


def _waiting(waits: Sequence[Json], since: str, paint: Paint) -> list[str]:
    if not waits:
        return ["", f"No task has waited {since}."]
    lines = ["", paint(f"Waiting {since}, the times of all tasks added up", "bold")]
    rows = [_wait(wait) for wait in waits]
    return lines + table(rows, paint, ["for", "because", "waited", "tasks"])


def _wait(wait: Json) -> list[str]:
    still = f", {wait['waiting_now']} now" if wait["waiting_now"] else ""
    reason = clean(wait["reason"])
    tasks = f"{wait['tasks']:,}{still}"
    return [shorten(clean(wait["waited_for"]), 40), reason, about(wait["seconds"]), tasks]


# Budgets


def _budgets(result: Json, paint: Paint) -> list[str]:
    budgets: list[Json] = result["budgets"]
    if not budgets:
        return ["", "No unfinished task has a budget."]
    lines = ["", paint("Budgets of unfinished tasks", "bold")]
    rows = [_budget(one) for one in budgets]
    lines += table(rows, paint, ["task", "status", "used", "title"])
    if more := result["more_budgets"]:
        lines.append(f"… {more:,} more")
    return lines


def _budget(one: Json) -> list[str]:
    where = shorten(clean(one["project"]).rpartition("/")[2], 20)
    return [f"{where} {one['number']}", one["status"], budget_text(one), clean(one["title"])]
