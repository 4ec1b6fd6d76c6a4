"""Which tasks need a person, and what the person can do: the rows of the board. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final, Literal

from rover_mcp.domain.task_status import ENDED, RUNNING, Event, TaskStatus, sources
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.view_models import NextAction, PauseView, TaskView

TEXT_SHOWN: Final = 300
_ITERATED: Final = sources(Event.ITERATE)


class InboxGroup(StrEnum):
    """The groups, in the order in which they are shown."""

    NEEDS_YOU = "needs you"
    FAILED = "failed"
    FINISHED = "finished"
    WORKING = "working"
    WAITING = "waiting"
    IDLE = "idle"


@dataclass(frozen=True)
class InboxAction:
    """What can be done with a task: a call of a tool. `asks` is what a person gives or sees first:
    a text, which becomes `instructions`, or what the call would do."""

    label: str
    tool: str
    arguments: dict[str, Any]
    asks: Literal["text", "preview"] | None = None


@dataclass(frozen=True)
class InboxRow:
    """One task on the board. `says` is why it is in its group, `at` since when, `until` when it
    resumes; both in ISO form. Rows of a group are in the order of `order`, the lowest first."""

    id: str
    number: int
    project: str
    repo_path: str
    title: str
    group: InboxGroup
    order: float
    status: str
    says: str
    at: str
    until: str | None
    progress: int
    agent: str
    branch: str
    cost_usd: float | None
    ended_at: float | None
    actions: tuple[InboxAction, ...]


def inbox_group(status: TaskStatus, pause: PauseView | None, *, seen: bool) -> InboxGroup:
    """The group of a task. A pause that ends at a known time needs no person. `seen`: a person has
    seen this end of the task."""
    match status:
        case TaskStatus.PAUSED:
            waits = pause is not None and pause.auto_resume and pause.retry_at is not None
            return InboxGroup.WAITING if waits else InboxGroup.NEEDS_YOU
        case TaskStatus.NEW:
            return InboxGroup.WAITING
        case TaskStatus.FAILED if not seen:
            return InboxGroup.FAILED
        case TaskStatus.COMPLETED if not seen:
            return InboxGroup.FINISHED
        case _:
            return InboxGroup.WORKING if status in RUNNING else InboxGroup.IDLE


def inbox_row(view: TaskView, ended_at: float | None, *, seen: bool) -> InboxRow:
    """The row of a task. `ended_at` is in seconds since 1970, None if it has not ended."""
    group = inbox_group(view.status, view.pause, seen=seen)
    pause = view.pause
    until = pause.retry_at if pause and group is InboxGroup.WAITING else None
    at = pause.since if pause else view.updated_at
    return InboxRow(
        id=view.id,
        number=view.number,
        project=printable(PurePath(view.repo_path).name or view.repo_path, 80),
        repo_path=printable(view.repo_path, TEXT_SHOWN),
        title=printable(view.title, TEXT_SHOWN),
        group=group,
        order=_order(group, at.timestamp(), until.timestamp() if until else None),
        status=str(view.status),
        says=printable(_says(view), TEXT_SHOWN),
        at=at.isoformat(),
        until=until.isoformat() if until else None,
        progress=view.progress,
        agent=printable(view.agent, 80),
        branch=printable(view.branch, 120),
        cost_usd=view.usage.cost_usd if view.usage else None,
        ended_at=ended_at if view.status in ENDED else None,
        actions=tuple(inbox_actions(view)),
    )


def _order(group: InboxGroup, at: float, until: float | None) -> float:
    """Who needs somebody longest comes first, and what resumes soonest; else the newest."""
    if group is InboxGroup.WAITING:
        return until if until is not None else at
    return at if group is InboxGroup.NEEDS_YOU else -at


def _says(view: TaskView) -> str:
    if (pause := view.pause) is not None:
        because = pause.waits_because or pause.message
        return f"{pause.reason}: {because}"
    return view.error or view.verdict or view.phase


# Actions


def inbox_actions(view: TaskView) -> list[InboxAction]:
    """What a person can do with a task, the most likely first."""
    actions = [_action(one) for one in view.next_actions]
    kept = [action for action in actions if action is not None]
    if view.status in (*RUNNING, TaskStatus.NEW):
        kept.append(InboxAction("Pause", "pause_task", {"task": view.id}))
    if view.status in _ITERATED:
        kept.append(InboxAction("New instructions", "iterate_task", {"task": view.id}, "text"))
    return kept


def _action(action: NextAction) -> InboxAction | None:
    match action.tool:
        case "resume_task":
            return InboxAction(_resume_label(action.arguments), action.tool, action.arguments)
        case "merge_task":
            return InboxAction("Merge", action.tool, action.arguments, "preview")
        case _:
            return None


def _resume_label(arguments: dict[str, Any]) -> str:
    """What is particular about a resume: two proposals differ in nothing else."""
    label = "Accept and resume" if arguments.get("accept") else "Resume"
    parts = [
        f"with {printable(str(arguments[name]), 60)}"
        for name in ("agent", "model")
        if arguments.get(name)
    ]
    if usd := arguments.get("budget_usd"):
        parts.append(f"with a budget of ${usd:,.2f}")
    if tokens := arguments.get("budget_tokens"):
        parts.append(f"with a budget of {tokens:,} tokens")
    return " ".join([label, *parts])
