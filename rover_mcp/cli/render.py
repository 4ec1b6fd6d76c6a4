"""Renders the tools' results as short text for people. Each ends with the next step. get_diff and
get_status have modules of their own."""

from __future__ import annotations

from datetime import datetime

from agent_runner.json_object import Json
from rover_mcp.cli.attention import attention
from rover_mcp.cli.cli_wording import for_terminal, hint_for_terminal
from rover_mcp.cli.copyable_command import command_for, next_command, next_step
from rover_mcp.cli.listing import task_rows
from rover_mcp.cli.pauses import pause_lines
from rover_mcp.cli.render_diff import file_line, files_run_here, totals
from rover_mcp.cli.step_outputs import output_lines
from rover_mcp.cli.steps import step_lines
from rover_mcp.cli.terminal_text import (
    STATUS_COLOURS,
    Paint,
    ago,
    clean,
    clock,
    local_times,
    shorten,
    table,
    wrap,
    zone,
)
from rover_mcp.domain.durations import duration


def status_word(task: Json, paint: Paint) -> str:
    return paint(task["status"], "bold", STATUS_COLOURS.get(task["status"], "cyan"))


def headline(task: Json, paint: Paint) -> str:
    number, status = f"Task {task['number']}", status_word(task, paint)
    room = 70 if paint.width is None else paint.width - len(number) - len(task["status"]) - 4
    return f"{paint(number, 'bold')}  {shorten(clean(task['title']), room)}  {status}"


def task_facts(task: Json, now: datetime) -> list[tuple[str, str]]:
    """Names and values for the lines under a task's headline."""
    usage: Json = task.get("usage") or {}
    tokens = f"{usage.get('input_tokens', 0):,} in, {usage.get('output_tokens', 0):,} out"
    cost = usage.get("cost_usd")
    facts = [
        ("id", task["id"]),
        ("project", clean(task["repo_path"])),
        ("branch", f"{clean(task['branch']) or 'none'}  from {_base(task)}"),
        *([("base", _base_news(task))] if task.get("behind") else []),
        ("runs", _runs(task)),
        *([("origin", clean(task["origin"]))] if task.get("origin") else []),
        ("phase", f"{clean(task['phase'])}, {task['progress']} %"),
        ("time", f"{duration(task['duration_s'])}, created {ago(task['created_at'], now)} ago"),
    ]
    if any(usage.values()):
        facts.append(("usage", tokens + (f", ${cost:.4f}" if cost is not None else "")))
    if budget := task.get("budget"):
        facts.append(("budget", budget_text(budget)))
    if changes := task.get("changes"):
        facts.append(("changes", totals(changes)))
    return facts


def _base(task: Json) -> str:
    return f"{clean(task.get('base_branch') or 'HEAD')} ({task['base_commit'][:10]})"


def _base_news(task: Json) -> str:
    """What its base has by now, as of the last fetch."""
    behind: dict[str, int] = task["behind"]
    news = [f"{clean(ref)} has {commits(count)}" for ref, count in behind.items()]
    ahead = f"; the task has {commits(task['ahead'])}" if task.get("ahead") else ""
    return f"{', '.join(news)} since{ahead}"


def commits(count: int) -> str:
    return "1 commit" if count == 1 else f"{count} commits"


def budget_text(budget: Json) -> str:
    """What is used of each limit of a budget."""
    parts: list[str] = []
    if usd := budget.get("usd"):
        parts.append(f"${budget.get('spent_usd') or 0:.4f} of ${usd:.2f}")
    if most := budget.get("tokens"):
        parts.append(f"{budget['spent_tokens']:,} of {most:,} tokens")
    return ", ".join(parts)


def _runs(task: Json) -> str:
    others = [clean(a) for a in task.get("agents") or () if a != task["agent"]]
    agent = clean(task["agent"]) + (f" ({clean(task['model'])})" if task.get("model") else "")
    agent += f", else {', '.join(others)}" if others else ""
    where = f" in {task['engine']}" if task.get("engine") else ""
    if (network := task.get("network")) not in (None, "allowlist"):
        where += f", network {clean(network)}"
    return (
        f"workflow {clean(task['workflow'])}, agent {agent}{where}; "
        f"iteration {task['iteration']}, attempt {task['attempt']}"
    )


