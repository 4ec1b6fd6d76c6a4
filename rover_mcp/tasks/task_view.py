"""How a task is shown: one TaskView for everyone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agent_runner.models import Budget, PauseReason, RunState, StepState, StepStatus
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.pause_words import paused_for, resumption, sentence
from rover_mcp.domain.task_status import ENDED, RUNNING, TaskStatus
from rover_mcp.domain.text import visible
from rover_mcp.domain.usage_window import time_of
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.launcher.user_service import OFFER
from rover_mcp.store.damaged_records import NONSENSE
from rover_mcp.store.records import AttemptRow, EventRow, TaskRow
from rover_mcp.tasks.config_view import config_view
from rover_mcp.tasks.network import refused_views, refused_warning, sent_views
from rover_mcp.tasks.pause_view import (
    WHAT_TO_DO,
    Policy,
    budget_view,
    exhausted,
    pause_actions,
    pause_view,
    resume_action,
)
from rover_mcp.tasks.quoted_text import MESSAGE_SHOWN, QUOTED, named, printable, quoted, shortened
from rover_mcp.tasks.resolver_tasks import after_failure, resolved_rebase, show_the_result
from rover_mcp.tasks.step_outline import Outline, of_project
from rover_mcp.tasks.view_models import ContextView, EventView, NextAction, StepView, TaskView
from rover_mcp.tasks.window_text import warnings_of

VERDICT_SHOWN = 120
"""Characters of a verdict in a phase."""
ERROR_SHOWN = 200
"""Characters of a step's error in a concise view."""
WARNINGS_SHOWN = 20
WARNINGS_WHOLE = 3
WARNINGS_TOGETHER = 1000
"""How many warnings a concise view has, from how many on they are shortened, and to how many
characters together."""
NAME_SHOWN = 80
"""Characters of a step's name."""
OUTPUT_SHOWN = 20_000
"""Characters of one output in a full view."""
SUMMARY_SHOWN = 600
"""Characters of one output in a concise view."""
OUTPUTS_SHOWN = 40_000
"""Characters of all outputs together; those of the last steps come first."""


def task_view(
    task: TaskRow,
    state: RunState | None,
    attempt: AttemptRow | None,
    now: float,
    policy: Policy,
    *,
    full: bool = False,
) -> TaskView:
    """The task as everyone is shown it. `state` is the live one while the task runs, else the one
    that its last attempt left."""
    state = state or task.run_state
    # By the attempt and not by the task's status: between two attempts a task counts as running,
    # and no step does.
    going = attempt is not None and attempt.state == AttemptState.RUNNING
    steps = _steps(state, task, now, going=going, full=full) if state else []
    # Everything that comes out of a sandbox or a provider passes through `quoted`, `printable` or
    # `visible` here, and nowhere later.
    view = _row_view(task, now, _phase(task, state, attempt))
    view.progress = _progress(task, state)
    view.pause = pause_view(task, state, now, policy)
    view.error = quoted(task.error) if task.error else None
    view.verdict = quoted(state.verdict) if state and state.verdict else None
    view.usage = state.usage if state else None
    view.budget = budget_view(task, state)
    view.steps = steps or None
    view.steps_hidden = (len(state.steps) - len(steps) if state else 0) or None
    # Warnings are part of every result of a task and so of a model's context: hence the limits
    # above.
    view.warnings = _warnings(task, state, policy, full=full)
    view.next_actions = _next_actions(task, state, policy)
    if full:
        view.context = _context(task)
        view.config = config_view(task)
        view.refused = refused_views(task.refused)
        view.sent = sent_views(task.sent)
    return view


def _row_view(task: TaskRow, now: float, phase: str) -> TaskView:
    """What the task's row alone says."""
    return TaskView(
        id=task.id,
        number=task.number,
        repo_path=task.project_path,
        title=printable(task.title),
        status=task.status,
        phase=printable(phase),
        progress=0,
        # Such a task publishes none.
        branch="" if resolved_rebase(task) else task.branch,
        base_branch=task.base_branch,
        base_commit=task.stands_on,
        workflow=task.workflow,
        agent=task.agent,
        agents=task.agents,
        model=task.model,
        engine=task.engine,
        network=(task.network or {}).get("mode"),
        origin=task.links.words() if task.links else None,
        racers=len(task.links.race) or None if task.links else None,
        iteration=task.iteration,
        attempt=task.attempt,
        created_at=time_of(task.created_at),
        updated_at=time_of(task.updated_at),
        duration_s=_duration(task, now),
        next_actions=[],
    )


