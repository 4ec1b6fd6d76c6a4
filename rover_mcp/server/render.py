"""The short text of a result, for people: ends with the next step, never repeats the JSON."""

from __future__ import annotations

import json

from rover_mcp.server import results as r
from rover_mcp.tasks.handoff import handed_over
from rover_mcp.tasks.models import ListedTask, PauseView, TaskView
from rover_mcp.tasks.pauses import CLOSED
from rover_mcp.tasks.visible import visible_patch


def text_of(result: r.Result) -> str:
    """A few lines about a result."""
    lines = [_main(result)]
    for event in result.attention:
        lines.append(f"Attention: {event.summary}")
    if result.attention_more:
        lines.append(f"({result.attention_more} more: list_tasks)")
    return "\n".join(lines)


def _main(result: r.Result) -> str:
    match result:
        case r.WaitResult():
            return f"{_task(result.task)} (returned: {result.returned})"
        case r.ResumeTaskResult():
            return f"{result.result}, {result.message}. {_task(result.task)}"
        case r.AutoResumeResult():
            return _switched(result)
        case r.TaskResult():
            return _task(result.task)
        case r.TaskListResult():
            rows = [_row(t) for t in result.tasks] or ["no tasks"]
            more = ["more: call list_tasks with next_cursor"] if result.next_cursor else []
            damaged = [f"Warning: {w}" for w in result.warnings or ()]
            return "\n".join([*rows, *more, *damaged])
        case r.LogsResult():
            return f"log of {result.step or 'no step yet'} (untrusted):\n{result.text}"
        case r.DiffToolResult():
            c = result.changes
            files = "1 file" if c.files == 1 else f"{c.files} files"
            head = f"{files} changed, +{c.added} -{c.removed}"
            if result.elsewhere is not None:
                head = f"none of these paths changed; {result.elsewhere} other files did"
            head = "\n".join([*handed_over(c), head])
            patch = visible_patch(result.patch or "")
            return head + (f" (untrusted):\n{patch}" if patch else "")
        case r.WorkflowsResult():
            return "\n".join(
                f"{w.name}{_source(w)}: {w.description or w.error or ''}" for w in result.workflows
            )
        case r.DeleteResult():
            return _deletion(result)
        case r.StatusResult():
            return _status(result)
        case _:
            return "done"


def _source(workflow: r.WorkflowView) -> str:
    """Told of those that a repository brought along."""
    if workflow.source != "project":
        return ""
    instead = f", in place of the {workflow.shadowed} one" if workflow.shadowed else ""
    return f" (the project's own{instead})"


def _deletion(result: r.DeleteResult) -> str:
    lines = [f"{'kept' if i.kept else 'lost'}: {i.what} ({i.detail})" for i in result.items]
    head = "Deleted." if result.deleted else "Nothing is deleted yet. It would be:"
    hint = [] if result.deleted else ["To delete it, call delete_task with confirm true."]
    return "\n".join([head, *lines, *hint])


def _switched(result: r.AutoResumeResult) -> str:
    whose = {"task": "this task", "project": "this project's tasks", "all": "all tasks"}
    state = "on" if result.enabled else "off"
    text = f"Automatic resume is {state} for {whose[result.scope]}."
    if result.still_off:
        return f"{text} It has no effect yet: it is off {result.still_off}."
    if result.enabled:
        return f"{text} Paused tasks that go on by themselves again: {result.changed}."
    return f"{text} Paused tasks that wait for resume_task from now on: {result.changed}."


