"""Renders a diff for people: the files, the totals, and the patch in colour."""

from __future__ import annotations

from agent_runner.json_object import Json
from rover_mcp.cli.attention import attention
from rover_mcp.cli.terminal_text import Paint, clean, wrap
from rover_mcp.domain.text import visible_line, visible_patch


def diff_lines(result: Json, paint: Paint) -> list[str]:
    changes: Json = result["changes"]
    lines = [file_line(f, paint) for f in changes.get("paths") or ()]
    others = result.get("elsewhere")
    summary = (
        totals(changes)
        if others is None
        else f"none of these changed; {others} {'other' if others == 1 else 'others'} did"
    )
    lines.append(paint(summary, "bold"))
    lines += files_run_here(changes, paint)
    if patch := result.get("patch"):
        lines += ["", *patch_lines(patch, paint)]
    if result.get("truncated") or changes.get("truncated"):
        lines.append(paint(_cut(result, changes), "yellow"))
    return [*lines, *attention(result, paint)]


def patch_lines(patch: str, paint: Paint) -> list[str]:
    """A patch for people."""
    text = visible_patch(patch).rstrip("\n")
    return [_diff_line(line, paint) for line in text.split("\n")]


def _cut(result: Json, changes: Json) -> str:
    """How much is left out, and how to see it."""
    if result.get("patch"):
        return "… cut here: name paths to see the rest, or --stat"
    more = changes["files"] - len(changes.get("paths") or ())
    return f"… and {more} more: name a folder to list what changed in it"


def file_line(file: Json, paint: Paint) -> str:
    name = visible_line(file["path"])
    if who := file.get("run_by"):
        name += paint(f"  run by {clean(who)}", "yellow")
    if file.get("binary"):
        return f"{'binary':>11}  {name}"
    added, removed = f"+{file['added']}", f"-{file['removed']}"
    return f"{paint(f'{added:>5}', 'green')} {paint(f'{removed:>5}', 'red')}  {name}"


def files_run_here(changes: Json, paint: Paint) -> list[str]:
    """A warning about files that programs on this machine run, if there are any."""
    run_by: dict[str, int] = changes.get("run_by") or {}
    if not (count := sum(run_by.values())):
        return []
    files = "1 file is" if count == 1 else f"{count} files are"
    warning = (
        f"! {files} run or obeyed by programs on this machine: look at them before you check out"
    )
    return [paint(line, "yellow", "bold") for line in wrap(warning, paint.width, "")]


def totals(changes: Json) -> str:
    files = f"{changes['files']} file{'s' if changes['files'] != 1 else ''}"
    return f"{files} changed, +{changes['added']} -{changes['removed']}"


def _diff_line(line: str, paint: Paint) -> str:
    if line.startswith(("+++", "---", "diff ", "index ")):
        return paint(line, "bold")
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
    return paint(line, colour)