def event_view(event: EventRow, task: TaskRow, most: Budget | None = None) -> EventView:
    """An event for `attention`, notifications and inspect. If its record is damaged, the view says
    so."""
    try:
        return _event_view(event, task, most)
    # One damaged event must not hide all the others of a page.
    except NONSENSE:
        return EventView(
            seq=event.seq,
            at=time_of(event.at),
            task=task.id,
            number=task.number,
            event=event.kind,
            status=TaskStatus(event.status),
            summary=f"task {task.number}: {printable(event.kind, 80)} (its record is damaged)",
        )


def _event_view(event: EventRow, task: TaskRow, most: Budget | None) -> EventView:
    reason, retry_at = event.data.get("reason"), event.data.get("retry_at")
    paused = event.kind == "task.paused"
    return EventView(
        seq=event.seq,
        at=time_of(event.at),
        task=task.id,
        number=task.number,
        event=event.kind,
        status=TaskStatus(event.status),
        summary=_summary(event, task),
        reason=PauseReason(reason) if paused and reason else None,
        retry_at=datetime.fromisoformat(retry_at) if paused and retry_at else None,
        resume=resume_action(task, task.run_state, most) if paused else None,
    )


def _summary(event: EventRow, task: TaskRow) -> str:
    name, data = f"task {task.number}", event.data
    match event.kind:
        case "task.paused":
            return f"{name} is {_paused(event, task)}"
        case "task.step":
            shown = named if of_project(task) else printable
            step = shown(str(data["name"]), NAME_SHOWN)
            place = f"step {data['position']} of {data['of']}, {step}"
            if loop := data.get("loop"):
                place += f" (iteration {loop[-1]['iteration']} of {loop[-1]['step']})"
            return f"{name}: {place}: {data['step_status']}"
        case "task.failed":
            return f"{name} failed: {quoted(str(data.get('error')), ERROR_SHOWN)}"
        case "task.completed":
            verdict = data.get("verdict")
            but = f", but: {quoted(str(verdict), 200)}" if verdict else ""
            if (rebase := resolved_rebase(task)) is not None:
                return f"{name} has resolved the conflicts of task {rebase.number}{but}"
            return f"{name} is completed on branch {task.branch}{but}"
        case "task.iterating":
            asked_for = quoted(str(data.get("instructions")), 200)
            return f"{name} has new instructions, iteration {data.get('iteration')}: {asked_for}"
        case "task.restarted":
            return f"{name} starts over"
        case "task.resumed" | "task.resumed_iteration":
            how = "automatically" if data.get("automatic") else "on request"
            return f"{name} resumes {how}"
        case "task.resume_failed":
            needed = "" if data.get("retry_at") else "; resume_task is needed"
            error = quoted(str(data.get("error")), ERROR_SHOWN)
            return f"{name} could not be resumed: {error}{needed}"
        case "task.agent_changed":
            return f"{name} continues with {data['to']} in place of {data['from']}"
        case _:
            text = data.get("message")
            detail = f": {quoted(str(text))}" if text else ""
            return f"{name}: {event.kind.removeprefix('task.').replace('_', ' ')}{detail}"


def _paused(event: EventRow, task: TaskRow) -> str:
    """Why, in which step, since when, until when, and what can be done."""
    data, reason = event.data, PauseReason(event.data["reason"])
    why = quoted(data["message"], ERROR_SHOWN)
    since = utc_minute(event.at)
    text = f"{paused_for(reason, data.get('step'))} since {since}: {why}. "
    if data.get("windows"):
        text += f"{sentence(printable(str(data['windows']), 200))} "
    if data.get("exhausted"):
        # Of all that words a pause only the event does, so it is reported once.
        text += f"It {exhausted(int(data['auto_retries']))}. "
    elif task.status is TaskStatus.PAUSED and task.retry_at is not None:
        at = utc_minute(task.retry_at)
        text += f"{sentence(resumption(automatic=True, at=at, because=None))} "
    offer = f"; {OFFER}" if data.get("offers_service") else ""
    return f"{text}What you can do: {WHAT_TO_DO[reason]}{offer}"


