"""Renders the result of get_status as text for people."""

from __future__ import annotations

import shlex
from datetime import datetime

from agent_runner.json_object import Json
from rover_mcp.cli.attention import attention
from rover_mcp.cli.copyable_command import next_command
from rover_mcp.cli.disk import disk_lines
from rover_mcp.cli.terminal_text import Paint, clean, size, when, wrap, zoned

_COLOURS = {"✔": "green", "!": "yellow", "✘": "red"}
# Where an agent's program comes from, by the word in get_status.
_SOURCES = {
    "built-in": "built in",
    "own": "yours",
    "fetched": "fetched",
    "npm": "npm fetches it when it is needed",
    "image": "to be in the image",
}


def agent_summary(entry: Json) -> str:
    """An agent's program and how it signs in, in one line."""
    how = _SOURCES.get(str(entry.get("source")), "not installed")
    parts = [clean(entry.get("version") or ""), how, clean(entry.get("path") or "")]
    if credential := entry.get("credential"):
        parts.append(f"signed in: {clean(credential)}")
    elif not entry["signed_in"]:
        parts.append("not signed in")
    return ", ".join(filter(None, parts))


def _check(mark: str, name: str, detail: str, entry: Json, paint: Paint) -> list[str]:
    room = None if paint.width is None else paint.width - 25
    hint = clean(entry["hint"]) if mark != "✔" and entry.get("hint") else ""
    first, *rest = [*wrap(detail, room, ""), *(wrap(hint, room, "") if hint else ())]
    more = [" " * 25 + paint(line, "dim") for line in rest]
    return [f"  {paint(mark, _COLOURS[mark])} {name:<20} {first}".rstrip(), *more]


def status_lines(result: Json, paint: Paint) -> list[str]:
    queue: Json = result["queue"]
    lines = [
        f"{paint('rover', 'bold')} {result['version']}  data in {clean(result['home'])}, "
        f"{size(result['disk']['free_bytes'])} free",
        f"{queue['running']} running, {queue['queued']} queued, "
        f"{queue.get('paused', 0)} paused; at most {queue['limit']} at a time",
        *disk_lines(result["disk"], paint),
    ]
    if trouble := result.get("cannot_start"):
        mark, *rest = wrap(f"{clean(trouble['message'])}: {clean(trouble['hint'])}", paint.width)
        lines += [paint("✘", "red", "bold") + mark[1:], *rest]
    holds = [_hold(hold, paint.now()) for hold in result.get("holds") or ()]
    for text in (*holds, *_switches(result)):
        mark, *rest = wrap(text, paint.width)
        lines += [paint("!", "yellow", "bold") + mark[1:], *rest]
    lines += [line for w in result.get("windows") or () for line in _window(w, paint)]
    for e in result["engines"]:
        # One that works and still has a reason isolates nothing.
        mark = ("!" if e.get("reason") else "✔") if e["available"] else "✘"
        detail = clean(e.get("reason") or e.get("version") or "")
        lines += _check(mark, f"engine {clean(e['name'])}", detail, e, paint)
    for a in result["agents"]:
        mark = "✔" if a["installed"] and a["signed_in"] else "✘"
        lines += _check(mark, f"agent {clean(a['name'])}", agent_summary(a), a, paint)
    if models := result.get("unpriced"):
        text = f"no price is known for {', '.join(map(clean, models))}: a budget in USD needs one"
        lines += _check("!", "budgets", text, {}, paint)
    if result.get("notice"):
        lines.append(f"{paint('!', 'yellow')} {clean(result['notice'])}")
    following = next_command("rover doctor", "what is missing", paint)
    return [*lines, *attention(result, paint), "", *following]


def _hold(hold: Json, now: datetime) -> str:
    probe = f"; task {hold['probe']} tries it now" if hold.get("probe") else ""
    model = f" for {clean(hold['model'])}" if hold.get("model") else ""
    return (
        f"Account {clean(hold['account'])} is closed{model} ({hold['reason']}) since "
        f"{zoned(hold['since'], now)}, until {when(hold['until'], now)}: "
        f"{clean(hold['message'])}; {hold['waiting']} waiting{probe}"
    )


def _window(window: Json, paint: Paint) -> list[str]:
    used = f", {window['used_percent']:.0f} % used" if "used_percent" in window else ""
    opens = f", reopens {when(window['opens_at'], paint.now())}" if "opens_at" in window else ""
    detail = f"{clean(window['window'])}: {clean(window['state'])}{used}{opens}"
    mark = "✔" if window["state"] == "open" else "!"
    return _check(mark, f"account {clean(window['account'])}", detail, {}, paint)


def _switches(result: Json) -> list[str]:
    switches: Json = result.get("auto_resume") or {}
    lines: list[str] = []
    if switches.get("off_in_config"):
        lines.append("Automatic resume is off in config.yaml (auto_resume: false)")
    if switches.get("off_for_all"):
        lines.append("Automatic resume is off for all tasks. On: rover auto-resume on --all")
    for path in map(clean, switches.get("off_in_projects") or ()):
        on = f"rover auto-resume on --project --repo {shlex.quote(path)}"
        lines.append(f"Automatic resume is off in {path}. On: {on}")
    return lines
