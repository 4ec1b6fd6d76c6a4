"""The tools' results as short text for people. Each ends with the next step."""

from __future__ import annotations

import os
from typing import Any

from rover_mcp.cli.text import (
    STATUS_COLOURS,
    STEP_MARKS,
    Paint,
    ago,
    clean,
    duration,
    shorten,
    size,
    table,
    when,
)

Json = dict[str, Any]
_COMMANDS = {
    "resume_task": "rover resume {task}",
    "wait_for_task": "rover watch {task}",
    "inspect": "rover inspect {task}",
    "get_diff": "rover diff {task}",
    "get_logs": "rover logs {task}",
    "pause_task": "rover pause {task}",
    "cancel_task": "rover cancel {task}",
    "list_tasks": "rover list",
    "list_workflows": "rover workflows",
    "get_status": "rover status",
    "create_task": "rover create DESCRIPTION",
}


def command_for(tool: object, arguments: Json | None = None) -> str:
    """The command that makes a tool call."""
    shape = _COMMANDS.get(str(tool), "rover --help")
    return shape.format(task=clean((arguments or {}).get("task", "TASK")))


def next_step(task: Json, paint: Paint) -> list[str]:
    """The first thing to do next with a task, as a command."""
    for action in task.get("next_actions") or ():
        return [_next(command_for(action["tool"], {"task": name_of(task)}), action["why"], paint)]
    return []


def name_of(task: Json) -> str:
    """How a command run from here names a task: by its number in this project, else by its id."""
    project = str(task["project"])
    here = os.path.realpath(".")
    return str(task["number"]) if f"{here}/".startswith(f"{project}/") else str(task["id"])


def _next(command: str, why: object, paint: Paint) -> str:
    return f"{paint('Next:', 'bold')} {paint(command, 'cyan')}  {paint(clean(why), 'dim')}".rstrip()


def attention(result: Json, paint: Paint, besides: str = "") -> list[str]:
    """What happened to other tasks; `besides` is the id of the task that is shown anyway."""
    events = [e for e in result.get("attention") or () if e["task_id"] != besides]
    lines = [f"{paint('!', 'yellow', 'bold')} {clean(e['summary'])}" for e in events]
    if more := result.get("attention_more"):
        lines.append(paint(f"  and {more} more: rover list --all", "dim"))
    return ["", *lines] if lines else []


def status_word(task: Json, paint: Paint) -> str:
    return paint(task["status"], "bold", STATUS_COLOURS.get(task["status"], "cyan"))


def headline(task: Json, paint: Paint) -> str:
    title = shorten(clean(task["title"]), 70)
    number = f"Task {task['number']}"
    return f"{paint(number, 'bold')}  {title}  {status_word(task, paint)}"


def task_facts(task: Json) -> list[tuple[str, str]]:
    """Names and values for the lines under a task's headline."""
    usage: Json = task.get("usage") or {}
    tokens = f"{usage.get('input_tokens', 0):,} in, {usage.get('output_tokens', 0):,} out"
    cost = usage.get("cost_usd")
    facts = [
        ("id", task["id"]),
        ("project", clean(task["project"])),
        ("branch", f"{clean(task['branch'])}  from {_base(task)}"),
        ("runs", _runs(task)),
        ("phase", f"{clean(task['phase'])}, {task['progress']} %"),
        ("time", f"{duration(task['duration_s'])}, created {ago(task['created_at'])} ago"),
    ]
    if usage:
        facts.append(("usage", tokens + (f", ${cost:.4f}" if cost is not None else "")))
    if changes := task.get("changes"):
        facts.append(("changes", _totals(changes)))
    return facts


def _base(task: Json) -> str:
    return f"{clean(task.get('base_branch') or 'HEAD')} ({task['base_commit'][:10]})"


def _runs(task: Json) -> str:
    agent = clean(task["agent"]) + (f" ({clean(task['model'])})" if task.get("model") else "")
    where = f" in {task['engine']}" if task.get("engine") else ""
    return (
        f"workflow {clean(task['workflow'])}, agent {agent}{where}; "
        f"iteration {task['iteration']}, attempt {task['attempt']}"
    )