def _phase(task: TaskRow, state: RunState | None, attempt: AttemptRow | None) -> str:
    if task.status is TaskStatus.PAUSED:
        return f"paused: {task.pause.reason}" if task.pause else "paused"
    outline = Outline(state.steps, theirs=of_project(task)) if state else None
    if task.status is TaskStatus.FAILED and outline is not None:
        where = outline.where(StepStatus.FAILED)
        return f"failed in {where}" if where else "failed"
    if task.status in ENDED:
        done = task.status.lower()
        verdict = state.verdict if state and task.status is TaskStatus.COMPLETED else None
        return f"{done}, but: {quoted(verdict, VERDICT_SHOWN)}" if verdict else done
    if attempt is None or attempt.state in (AttemptState.QUEUED, AttemptState.SCHEDULED):
        return "queued"
    if attempt.state == AttemptState.STARTING:
        return "preparing"
    if outline is None or not outline.steps:
        return "starting"
    return outline.where() or ("between steps" if state and state.progress < 100 else "finishing")


def _progress(task: TaskRow, state: RunState | None) -> int:
    if task.status in (TaskStatus.COMPLETED, TaskStatus.MERGED, TaskStatus.PUSHED):
        return 100
    # 99 at most: a run that has ended its steps is not completed before its work is delivered.
    return min(99, max(0, state.progress)) if state else 0


def _duration(task: TaskRow, now: float) -> float:
    if task.started_at is None:
        return 0.0
    # A task that waits for two days for its account has not worked for two days.
    stood_still = task.paused_at if task.status is TaskStatus.PAUSED else task.ended_at
    end = now if task.status in RUNNING else (stood_still or now)
    return round(max(0.0, end - task.started_at), 1)


def _steps(
    state: RunState, task: TaskRow, now: float, *, going: bool, full: bool
) -> list[StepView]:
    outline = Outline(state.steps)
    shown = state.steps if full else outline.concise()
    ids = {s.id for s in shown}
    left = OUTPUTS_SHOWN
    # What was interrupted by a pause did not last until the task was cancelled.
    paused = task.paused_at or (state.pause.since.timestamp() if state.pause else None)
    until = now if going else paused or task.ended_at
    views: list[StepView] = []
    # From the last step on, because its outputs are the ones that are read when there is no room
    # for all.
    for step in reversed(shown):
        view = _step(step, until, going=going, full=full)
        # A step that an `if` skipped has a record of its own, but the steps inside it have none.
        if step.status is StepStatus.PENDING and outline.is_skipped(step):
            view.status = StepStatus.SKIPPED
        if full:
            view.outputs = _outputs(step, left)
            left -= sum(len(v) for v in (view.outputs or {}).values())
        if not any(s.id in ids for s in outline.inside(step)):
            view.inside = _count_inside(outline, step) or None
        views.append(view)
    if not full and task.status not in (TaskStatus.NEW, *RUNNING):
        _summarise(views, state.steps)
    return views[::-1]


def _summarise(views: Sequence[StepView], steps: Sequence[StepState]) -> None:
    """Show an agent's own summary of the task at its step, or at the step around it that is
    shown."""
    summarised = next((step for step in reversed(steps) if step.summary_name), None)
    shown, parents = {v.id: v for v in views}, {s.id: s.parent for s in steps}
    place = summarised.id if summarised else None
    # The step may be inside a loop that a concise view does not open.
    while place is not None and place not in shown:
        place = parents[place]
    if summarised is not None and summarised.summary_name and place is not None:
        name = summarised.summary_name
        text = summarised.outputs[name].strip()
        cut = " [...]" if len(text) > SUMMARY_SHOWN else ""
        shown[place].outputs = {name: visible(text[:SUMMARY_SHOWN]) + cut}


def _count_inside(outline: Outline, step: StepState) -> int:
    return sum(1 + _count_inside(outline, inner) for inner in outline.inside(step))