def _status(result: r.StatusResult) -> str:
    working = [e for e in result.engines if e.available]
    engines = ", ".join(f"{e.name} (no isolation)" if e.reason else e.name for e in working)
    engines = engines or "none"
    lines = [f"rover {result.version}; engines that work: {engines}", *_agents(result)]
    if trouble := result.cannot_start:
        lines.insert(0, f"{trouble.message}. {trouble.hint}.")
    for hold in result.holds:
        probe = f"; task {hold.probe} tries it now" if hold.probe else ""
        model = f" for {hold.model}" if hold.model else ""
        lines.append(
            f"Account {hold.account} is closed{model} ({hold.reason}) until "
            f"{hold.until:%Y-%m-%d %H:%M}Z: {hold.message}; waiting tasks: {hold.waiting}{probe}"
        )
    if result.auto_resume.off_for_all:
        lines.append("Automatic resume is off for all tasks.")
    if result.auto_resume.off_in_config:
        lines.append("Automatic resume is off in config.yaml.")
    lines += [f"Automatic resume is off in {p}." for p in result.auto_resume.off_in_projects]
    return "\n".join(lines)


def _agents(result: r.StatusResult) -> list[str]:
    """Which can be used and how they sign in; what the others miss; what has no price."""
    ready = [a for a in result.agents if a.installed and a.signed_in]
    can = [f"{a.name} ({a.credential})" if a.credential else a.name for a in ready]
    lines = [f"Agents that can be used: {', '.join(can) or 'none'}"]
    missing = [f"{a.name}: {a.hint}" for a in result.agents if a not in ready and a.hint]
    lines += [f"Not yet: {told}" for told in missing]
    if result.unpriced:
        models = ", ".join(result.unpriced)
        lines.append(f"No price is known for {models}: a task with a budget in USD pauses there.")
    return lines


def _row(task: ListedTask) -> str:
    until = ""
    if task.pause:
        p = task.pause
        until = f", {p.account or p.provider or 'no provider'}, {_until(p)}"
    return f"{task.number}  {task.status}  {task.phase}{until}  {task.title}"


def _until(pause: PauseView) -> str:
    if pause.auto_resume and pause.retry_at:
        return f"goes on at {pause.retry_at:%Y-%m-%d %H:%M}Z"
    if pause.auto_resume:
        return "waits for a credential"
    return "waits for you"


def _task(task: TaskView) -> str:
    lines = [f"Task {task.number} {task.status} ({task.phase}, {task.progress} %): {task.title}"]
    if task.pause:
        lines += _pause(task, task.pause)
    lines += handed_over(task.changes) if task.changes else []
    if task.error:
        lines.append(f"Error: {task.error[:500]}")
    lines.extend(f"Warning: {w}" for w in task.warnings or ())
    if task.next_actions:
        action = task.next_actions[0]
        told = f" {json.dumps(action.arguments)}" if len(action.arguments) > 1 else ""
        lines.append(f"Next: {action.tool}{told}: {action.why}.")
    return "\n".join(lines)


def _pause(task: TaskView, p: PauseView) -> list[str]:
    """Why, where, since when, until when, and how to stop that (D10, K7)."""
    place = p.where or (f"step {p.step}" if p.step else "")
    where = f" in {place}" if place else ""
    model = f", {p.model} only" if p.model else ""
    account = f" (account {p.account}{model})" if p.account else ""
    message = p.message[:300].rstrip(".")
    lines = [f"Paused since {p.since:%Y-%m-%d %H:%M}Z{where}: {p.reason}{account}: {message}."]
    if p.auto_resume and p.retry_at:
        lines.append(
            f"It goes on by itself at {p.retry_at:%Y-%m-%d %H:%M:%S}Z, in {_seconds(p.retry_in_s)} "
            f"({_resume(p)}; set_auto_resume switches that "
            "off: for this task, its project, or all)."
        )
    elif p.auto_resume:
        lines.append(f"It waits: {p.waits_because} (set_auto_resume switches that off).")
    else:
        lines.append(f"It waits for resume_task: {p.waits_because}.")
    return lines


def _resume(p: PauseView) -> str:
    """The number of the automatic resume that comes next, and of how many."""
    count = f"automatic resume {p.retries + 1}"
    return count if p.reason in CLOSED else f"{count} of {p.max_retries}"


def _seconds(seconds: int | None) -> str:
    minutes, rest = divmod(seconds or 0, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"