def pause_lines(task: Json, paint: Paint) -> list[str]:
    """Why it is paused, since when, until when (ACCEPTANCE D10, H6)."""
    pause = task.get("pause")
    if not pause:
        return []
    who = f" at {clean(pause['provider'])}" if pause.get("provider") else ""
    step = f", in step {clean(pause['step'])}" if pause.get("step") else ""
    lines = [
        f"{paint('Paused', 'yellow', 'bold')} ({pause['reason']}{who}{step}) "
        f"{ago(pause['since'])} ago: {clean(pause['message'])}"
    ]
    if pause.get("auto_resume") and pause.get("retry_at"):
        stop = f"to stop that: rover pause {name_of(task)}"
        lines.append(f"It goes on by itself at {when(pause['retry_at'])}; {stop}")
    else:
        lines.append("It waits for you; nothing is lost.")
    return lines


def steps_of(task: Json) -> list[Json]:
    return task.get("steps") or []


def step_lines(task: Json, paint: Paint) -> list[str]:
    """One line a step, in columns."""
    steps = steps_of(task)
    width = max((len(clean(s["name"])) for s in steps), default=0)
    return [step_line(step, width, paint) for step in steps]


def step_line(step: Json, width: int, paint: Paint) -> str:
    mark, colour = STEP_MARKS.get(step["status"], ("?", ""))
    took = duration(step.get("duration_s"))
    name = clean(step["name"]).ljust(width)
    line = f"  {paint(mark, colour)} {name}  {step['type']:<8} {step['status']:<11} {took}".rstrip()
    if step.get("error"):
        line += "\n" + paint(f"      {shorten(clean(step['error']), 200)}", "red")
    return line


def task(result: Json, paint: Paint) -> list[str]:
    """One task in full: inspect, create, resume, pause, cancel."""
    view: Json = result["task"]
    lines = [headline(view, paint)]
    if said := result.get("result"):
        lines[0] = f"{paint(str(said).replace('_', ' '), 'bold')}: {lines[0]}"
    lines += [f"  {paint(name.ljust(8), 'dim')} {value}" for name, value in task_facts(view)]
    if view.get("steps"):
        lines += ["", *step_lines(view, paint)]
    changes: Json = view.get("changes") or {}
    files: list[Json] = changes.get("paths") or []
    lines += ["  " + _file(file, paint) for file in files]
    lines += [f"{paint('Warning:', 'yellow')} {clean(w)}" for w in view.get("warnings") or ()]
    if view.get("error"):
        lines.append(f"{paint('Error:', 'red', 'bold')} {clean(view['error'])}")
    lines += ["", *pause_lines(view, paint)] if view.get("pause") else []
    lines += _events(result, paint)
    return [*lines, *attention(result, paint, view["id"]), "", *next_step(view, paint)]


def _events(result: Json, paint: Paint) -> list[str]:
    events: list[Json] = result.get("events") or []
    rows = [(e["at"][11:19], e["event"].removeprefix("task."), clean(e["summary"])) for e in events]
    return ["", *table(rows, paint, ("time", "event", "what"))] if rows else []


def listing(result: Json, paint: Paint) -> list[str]:
    """list_tasks: one line a task; where and until when for the paused ones (H6)."""
    tasks: list[Json] = result["tasks"]
    if not tasks:
        hint = _next("rover create DESCRIPTION", "hand over the first one", paint)
        return ["No tasks.", *attention(result, paint), hint]
    several = len({t["project"] for t in tasks}) > 1
    rows = [
        (
            str(t["number"]),
            t["status"],
            f"{t['progress']} %",
            _situation(t),
            ago(t["updated_at"]),
            *([clean(t["project"]).rpartition("/")[2]] if several else []),
            shorten(clean(t["title"]), 60),
        )
        for t in tasks
    ]
    header = ("#", "status", "", "phase", "changed", *(["project"] if several else []), "title")
    lines = table(rows, paint, header)
    for index, t in enumerate(tasks, start=1):
        colour = STATUS_COLOURS.get(t["status"], "cyan")
        lines[index] = lines[index].replace(t["status"], paint(t["status"], colour), 1)
    if cursor := result.get("next_cursor"):
        lines.append(paint(f"more: rover list --cursor {cursor}", "dim"))
    paused = next((t for t in tasks if t["status"] == "PAUSED"), tasks[0])
    return [*lines, *attention(result, paint), "", *next_step(paused, paint)]


def _situation(t: Json) -> str:
    pause = t.get("pause")
    if not pause:
        return shorten(clean(t["phase"]), 40)
    who = f", {clean(pause['provider'])}" if pause.get("provider") else ""
    on = pause.get("auto_resume") and pause.get("retry_at")
    return f"{pause['reason']}{who}, {f'goes on {when(on)}' if on else 'waits for you'}"


