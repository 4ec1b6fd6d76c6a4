"""A task as text. Some clients show their model nothing else, so it has everything that is needed
to act: what and where the task is, why it is paused, and each call that can be made next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rover_mcp.domain.durations import about
from rover_mcp.domain.ids import short_id
from rover_mcp.domain.obstacles import obstacle_in_short
from rover_mcp.domain.pause_words import (
    closed_account,
    next_resume,
    resumption,
    resumption_in_short,
    sentence,
)
from rover_mcp.domain.text import visible_line
from rover_mcp.domain.utc_time import utc_minute
from rover_mcp.tasks.handoff_files import hand_off_warning
from rover_mcp.tasks.quoted_text import named, printable, quoted, shortened
from rover_mcp.tasks.view_models import (
    ChangesView,
    ContextView,
    EventView,
    ListedTask,
    NextAction,
    PauseView,
    StepView,
    TaskView,
)

ACTIONS_SHOWN = 4
TITLE_SHOWN = 200
STEPS_SHOWN = 30
FILES_SHOWN = 20
WARNINGS_SHOWN = 300
"""Characters of a warning."""


def task_text(task: TaskView, *, repository: bool = True) -> str:
    """Everything that matters about a task; with `repository`, also where it is."""
    state = f"{task.status} ({task.phase}, {task.progress} %)"
    lines = [f"Task {task.number} {state}: {quoted(task.title, TITLE_SHOWN)}"]
    where = f", of {task.repo_path}" if repository else ""
    base = f" from {task.base_branch}" if task.base_branch else ""
    origin = f" {task.origin.capitalize()}." if task.origin else ""
    runs = f"{_runs(task)}.{origin}"
    branch = f"Branch {task.branch}" if task.branch else "No branch; it starts"
    lines.append(f"Id {short_id(task.id)}{where}. {branch}{base}. {runs}")
    if task.behind:
        since = ", ".join(f"{named(ref, 80)} {count}" for ref, count in task.behind.items())
        lines.append(
            f"Commits of its base since (nothing was fetched): {since}; its own: {task.ahead or 0}."
        )
    if task.verdict:
        lines.append(f"But: {quoted(task.verdict)}.")
    if task.steps:
        hidden = f"; {task.steps_hidden} more: detail=full" if task.steps_hidden else ""
        lines.append(f"Steps: {'; '.join(map(_step, task.steps[:STEPS_SHOWN]))}{hidden}")
    if spent := _spent(task):
        lines.append(spent)
    if task.pause:
        lines += _pause(task.pause)
    if task.changes:
        lines += changes_text(task.changes)
    if task.error:
        lines.append(f"Error: {quoted(task.error)}")
    lines += [f"Warning: {shortened(w, WARNINGS_SHOWN)}" for w in task.warnings or ()]
    lines += details(task)
    return "\n".join([*lines, *calls_text(task.next_actions)])


def details(task: TaskView) -> Iterator[str]:
    """What only detail=full shows."""
    for piece in task.context or ():
        yield f"Context {piece.origin}: {quoted(piece.title, 200)}, {_piece_facts(piece)}"
    for name, value in (task.config or {}).items():
        yield f"Setting {name}: {printable(value, 200)}"
    for host in task.refused or ():
        remedy = f"; to allow it: {host.remedy}" if host.remedy else ""
        yield f"Refused {named(host.host)} ({host.count}): {host.reason}{remedy}"
    for sent in task.sent or ():
        yield f"Sent to {named(sent.host)}: {sent.bytes} bytes"
    for step in task.steps or ():
        for name, value in (step.outputs or {}).items():
            yield f"Output {name} of {step.id} (untrusted): {quoted(value, 2000)}"


def _piece_facts(piece: ContextView) -> str:
    facts = [f"{piece.bytes:,} bytes", f"fetched {utc_minute(piece.fetched_at)}"]
    if piece.left_out:
        facts.append(f"{piece.left_out} comments by people without a role left out")
    if piece.cut:
        facts.append("cut, since it was too long")
    return ", ".join(facts)


def calls_text(actions: Sequence[NextAction]) -> list[str]:
    """The calls that can be made next, each with its arguments. The first thing to do comes
    last."""
    first, *others = [f"{call_text(a)}: {a.why}." for a in actions[:ACTIONS_SHOWN]] or [""]
    return [*(f"Possible: {call}" for call in others), *([f"Next: {first}"] if first else [])]


def call_text(action: NextAction) -> str:
    """`resume_task {"task": "1a2b3c4d"}`"""
    named = action.arguments.get("task")
    short = {"task": short_id(named)} if isinstance(named, str) else {}
    return f"{action.tool} {json.dumps({**action.arguments, **short}, ensure_ascii=False)}"


def event_text(event: EventView) -> str:
    """An event. It also names the task by its id, for a reader in another repository."""
    call = f" Next: {call_text(event.resume)}" if event.resume else ""
    what = f"{event.event} {event.seq}"
    return f"{event.summary} [{short_id(event.task)}, {what}, {event.status}]{call}"


def changes_text(changes: ChangesView) -> list[str]:
    """Which files changed, and by how much. Files that a program of the user's may run come
    first."""
    count = "1 file" if changes.files == 1 else f"{changes.files} files"
    head = f"{count} changed, +{changes.added} -{changes.removed}"
    shown = changes.paths[:FILES_SHOWN]
    names = (
        f"{named(visible_line(f.path))} {'binary' if f.binary else f'+{f.added} -{f.removed}'}"
        for f in shown
    )
    more = changes.files - len(shown)
    others = f"; {more} more: get_diff with offset {len(shown)}" if shown and more > 0 else ""
    return [*hand_off_warning(changes), f"{head}{': ' if shown else ''}{'; '.join(names)}{others}"]


def row_text(task: ListedTask, *, repository: bool) -> str:
    """One task of a list, in a line."""
    until = ""
    if task.pause:
        p = task.pause
        until = f", {p.account or p.provider or 'no provider'}, {_until(p)}"
    where = f"  {task.repo_path}" if repository else ""
    error = f"  {task.error}" if task.error else ""
    call = f"  Next: {call_text(task.next_actions[0])}" if task.next_actions else ""
    head = f"{task.number}  {task.status}  {task.phase}{until}  {quoted(task.title, TITLE_SHOWN)}"
    cost = f", ${task.cost_usd:.2f}" if task.cost_usd is not None else ""
    origin = f", {task.origin}" if task.origin else ""
    branch = task.branch or "no branch"
    about = f"{short_id(task.id)}{where}, {branch}, {task.progress} %, {task.agent}{cost}{origin}"
    return f"{head}  [{about}]{error}{call}"


def _runs(task: TaskView) -> str:
    model = f" with {task.model}" if task.model else ""
    others = f", then {', '.join(task.agents)}" if task.agents else ""
    place = f" in {task.engine}" if task.engine else ""
    network = f", network {task.network}" if task.network else ""
    again = f", iteration {task.iteration}" if task.iteration > 1 else ""
    time = f", {about(task.duration_s)}" if task.duration_s else ""
    return f"{task.workflow} by {task.agent}{model}{others}{place}{network}{again}{time}"


def _step(step: StepView) -> str:
    turn = f" (iteration {step.iteration} of {step.limit})" if step.limit and step.iteration else ""
    inside = f" ({step.inside} inside)" if step.inside else ""
    error = f" {quoted(step.error, 200)}" if step.error else ""
    return f"{printable(step.id, 80)} {step.status}{turn}{inside}{error}"


def _spent(task: TaskView) -> str:
    usage, budget = task.usage, task.budget
    parts: list[str] = []
    if usage and any((usage.input_tokens, usage.output_tokens)):
        cost = f", ${usage.cost_usd:.2f}" if usage.cost_usd is not None else ""
        parts.append(f"Used {usage.input_tokens} tokens in, {usage.output_tokens} out{cost}")
    if budget and budget.usd is not None:
        parts.append(f"budget ${budget.spent_usd or 0:.2f} of ${budget.usd:.2f}")
    if budget and budget.tokens is not None:
        parts.append(f"budget {budget.spent_tokens} of {budget.tokens} tokens")
    return f"{'; '.join(parts)}." if parts else ""


def _pause(p: PauseView) -> list[str]:
    """Why a task is paused, where, since when, until when, and how to stop that."""
    place = p.where or (f"step {p.step}" if p.step else "")
    where = f" in {place}" if place else ""
    account = closed_account(p.account or p.provider, None, p.model)
    account = f" ({account})" if account else ""
    message = quoted(p.message, 300)
    lines = [f"Paused since {utc_minute(p.since)}{where}: {p.reason}{account}: {message}."]
    if p.windows:
        lines.append(sentence(p.windows))
    at = f"{p.retry_at:%Y-%m-%d %H:%M:%S}Z" if p.retry_at else None
    because, switch = p.waits_because, _how_to_stop_it(p)
    after = resumption(automatic=p.auto_resume, at=at, because=because, waits_for="resume_task")
    lines.append(sentence(f"{after}{switch}"))
    if p.auto_resume and p.retry_at and p.log_in:
        lines.append(sentence(p.log_in))
    return lines


def _how_to_stop_it(p: PauseView) -> str:
    if not p.auto_resume:
        return ""
    if not p.retry_at:
        return " (set_auto_resume switches that off)"
    count = next_resume(p.reason, p.retries, p.max_retries)
    switch = "set_auto_resume switches that off: for this task, its project, or all"
    return f", in {about(p.retry_in_s or 0)} ({count}; {switch})"


def _until(pause: PauseView) -> str:
    at = utc_minute(pause.retry_at) if pause.retry_at else None
    return resumption_in_short(
        automatic=pause.auto_resume, at=at, obstacle=obstacle_in_short(pause.message)
    )