def task(result: Json, paint: Paint) -> list[str]:
    """One task in full: inspect, create, resume, pause, cancel."""
    view: Json = result["task"]
    lines = [headline(view, paint)]
    if outcome := result.get("result"):
        message = f": {clean(for_terminal(result['message']))}" if result.get("message") else ""
        lines.insert(0, f"{paint(str(outcome).replace('_', ' '), 'bold')}{message}")
    lines += [_fact(name, value, paint) for name, value in task_facts(view, paint.now())]
    if view.get("steps"):
        lines += ["", *step_lines(view, paint)]
    changes: Json = view.get("changes") or {}
    files: list[Json] = changes.get("paths") or []
    lines += ["", *("  " + file_line(file, paint) for file in files)] if files else []
    lines += files_run_here(changes, paint)
    if wrong := [*warnings(view, paint), *error_lines(view, paint)]:
        lines += ["", *wrong]
    lines += output_lines(view, paint)
    lines += context_lines(view, paint)
    lines += _refused(view, paint)
    lines += _sent(view, paint)
    lines += ["", *pause_lines(view, paint)] if view.get("pause") else []
    lines += _events(result, paint)
    return [*lines, *attention(result, paint), "", *next_step(view, paint)]


def _fact(name: str, value: str, paint: Paint) -> str:
    room = None if paint.width is None else paint.width - 11
    first, *rest = wrap(value, room, "")
    return "\n".join([f"  {paint(name.ljust(8), 'dim')} {first}", *(" " * 11 + x for x in rest)])


def error_lines(task: Json, paint: Paint) -> list[str]:
    """Why a task failed, and the verdict in spite of which its result was delivered."""
    error, verdict = task.get("error"), task.get("verdict")
    lines = _labelled("But:", verdict, paint, "yellow", "bold") if verdict else []
    return [*lines, *(_labelled("Error:", error, paint, "red", "bold") if error else ())]


def warnings(result: Json, paint: Paint) -> list[str]:
    """The warnings of a task or of a list."""
    texts = result.get("warnings") or ()
    return [line for w in texts for line in _labelled("Warning:", w, paint, "yellow")]


def _labelled(label: str, text: object, paint: Paint, *styles: str) -> list[str]:
    first, *rest = wrap(f"{label} {clean(for_terminal(str(text)))}", paint.width, "")
    return [paint(label, *styles) + first.removeprefix(label), *rest]


def context_lines(view: Json, paint: Paint) -> list[str]:
    """What the agent was given to read, and where it is from (with detail=full)."""
    pieces: list[Json] = view.get("context") or []
    lines: list[str] = []
    for piece in pieces:
        facts = [
            f"{piece['bytes']:,} bytes",
            f"fetched at {clock(piece['fetched_at'], paint.now())}",
        ]
        if left_out := piece.get("left_out"):
            facts.append(f"{left_out} comments by people without a role left out")
        if piece.get("cut"):
            facts.append("cut, since it was too long")
        lines.append(f"  {clean(piece['origin'])}")
        lines += [f"    {clean(piece['title'])}, {', '.join(facts)}"]
    return ["", paint("Given to read:", "bold"), *lines] if lines else []


def _refused(view: Json, paint: Paint) -> list[str]:
    """Hosts that the gateway refused, why, and what would allow them (with detail=full)."""
    hosts: list[Json] = view.get("refused") or []
    lines: list[str] = []
    for host in hosts:
        often = "once" if host["count"] == 1 else f"{host['count']} times"
        lines.append(f"  {paint(clean(host['host']), 'bold')}  {often}")
        lines += [f"    {x}" for x in wrap(clean(host["reason"]), paint.width)]
        if remedy := host.get("remedy"):
            lines += [f"    {x}" for x in wrap(f"to allow it: {clean(remedy)}", paint.width)]
    return ["", paint("Refused by the network policy:", "yellow"), *lines] if lines else []


def _sent(view: Json, paint: Paint) -> list[str]:
    """How much the task sent to which host (with detail=full)."""
    hosts: list[Json] = view.get("sent") or []
    rows = [(f"{host['bytes']:,}", clean(host["host"])) for host in hosts]
    return ["", *table(rows, paint, ("sent bytes", "host"))] if rows else []


def _events(result: Json, paint: Paint) -> list[str]:
    events: list[Json] = result.get("events") or []
    now = paint.now()
    rows = [
        (clock(e["at"], now), e["event"].removeprefix("task."), clean(for_terminal(e["summary"])))
        for e in events
    ]
    return ["", *table(rows, paint, (zone(now), "event", "what"))] if rows else []


def rows(tasks: list[Json], paint: Paint) -> list[str]:
    """A line for each task."""
    return task_rows(tasks, paint)


