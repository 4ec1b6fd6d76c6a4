"""How a task is shown: one TaskView for everyone. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from agent_runner.models import PauseReason, RunState, StepState, StepStatus
from rover_mcp.store.rows import AttemptRow, EventRow, TaskRow
from rover_mcp.tasks.logs import plain
from rover_mcp.tasks.models import EventView, NextAction, PauseView, StepView, TaskStatus, TaskView
from rover_mcp.tasks.transitions import ENDED, RUNNING

MESSAGE_SHOWN = 1000
"""Characters of a message in a view; the logs hold all of it."""

WHAT_TO_DO = {
    PauseReason.CREDITS: "add credits to the account, then resume",
    PauseReason.USAGE_WINDOW: "it goes on when the window opens again, or resume it yourself",
    PauseReason.RATE_LIMIT: "it goes on when the provider allows it",
    PauseReason.TRANSIENT: "it tries again by itself; resume to try now",
    PauseReason.AUTH: "correct the credential that the message names, then resume",
    PauseReason.BUDGET: "raise the budget, then resume",
    PauseReason.REQUESTED: "resume when you want it to go on",
    PauseReason.INTERRUPTED: "it goes on from its checkpoint",
}


def task_view(
    task: TaskRow,
    state: RunState | None,
    attempt: AttemptRow | None,
    now: float,
    *,
    auto_resume: bool,
    full: bool = False,
) -> TaskView:
    """`state` is the live one where the task runs, else the one that its last attempt left."""
    state = state or task.run_state
    going = attempt is not None and attempt.state == "running"
    steps = [_step(s, task, now, going=going, full=full) for s in state.steps] if state else []
    return TaskView(
        id=task.id,
        number=task.number,
        project=task.project_path,
        title=task.title,
        status=task.status,
        phase=_phase(task, state, attempt),
        progress=_progress(task, state),
        branch=task.branch,
        base_branch=task.base_branch,
        base_commit=task.base_commit,
        workflow=task.workflow,
        agent=task.agent,
        model=task.model,
        engine=task.engine,
        iteration=task.iteration,
        attempt=task.attempt,
        created_at=_time(task.created_at),
        updated_at=_time(task.updated_at),
        duration_s=_duration(task, now),
        pause=_pause(task, auto_resume=auto_resume),
        error=_printable(task.error) if task.error else None,
        usage=state.usage if state else None,
        steps=steps or None,
        warnings=[_printable(w) for w in (*task.warnings, *(state.warnings if state else ()))]
        or None,
        next_actions=_next_actions(task),
    )


def event_view(event: EventRow, task: TaskRow) -> EventView:
    """An event for `attention`, notifications and inspect."""
    reason, retry_at = event.data.get("reason"), event.data.get("retry_at")
    paused = event.kind == "task.paused"
    return EventView(
        seq=event.seq,
        at=_time(event.at),
        task_id=task.id,
        number=task.number,
        event=event.kind,
        status=TaskStatus(event.status),
        summary=_summary(event, task),
        reason=PauseReason(reason) if paused and reason else None,
        retry_at=datetime.fromisoformat(retry_at) if paused and retry_at else None,
        resume=_resume(task) if paused else None,
    )


def _summary(event: EventRow, task: TaskRow) -> str:
    name, data = f"task {task.number}", event.data
    match event.kind:
        case "task.paused":
            reason = PauseReason(data["reason"])
            why = _printable(data["message"])[:200].rstrip(".")
            return f"{name} is paused ({reason}): {why}. {WHAT_TO_DO[reason]}"
        case "task.step":
            return f"{name}: step {data['position']} of {data['of']}, {data['name']}: " + str(
                data["step_status"]
            )
        case "task.failed":
            return f"{name} failed: {_printable(str(data.get('error')))[:200]}"
        case "task.completed":
            return f"{name} is completed on branch {task.branch}"
        case "task.resumed" | "task.resumed_iteration":
            how = "by itself" if data.get("automatic") else "on request"
            return f"{name} goes on {how}"
        case "task.resume_failed":
            return f"{name} could not be resumed: {_printable(str(data.get('error')))[:200]}"
        case _:
            text = data.get("message")
            told = f": {_printable(str(text))}" if text else ""
            return f"{name}: {event.kind.removeprefix('task.')}{told}"


def _phase(task: TaskRow, state: RunState | None, attempt: AttemptRow | None) -> str:
    if task.status is TaskStatus.PAUSED:
        return f"paused: {task.pause.reason}" if task.pause else "paused"
    if task.status in ENDED:
        return task.status.lower()
    if attempt is None or attempt.state in ("queued", "scheduled"):
        return "queued"
    if attempt.state == "starting":
        return "preparing"
    step = state.current_step if state else None
    if state is None or not state.steps:
        return "starting"
    if step is None:
        return "between steps" if state.progress < 100 else "finishing"
    return f"step {state.steps.index(step) + 1} of {len(state.steps)}: {step.name}"


def _progress(task: TaskRow, state: RunState | None) -> int:
    if task.status in (TaskStatus.COMPLETED, TaskStatus.MERGED, TaskStatus.PUSHED):
        return 100
    return min(99, max(0, state.progress)) if state else 0


def _duration(task: TaskRow, now: float) -> float:
    if task.started_at is None:
        return 0.0
    stood_still = task.paused_at if task.status is TaskStatus.PAUSED else task.ended_at
    end = now if task.status in RUNNING else (stood_still or now)
    return round(max(0.0, end - task.started_at), 1)


def _pause(task: TaskRow, *, auto_resume: bool) -> PauseView | None:
    if task.pause is None:
        return None
    p = task.pause
    return PauseView(
        reason=p.reason,
        message=_printable(p.message),
        since=_time(task.paused_at or p.since.timestamp()),
        step=p.step,
        provider=p.provider,
        account=p.account,
        retry_at=_time(task.retry_at) if task.retry_at else p.retry_at,
        auto_resume=task.retry_at is not None and task.auto_resume and auto_resume,
    )


def _step(step: StepState, task: TaskRow, now: float, *, going: bool, full: bool) -> StepView:
    status, end = step.status, step.ended_at.timestamp() if step.ended_at else None
    if status is StepStatus.RUNNING:
        end = now
        if not going:
            status, end = StepStatus.INTERRUPTED, task.paused_at or task.ended_at
    duration = None
    if step.started_at is not None and end is not None:
        duration = round(max(0.0, end - step.started_at.timestamp()), 1)
    shown = {k: v[:2000] for k, v in step.outputs.items()} if full and step.outputs else None
    return StepView(
        id=step.id,
        name=step.name,
        type=step.type,
        status=status,
        duration_s=duration,
        error=_printable(step.error) if step.error else None,
        outputs=shown,
    )


def _resume(task: TaskRow) -> NextAction:
    todo = WHAT_TO_DO[task.pause.reason] if task.pause else "go on from the checkpoint"
    return NextAction(tool="resume_task", arguments={"task": task.id}, why=todo)


def _next_actions(task: TaskRow) -> list[NextAction]:
    arguments = {"task": task.id}
    wait = NextAction(tool="wait_for_task", arguments=arguments, why="hear when it pauses or ends")
    diff = NextAction(tool="get_diff", arguments=arguments, why="review what it changed")
    match task.status:
        case TaskStatus.PAUSED:
            return [_resume(task), diff]
        case TaskStatus.FAILED:
            logs = NextAction(tool="get_logs", arguments=arguments, why="see what failed")
            return [logs, _resume(task)]
        case TaskStatus.COMPLETED | TaskStatus.MERGED | TaskStatus.PUSHED:
            return [diff]
        case TaskStatus.CANCELLED:
            return []
        case _:
            return [wait]


def _printable(text: str) -> str:
    """What a provider, an agent or a tool said, as one line that no terminal obeys."""
    return " ".join(plain(text).split())[:MESSAGE_SHOWN]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)