def _step(step: StepState, until: float | None, *, going: bool, full: bool) -> StepView:
    """One step. `until` is when a step without an end stopped; if the task is `going`, it is
    now."""
    status, end = step.status, step.ended_at.timestamp() if step.ended_at else None
    if status is StepStatus.RUNNING:
        status, end = status if going else StepStatus.INTERRUPTED, until
    duration = None
    if step.started_at is not None and end is not None:
        duration = round(max(0.0, end - step.started_at.timestamp()), 1)
    error = quoted(step.error, ERROR_SHOWN if not full else QUOTED) if step.error else None
    return StepView(
        id=step.id,
        name=step.name,
        type=step.type,
        status=status,
        parent=step.parent,
        iteration=step.iteration or None,
        limit=step.limit,
        tolerated=step.tolerated or None,
        duration_s=duration,
        error=error,
    )


def _outputs(step: StepState, most: int) -> dict[str, str] | None:
    shown: dict[str, str] = {}
    for name, value in step.outputs.items():
        if most <= 0:
            break
        room = min(OUTPUT_SHOWN, most, len(value))
        more = len(value) - room
        shown[name] = visible(value[:room]) + (f" [{more} more characters]" if more > 0 else "")
        most -= room
    return shown or None


def _context(task: TaskRow) -> list[ContextView] | None:
    entries = task.config.context if task.config else ()
    return [
        ContextView(
            origin=printable(entry.origin, 500), title=quoted(entry.title, 200),
            bytes=entry.bytes, sha256=entry.sha256, fetched_at=entry.fetched_at,
            left_out=entry.left_out, cut=entry.cut,
        )
        for entry in entries
    ] or None  # fmt: skip


def _warnings(
    task: TaskRow, state: RunState | None, policy: Policy, *, full: bool
) -> list[str] | None:
    # What a run warns of comes out of its sandbox.
    warnings = [printable(w) for w in task.warnings]
    warnings += [quoted(w, MESSAGE_SHOWN) for w in (state.warnings if state else ())]
    if task.status in RUNNING:
        warnings += [
            printable(w) for w in warnings_of(task.account, policy.windows, policy.account_name)
        ]
    warnings += refused_warning(task.refused, full=full)
    if full or len(warnings) <= WARNINGS_WHOLE:
        return warnings or None
    # Each at least in its beginning, as far as a result has room for them.
    cut = max(WARNINGS_TOGETHER // min(len(warnings), WARNINGS_SHOWN), 1)
    if len(warnings) <= WARNINGS_SHOWN:
        return [shortened(w, cut) for w in warnings]
    last = [shortened(w, cut) for w in warnings[-WARNINGS_SHOWN + 1 :]]
    return [f"{len(warnings) - len(last)} earlier ones: detail=full", *last]


def _next_actions(task: TaskRow, state: RunState | None, policy: Policy) -> list[NextAction]:
    arguments = {"task": task.id}
    wait = NextAction(tool="wait_for_task", arguments=arguments, why="learn when it pauses or ends")
    diff = NextAction(tool="get_diff", arguments=arguments, why="review what it changed")
    rebase = resolved_rebase(task)
    if rebase is not None and task.status is TaskStatus.COMPLETED:
        return [show_the_result(rebase)]
    match task.status:
        case TaskStatus.PAUSED:
            return [*pause_actions(task, state, policy), diff]
        case TaskStatus.FAILED:
            logs = NextAction(tool="get_logs", arguments=arguments, why="see what failed")
            resume = resume_action(task, state, policy.most)
            if rebase is not None:
                return [logs, *after_failure(task, rebase, resume)]
            again = NextAction(
                tool="restart_task", arguments=arguments, why="start over from the beginning"
            )
            return [logs, resume, again]
        case TaskStatus.CANCELLED:
            return [diff, resume_action(task, state, policy.most)]
        case TaskStatus.COMPLETED | TaskStatus.PUSHED:
            merge = NextAction(
                tool="merge_task", arguments=arguments, why="see what a merge would do"
            )
            return [diff, merge]
        case TaskStatus.MERGED:
            return [diff]
        case _:
            return [wait]
