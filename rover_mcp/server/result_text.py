"""The text of a result. It says everything that is needed to act on it, because some clients show
their model nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rover_mcp.domain.ids import short_id
from rover_mcp.domain.text import visible, visible_patch
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.server import results as r
from rover_mcp.server.task_text import (
    calls_text,
    changes_text,
    event_text,
    row_text,
    task_text,
)
from rover_mcp.tasks.quoted_text import named, printable, quoted
from rover_mcp.tasks.race import race_lines
from rover_mcp.tasks.view_models import TaskView

RESOLUTION = (
    "The resolution, which is untrusted text; - is what each side has, + is what took the place of "
    "both:"
)


def text_of(result: r.Result) -> str:
    """What a result says."""
    lines = [_main(result)]
    for event in result.attention:
        where = f" (in {event.repo_path})" if event.repo_path else ""
        lines.append(f"Attention{where}: {event_text(event)}")
    if result.attention_more:
        lines.append(f"({result.attention_more} more: list_tasks)")
    return "\n".join(lines)


def _main(result: r.Result) -> str:
    match result:
        case r.WaitResult():
            return _waited(result)
        case r.ResumeTaskResult():
            return f"{result.result}, {result.message}. {task_text(result.task)}"
        case r.AutoResumeResult():
            return _switched(result)
        case r.InspectResult():
            events = [f"{e.at:%Y-%m-%d %H:%M:%S}Z {event_text(e)}" for e in result.events or ()]
            return "\n".join([_task(result), *events])
        case r.DeleteResult() | r.MergeResult() | r.RebaseResult() | r.PushResult():
            is_deletion = isinstance(result, r.DeleteResult)
            return _deletion(result) if is_deletion else _in_repository(result)
        case r.TaskResult():
            return _task(result)
        case r.TaskListResult() | r.HistoryResult():
            listed = _page(result) if isinstance(result, r.TaskListResult) else _history(result)
            return "\n".join(listed)
        case r.LogsResult():
            cut = ", only its end: ask for a larger tail" if result.truncated else ""
            step = printable(result.step or "no step yet", 200)
            head = f"log of {step} of task {result.task}{cut}"
            return f"{head} (untrusted):\n{visible(result.text)}"
        case r.DiffToolResult():
            return _diff(result)
        case r.WorkflowsResult():
            return "\n".join(line for w in result.workflows for line in _workflow(w))
        case r.StatusResult():
            return _status(result)
        case _:
            return "done"


def _task(result: r.TaskResult) -> str:
    """A task, and the race that it is in."""
    race = result.race
    lines = race_lines(race) if race else ()
    return "\n".join([task_text(result.task), *lines])


def _page(result: r.TaskListResult) -> Iterator[str]:
    several = len({t.repo_path for t in result.tasks}) > 1
    if result.tasks and not several:
        yield f"Tasks of {result.tasks[0].repo_path}:"
    for task in result.tasks:
        yield row_text(task, repository=several)
    if not result.tasks:
        yield "no tasks here; list_tasks with all_projects true lists those of other repositories"
    if result.next_cursor:
        following = json.dumps({"cursor": result.next_cursor})
        yield f"more: call list_tasks with next_cursor: {following}"
    for warning in result.warnings or ():
        yield f"Warning: {warning}"
    for damaged in result.damaged or ():
        yield from calls_text(damaged.next_actions)


def _diff(result: r.DiffToolResult) -> str:
    lines = changes_text(result.changes)
    if result.elsewhere is not None:
        others = "1 other file" if result.elsewhere == 1 else f"{result.elsewhere} other files"
        lines = [f"none of these paths changed; {others} did"]
    patch = visible_patch(result.patch or "")
    if result.truncated:
        lines.append("The patch is cut: call get_diff with paths for the rest.")
    if not patch:
        return "\n".join(lines)
    return "\n".join(lines) + f" (untrusted):\n{patch}"


def _history(result: r.HistoryResult) -> Iterator[str]:
    """The snapshots in lines; a single snapshot with its patch."""
    if not result.snapshots:
        yield f"Task {short_id(result.task)} has no snapshots yet."
        return
    yield f"Snapshots of task {short_id(result.task)}, the newest last:"
    if result.more:
        yield f"({result.more} earlier ones)"
    for s in result.snapshots:
        changed = "" if s.files is None else f": {s.files} files, +{s.added} -{s.removed}"
        yield f"{s.id} {utc_minute(s.at)} {s.when}, iteration {s.iteration}{changed}"
    if (diff := result.diff) is not None:
        yield from changes_text(diff.changes)
        yield f"Against the one before it (untrusted):\n{visible_patch(diff.patch)}"
        if diff.truncated:
            yield "The patch is cut."
        return
    yield "iterate_task with from_snapshot goes back to one; get_history with snapshot shows one."


def _workflow(w: r.WorkflowView) -> Iterator[str]:
    """A workflow, its inputs and its steps. What a repository wrote is quoted."""
    shown = quoted if w.source == "project" else printable
    summary = shown(w.description, 300) if w.description else ""
    yield f"{named(w.name)}{_source(w)}: {quoted(w.error) if w.error else summary}"
    if w.steps:
        yield f"  steps: {shown('; '.join(w.steps), 500)}"
    for given in w.inputs:
        need = "required" if given.required else f"default {quoted(given.default or '', 100)}"
        about = shown(given.description, 200) if given.description else ""
        yield f"  input {named(given.name, 80)} ({need}): {about}"


def _waited(result: r.WaitResult) -> str:
    """The result of a wait. It is short where nothing has happened, because a model calls again and
    again."""
    task, rest = result.task, result.waiting or []
    numbers = ", ".join(str(other.number) for other in rest)
    others = f"; also waited for: {numbers}" if numbers else ""
    if isinstance(task, TaskView):
        return f"(returned: {result.returned}{others}) {task_text(task)}"
    state = f"Task {task.number} {task.status} ({task.phase}, {task.progress} %)"
    return f"{state} (returned: timeout{others}). Next: the same call again."


def _source(workflow: r.WorkflowView) -> str:
    """Where a workflow comes from, if a repository brought it along."""
    if workflow.source != "project":
        return ""
    instead = f", in place of the {workflow.shadowed} one" if workflow.shadowed else ""
    return f" (the project's own{instead})"


def _deletion(result: r.DeleteResult) -> str:
    until = result.until
    goes = "to the trash" if until else "lost"
    lines = [
        f"{'kept' if i.kept else goes}: {i.what} ({printable(i.detail, 500)})" for i in result.items
    ]
    if until:
        lines.append(f"What is in the trash can be restored until {until}.")
    head = "Deleted." if result.deleted else "Nothing is deleted yet. It would be:"
    if result.chosen is not None:
        head = "Chosen." if result.chosen else "Nothing is chosen yet. It would be:"
    if [item.what for item in result.items] == ["task"]:
        head = "Given back."
    return "\n".join([f"Task {result.task}: {head}", *lines, *calls_text(result.next_actions)])


def _in_repository(result: r.MergeResult | r.RebaseResult | r.PushResult) -> str:
    head = f"Task {short_id(result.task)} is {result.status}."
    lines = [f"{head} {printable(result.message, 4000)}"]
    if isinstance(result, r.MergeResult) and not result.merged and result.commit_message:
        lines.append(f"Commit message (untrusted): {quoted(result.commit_message, 2000)}")
    if isinstance(result, r.PushResult) and result.server:
        lines.append(f"The server says (untrusted): {quoted(result.server, 800)}")
    if isinstance(result, r.RebaseResult) and result.resolution:
        lines += [RESOLUTION, result.resolution]
    return "\n".join([*lines, *calls_text(result.next_actions)])


def _switched(result: r.AutoResumeResult) -> str:
    whose = {"task": "this task", "project": "this project's tasks", "all": "all tasks"}
    state = "on" if result.enabled else "off"
    text = f"Automatic resume is {state} for {whose[result.scope]}."
    if result.still_off:
        return f"{text} It has no effect yet: it is off {result.still_off}."
    if result.enabled:
        return f"{text} Paused tasks that resume automatically again: {result.changed}."
    return f"{text} Paused tasks that wait for resume_task from now on: {result.changed}."


def _status(result: r.StatusResult) -> str:
    working = [e for e in result.engines if e.available]
    engines = ", ".join(f"{e.name} (no isolation)" if e.reason else e.name for e in working)
    engines = engines or "none"
    lines = [f"rover {result.version}; engines that work: {engines}"]
    others = (e for e in result.engines if not e.available)
    lines += [f"Engine {e.name}: {e.reason or 'not there'}. {e.hint or ''}" for e in others]
    lines += _agents(result)
    lines += [result.notice] if result.notice else []
    if trouble := result.cannot_start:
        lines.insert(0, f"{trouble.message}. {trouble.hint}.")
    for hold in result.holds:
        probe = f"; task {hold.probe} tries it now" if hold.probe else ""
        model = f" for {hold.model}" if hold.model else ""
        lines.append(
            f"Account {hold.account} is closed{model} ({hold.reason}) until "
            f"{utc_minute(hold.until)}: {hold.message}; waiting tasks: {hold.waiting}{probe}"
        )
    lines += [_window(window) for window in result.windows]
    q = result.queue
    lines.append(
        f"Tasks: {q.running} running of at most {q.limit}, {q.queued} queued, {q.paused} paused. "
        f"Disk: {result.disk.free_bytes // 1_000_000} MB free."
    )
    if result.auto_resume.off_for_all:
        lines.append("Automatic resume is off for all tasks.")
    if result.auto_resume.off_in_config:
        lines.append("Automatic resume is off in config.yaml.")
    lines += [f"Automatic resume is off in {p}." for p in result.auto_resume.off_in_projects]
    return "\n".join(lines)


def _window(w: r.WindowView) -> str:
    used = "" if w.used_percent is None else f" ({w.used_percent:.0f} % used)"
    opens = f"; it reopens at {utc_minute(w.opens_at)}" if w.opens_at else ""
    return f"Account {w.account}: the {w.window} is {w.state}{used}{opens}."


def _agents(result: r.StatusResult) -> list[str]:
    """Which agents can be used and how they sign in, what the others lack, and what has no
    price."""
    ready = [a for a in result.agents if a.installed and a.signed_in]
    can = [f"{a.name} ({a.credential})" if a.credential else a.name for a in ready]
    lines = [f"Agents that can be used: {', '.join(can) or 'none'}"]
    missing = [f"{a.name}: {a.hint}" for a in result.agents if a not in ready and a.hint]
    lines += [f"Not yet: {line}" for line in missing]
    if result.unpriced:
        models = ", ".join(result.unpriced)
        lines.append(f"No price is known for {models}: a budget in USD alone is refused there.")
    return lines
