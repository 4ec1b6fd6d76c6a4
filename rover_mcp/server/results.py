"""The result of each tool and its schema. All tools that return a task use the same TaskView."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.tasks.view_models import (
    AttentionView,
    ChangesView,
    EventView,
    ListedTask,
    NextAction,
    RaceView,
    SnapshotView,
    TaskView,
)


class Result(BaseModel):
    """`attention` has the events of the caller's tasks that it has not seen yet."""

    attention: list[AttentionView] = []
    attention_more: int | None = None


class TaskResult(Result):
    """`race`: how its race stands, in the results of inspect, create_task and fork_task."""

    task: TaskView
    race: RaceView | None = None


class DamagedTaskView(BaseModel):
    """What is known of a task whose record cannot be read."""

    id: str | None = None
    number: int | None = None
    title: str | None = None
    repo_path: str | None = None
    damage: str
    next_actions: list[NextAction] = []


class TaskListResult(Result):
    """`damaged` are tasks whose records cannot be read; a warning says the same of each."""

    tasks: Sequence[ListedTask]
    next_cursor: str | None = None
    damaged: list[DamagedTaskView] | None = None
    warnings: list[str] | None = None


class InspectResult(TaskResult):
    events: list[EventView] | None = None


class WaitedView(BaseModel):
    """A task that is still running, in as few words as possible."""

    number: int
    status: TaskStatus
    phase: str | None = None
    progress: int | None = None


class WaitResult(Result):
    """After a timeout `task` is a WaitedView; `waiting` are the other tasks that the call waited
    for."""

    task: TaskView | WaitedView
    returned: Literal["paused", "ended", "news", "timeout"]
    waiting: list[WaitedView] | None = None


class ResumeTaskResult(TaskResult):
    """The other fields say what the call did. The result of a handle, which reports the end of the
    task, has only the task."""

    result: Literal["resumed", "scheduled", "already_resuming"] | None = None
    has_checkpoint: bool | None = None
    message: str | None = None


class AutoResumeResult(Result):
    """`changed` paused tasks wait for a person from now on, or no longer do."""

    enabled: bool
    scope: Literal["task", "project", "all"]
    changed: int
    still_off: str | None = None


class DeleteItem(BaseModel):
    what: str
    kept: bool
    detail: str


class DeleteResult(Result):
    """`deleted` is false where the call only said what would be lost, gave the task back, or kept
    it: then `chosen` says whether the others of its race were deleted. `until`: when what was
    deleted goes for good; null: at once."""

    task: str
    deleted: bool
    chosen: bool | None = None
    items: list[DeleteItem]
    until: str | None = None
    next_actions: list[NextAction] = []


class MergeResult(Result):
    """`merged` is false where the result only says what would happen. `commit_message`: what the
    commit would say; untrusted where an agent wrote it."""

    task: str
    status: TaskStatus
    merged: bool
    into: str
    commit: str | None = None
    message: str
    commit_message: str | None = None
    conflicts: list[str] | None = None
    hand_off: list[str] | None = None
    hooks: list[str] | None = None
    next_actions: list[NextAction] = []


class RebaseResult(Result):
    """`rebased` is false where the result only says what would happen. `resolution` is how an agent
    resolved conflicts: untrusted text."""

    task: str
    rebased: bool
    message: str
    status: TaskStatus | None = None
    onto: str | None = None
    base_commit: str | None = None
    commit: str | None = None
    conflicts: list[str] | None = None
    resolution: str | None = None
    next_actions: list[NextAction] = []


class PushResult(Result):
    """`pushed` is false where the result only says what would happen. `server` is what the remote
    printed: untrusted text."""

    task: str
    status: TaskStatus
    pushed: bool
    remote: str
    branch: str
    commit: str | None = None
    message: str
    server: str | None = None
    hand_off: list[str] | None = None
    next_actions: list[NextAction] = []


class LogsResult(Result):
    task: str
    step: str | None = None
    text: str
    truncated: bool
    untrusted: bool = True


class DiffToolResult(Result):
    task: str
    changes: ChangesView
    patch: str | None = None
    truncated: bool
    elsewhere: int | None = None
    """how many files changed outside of the paths, where no file in them did"""
    untrusted: bool = True


class SnapshotDiff(BaseModel):
    changes: ChangesView
    patch: str
    truncated: bool
    untrusted: bool = True


class HistoryResult(Result):
    """`more` older snapshots are not listed. `diff` is that of the snapshot that the call named,
    against the one before it."""

    task: str
    snapshots: list[SnapshotView]
    more: int | None = None
    diff: SnapshotDiff | None = None


class InputView(BaseModel):
    name: str
    description: str | None = None
    required: bool
    default: str | None = None


class WorkflowView(BaseModel):
    name: str
    source: str
    shadowed: str | None = None
    description: str | None = None
    inputs: list[InputView] = []
    steps: list[str] = []
    error: str | None = None


class WorkflowsResult(Result):
    workflows: list[WorkflowView]


class EngineView(BaseModel):
    name: str
    available: bool
    version: str | None = None
    reason: str | None = None
    hint: str | None = None
    limits_not_applied: list[str] = []


class AgentView(BaseModel):
    name: str
    installed: bool
    signed_in: bool
    source: str | None = None
    version: str | None = None
    credential: str | None = None
    path: str | None = None
    hint: str | None = None


class QueueView(BaseModel):
    running: int
    queued: int
    paused: int
    limit: int


class HoldView(BaseModel):
    """An account, or one of its models, that the provider refuses to serve. `waiting` tasks need
    it; `probe` is the task that tries it."""

    account: str
    model: str | None = None
    provider: str | None = None
    reason: str
    message: str
    since: datetime
    until: datetime
    waiting: int
    probe: int | None = None


class WindowView(BaseModel):
    """A usage window of an account, as its provider last reported it."""

    account: str
    window: str
    state: str
    used_percent: float | None = None
    opens_at: datetime | None = None
    told_at: datetime


class SwitchesView(BaseModel):
    """Where automatic resumes are switched off, apart from single tasks."""

    off_for_all: bool
    off_in_config: bool
    off_in_projects: list[str] = []


class ProjectUseView(BaseModel):
    project: str
    bytes: int
    kinds: dict[str, int]


class DiskUseView(BaseModel):
    """How much of the disk the data folder uses, without what container engines store. It lists
    only the largest projects."""

    measured_at: datetime
    age_s: int
    bytes: int
    kinds: dict[str, int]
    projects: list[ProjectUseView] = []
    projects_more: int | None = None


class DiskView(BaseModel):
    """`used` is absent until it has been measured once, and always for a user over HTTP."""

    free_bytes: int
    used: DiskUseView | None = None


class TroubleView(BaseModel):
    message: str
    hint: str


class StatusResult(Result):
    version: str
    notice: str | None = None
    cannot_start: TroubleView | None = None
    home: str | None = None
    engines: list[EngineView]
    agents: list[AgentView]
    credentials: dict[str, bool]
    unpriced: list[str] = []
    queue: QueueView
    holds: list[HoldView] = []
    windows: list[WindowView] = []
    auto_resume: SwitchesView
    disk: DiskView