def logs(result: Json, paint: Paint) -> list[str]:
    step = clean(result.get("step") or "no step yet")
    head = [paint(f"step {step} (what an agent or a command wrote)", "dim")]
    if result.get("truncated"):
        head.append(paint("… earlier lines are left out: --tail N shows more", "dim"))
    return [*head, clean(result["text"], one_line=False).rstrip("\n"), *attention(result, paint)]


def diff(result: Json, paint: Paint) -> list[str]:
    changes: Json = result["changes"]
    lines = [_file(f, paint) for f in changes.get("paths") or ()]
    lines.append(paint(_totals(changes), "bold"))
    if patch := result.get("patch"):
        text = clean(patch, one_line=False).rstrip("\n")
        lines += ["", *(_diff_line(line, paint) for line in text.split("\n"))]
    if result.get("truncated") or changes.get("truncated"):
        lines.append(paint("… cut here: name paths to see the rest, or --stat", "yellow"))
    return [*lines, *attention(result, paint)]


def _file(file: Json, paint: Paint) -> str:
    if file.get("binary"):
        return f"{'binary':>11}  {clean(file['path'])}"
    added, removed = f"+{file['added']}", f"-{file['removed']}"
    return f"{paint(f'{added:>5}', 'green')} {paint(f'{removed:>5}', 'red')}  {clean(file['path'])}"


def _totals(changes: Json) -> str:
    files = f"{changes['files']} file{'s' if changes['files'] != 1 else ''}"
    return f"{files} changed, +{changes['added']} -{changes['removed']}"


def _diff_line(line: str, paint: Paint) -> str:
    if line.startswith(("+++", "---", "diff ", "index ")):
        return paint(line, "bold")
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
    return paint(line, colour)


def workflows(result: Json, paint: Paint) -> list[str]:
    lines: list[str] = []
    for w in result["workflows"]:
        lines.append(f"{paint(clean(w['name']), 'bold')}  {paint(clean(w['source']), 'dim')}")
        if w.get("error"):
            lines.append(f"  {paint('error:', 'red')} {clean(w['error'])}")
        if w.get("description"):
            lines.append(f"  {clean(w['description'])}")
        for i in w.get("inputs") or ():
            default = "required" if i.get("required") else f"default {clean(i.get('default'))}"
            about = clean(i.get("description") or "")
            lines.append(
                f"  --input {clean(i['name'])}=…  {paint(default, 'dim')}  {about}".rstrip()
            )
    following = _next("rover create DESCRIPTION --workflow NAME", "use one", paint)
    return [*lines, *attention(result, paint), "", following]


def status(result: Json, paint: Paint) -> list[str]:
    queue: Json = result["queue"]
    lines = [
        f"{paint('rover', 'bold')} {result['version']}  data in {clean(result['home'])}, "
        f"{size(result['disk']['free_bytes'])} free",
        f"{queue['running']} running, {queue['queued']} queued, "
        f"{queue.get('paused', 0)} paused; at most {queue['limit']} at a time",
    ]
    for e in result["engines"]:
        detail = clean(e.get("version") or "") if e["available"] else clean(e.get("reason") or "")
        lines.append(_check(e["available"], f"engine {clean(e['name'])}", detail, e, paint))
    for a in result["agents"]:
        ready = a["installed"] and a["signed_in"]
        detail = clean(a.get("path") or "") if a["installed"] else "not installed"
        lines.append(_check(ready, f"agent {clean(a['name'])}", detail, a, paint))
    if result.get("notice"):
        lines.append(f"{paint('!', 'yellow')} {clean(result['notice'])}")
    return [*lines, *attention(result, paint), "", _next("rover doctor", "what is missing", paint)]


def _check(good: bool, name: str, detail: str, entry: Json, paint: Paint) -> str:
    mark = paint("✔", "green") if good else paint("✘", "red")
    hint = f"  {paint(clean(entry['hint']), 'dim')}" if not good and entry.get("hint") else ""
    return f"  {mark} {name:<20} {detail}{hint}".rstrip()


def error(message: str, hint: str | None, next_call: Json | None, paint: Paint) -> list[str]:
    """An error, what to do about it, and the command that would work."""
    lines = [f"{paint('rover:', 'red', 'bold')} {clean(message)}"]
    if hint:
        lines.append(f"  {clean(hint)}")
    if next_call:
        command = command_for(next_call.get("tool"), next_call.get("arguments"))
        lines.append(_next(command, "", paint))
    return lines