def listing(result: Json, paint: Paint) -> list[str]:
    """list_tasks: one line for each task. A paused task shows where it is paused, and until
    when."""
    tasks: list[Json] = result["tasks"]
    damaged = warnings(result, paint)
    if not tasks:
        hint = next_command("rover create DESCRIPTION", "hand over the first one", paint)
        return ["No tasks.", *damaged, *attention(result, paint), *hint]
    lines = [*task_rows(tasks, paint), *damaged, *more_pages(result, paint)]
    first = next((t for t in tasks if t["status"] == "PAUSED"), tasks[0])
    following = next_step(first, paint) or next_command(
        f"rover inspect {first['number']}", "see what it did", paint
    )
    return [*lines, *attention(result, paint), "", *following]


def more_pages(result: Json, paint: Paint) -> list[str]:
    """How to see the tasks of the next page, if there is one."""
    cursor = result.get("next_cursor")
    return [paint(f"more: rover list --cursor {cursor}", "dim")] if cursor else []


def logs(result: Json, paint: Paint) -> list[str]:
    step = clean(result.get("step") or "no step yet")
    head = [paint(f"step {step} (what an agent or a command wrote)", "dim")]
    if result.get("truncated"):
        head.append(paint("… earlier lines are left out: --tail N shows more", "dim"))
    return [*head, clean(result["text"], one_line=False).rstrip("\n"), *attention(result, paint)]


def workflows(result: Json, paint: Paint) -> list[str]:
    lines: list[str] = []
    for w in result["workflows"]:
        lines.append(f"{paint(clean(w['name']), 'bold')}  {paint(_source(w), 'dim')}")
        if w.get("error"):
            lines.append(f"  {paint('error:', 'red')} {clean(w['error'])}")
        if w.get("description"):
            lines.append(f"  {clean(w['description'])}")
        if w.get("steps"):
            lines += [paint(x, "dim") for x in wrap(", ".join(map(clean, w["steps"])), paint.width)]
        for i in w.get("inputs") or ():
            given = clean(i.get("default") or "")
            default = f"default {given}" if given else "optional"
            default = "required" if i.get("required") else default
            about = clean(i.get("description") or "")
            lines.append(
                f"  --input {clean(i['name'])}=…  {paint(default, 'dim')}  {about}".rstrip()
            )
    following = next_command("rover create DESCRIPTION --workflow NAME", "use one", paint)
    return [*lines, *attention(result, paint), "", *following]


def _source(workflow: Json) -> str:
    shadowed = workflow.get("shadowed")
    instead = f", in place of the {clean(shadowed)} one" if shadowed else ""
    return clean(workflow["source"]) + instead


def switched(result: Json, paint: Paint) -> list[str]:
    """set_auto_resume: its new state, and what that changed."""
    whose = {"task": "this task", "project": "this project", "all": "all tasks"}[result["scope"]]
    state = paint("on", "green") if result["enabled"] else paint("off", "yellow")
    lines = [f"Automatic resume is {state} for {whose}."]
    if result.get("still_off"):
        lines.append(f"No effect yet: it is off {clean(result['still_off'])}.")
    elif result["enabled"]:
        lines.append(f"Paused tasks that resume automatically again: {result['changed']}.")
    else:
        lines.append(f"Paused tasks that wait for `rover resume` from now on: {result['changed']}.")
    return [*lines, *attention(result, paint)]


def error(message: str, hint: str | None, next_call: Json | None, paint: Paint) -> list[str]:
    """An error, what to do about it, and the command that would work."""
    lines = [f"{paint('rover:', 'red', 'bold')} {clean(for_terminal(message))}"]
    if hint:
        lines.append(f"  {clean(hint_for_terminal(hint))}")
    if next_call:
        command = command_for(next_call.get("tool"), next_call.get("arguments"))
        lines += next_command(command, "", paint)
    return lines


def restored(result: Json, paint: Paint) -> list[str]:
    """That a task is back."""
    return [f"{paint('back', 'green')}  task {result['task']}: rover inspect {result['task'][:8]}"]


def deleted(result: Json, paint: Paint) -> list[str]:
    """What a deletion removes and what stays."""
    until = result.get("until")
    goes = paint("trash", "yellow") if until else paint("lost ", "red")
    rows = [
        f"{paint('kept ', 'green') if i['kept'] else goes}  {i['what']:<9} " + clean(i["detail"])
        for i in result["items"]
    ]
    if until:
        rows.append(f"What is in the trash can be restored until {local_times(until)}.")
    if result["deleted"]:
        back = f"rover undelete {result['task'][:8]}"
        return [*rows, f"Deleted. To restore it: {back}" if until else "Deleted."]
    again = {"task": result["task"]}
    for action in result.get("next_actions") or ():
        again["branch"] = action["arguments"].get("branch")
    command = f"{command_for('delete_task', again)} --yes"
    return [*rows, "", f"Nothing is deleted yet. To delete it: {command}"]
