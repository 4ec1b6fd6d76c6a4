"""The short text of a result, for people: ends with the next step, never repeats the JSON."""

from __future__ import annotations

from rover_mcp.server import results as r
from rover_mcp.tasks.models import TaskView


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
            return f"{result.result}: {_task(result.task)}"
        case r.TaskResult():
            return _task(result.task)
        case r.TaskListResult():
            rows = [_row(t) for t in result.tasks] or ["no tasks"]
            more = ["more: call list_tasks with next_cursor"] if result.next_cursor else []
            return "\n".join([*rows, *more])
        case r.LogsResult():
            return f"log of {result.step or 'no step yet'} (untrusted):\n{result.text}"
        case r.DiffToolResult():
            c = result.changes
            head = f"{c.files} files changed, +{c.added} -{c.removed}"
            return head + (f" (untrusted):\n{result.patch}" if result.patch else "")
        case r.WorkflowsResult():
            return "\n".join(
                f"{w.name}: {w.description or w.error or ''}" for w in result.workflows
            )
        case r.StatusResult():
            engines = ", ".join(e.name for e in result.engines if e.available) or "none"
            return f"rover {result.version}; engines that work: {engines}"
        case _:
            return "done"


def _row(task: TaskView) -> str:
    until = ""
    if task.pause:
        at = task.pause.retry_at
        until = f", {task.pause.provider or 'no provider'}, " + (
            f"goes on at {at:%Y-%m-%d %H:%M}Z" if at and task.pause.auto_resume else "waits for you"
        )
    return f"{task.number}  {task.status}  {task.phase}{until}  {task.title}"


def _task(task: TaskView) -> str:
    lines = [f"Task {task.number} {task.status} ({task.phase}, {task.progress} %): {task.title}"]
    if task.pause:
        p = task.pause
        if p.auto_resume and p.retry_at:
            when = f"goes on by itself at {p.retry_at:%Y-%m-%d %H:%M:%S}Z (pause_task stops that)"
        else:
            when = "waits for resume_task"
        lines.append(f"Paused since {p.since:%H:%M:%S}Z, {p.reason}: {p.message[:300]}; {when}.")
    if task.error:
        lines.append(f"Error: {task.error[:500]}")
    lines.extend(f"Warning: {w[:300]}" for w in (task.warnings or [])[:3])
    if task.next_actions:
        action = task.next_actions[0]
        lines.append(f"Next: {action.tool}: {action.why}.")
    return "\n".join(lines)
