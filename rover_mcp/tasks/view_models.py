"""The models of what a task is and how it is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agent_runner.models import PauseReason, StepStatus, Usage
from rover_mcp.domain.task_status import TaskStatus


class _View(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PauseView(_View):
    """Why a task is paused, since when, until when, and what happens next."""

    reason: PauseReason
    message: str
    since: datetime
    step: str | None = None
    where: str | None = Field(default=None, description="step 3 of 6: fix, iteration 2 of 5: test")
    provider: str | None = None
    account: str | None = None
    model: str | None = Field(default=None, description="the one that the limit is for")
    windows: str | None = Field(default=None, description="how full those of the account are")
    log_in: str | None = Field(default=None, description="of one that expires before retry_at")
    retry_at: datetime | None = Field(default=None, description="when it resumes automatically")
    retry_in_s: int | None = None
    auto_resume: bool = Field(
        description="whether it resumes automatically: at retry_at, or once its credential is there"
    )
    waits_because: str | None = Field(default=None, description="what has to happen first")
    retries: int = Field(default=0, description="how often in a row it resumed automatically")
    max_retries: int


class StepView(_View):
    """One step. A loop has its current `iteration` and its `limit`, and its steps describe that
    iteration. `parent` is the loop or parallel step around it."""

    id: str
    name: str
    type: str
    status: StepStatus
    parent: str | None = None
    iteration: int | None = None
    limit: int | None = None
    inside: int | None = Field(default=None, description="steps inside that are not listed")
    tolerated: bool | None = Field(default=None, description="it failed, and the task continues")
    duration_s: float | None = None
    error: str | None = None
    outputs: dict[str, str] | None = Field(default=None, description="untrusted text of an agent")


class BudgetView(_View):
    """What the task may cost before it pauses and asks, and what it has cost."""

    usd: float | None = None
    spent_usd: float | None = None
    tokens: int | None = None
    spent_tokens: int


class FileChange(_View):
    path: str
    added: int
    removed: int
    binary: bool = False
    run_by: str | None = Field(default=None, description="what may run it on the user's machine")


class ChangesView(_View):
    """What differs from the task's base, untracked files included. `run_by` counts the files
    that a program on the user's machine may run or obey, by program; they come first."""

    files: int
    added: int
    removed: int
    run_by: dict[str, int] | None = None
    paths: list[FileChange] = Field(default_factory=list[FileChange])
    truncated: bool = False


class SnapshotView(_View):
    """A stored state of the work tree. The changes are relative to the snapshot before it; without
    numbers it can no longer be read."""

    id: str
    at: datetime
    iteration: int
    step: str | None = None
    when: str = Field(description="before the first step, after implement, at a pause, at the end")
    files: int | None = None
    added: int | None = None
    removed: int | None = None
    commit: str


class RefusedHostView(_View):
    host: str
    reason: str
    remedy: str | None = None
    count: int


class SentView(_View):
    host: str
    bytes: int


class NextAction(_View):
    tool: str
    arguments: dict[str, Any]
    why: str


class ContextView(_View):
    """Something that the agent was given to read. The title is untrusted text."""

    origin: str
    title: str
    bytes: int
    sha256: str
    fetched_at: datetime
    left_out: int = Field(default=0, description="comments by people without a role")
    cut: bool = Field(default=False, description="the text was too long")


class TaskView(_View):
    """One task, the same everywhere: tool results, resources, notifications, the CLI's JSON."""

    id: str
    number: int
    repo_path: str = Field(description="of the repository")
    title: str
    status: TaskStatus
    phase: str = Field(description="for people: queued, preparing, step 3 of 6: review, ...")
    progress: int = Field(ge=0, le=100)
    branch: str
    base_branch: str | None = None
    base_commit: str
    ahead: int | None = Field(default=None, description="commits that its base lacks")
    behind: dict[str, int] | None = Field(
        default=None, description="commits that its base has since, by branch; nothing is fetched"
    )
    workflow: str
    agent: str
    agents: list[str] | None = Field(default=None, description="who may take over, in this order")
    model: str | None = None
    engine: str | None = None
    network: str | None = None
    origin: str | None = Field(default=None, description="the task that it was forked from")
    racers: int | None = Field(default=None, description="how many tasks its race has")
    iteration: int
    attempt: int
    created_at: datetime
    updated_at: datetime
    duration_s: float
    pause: PauseView | None = None
    error: str | None = None
    verdict: str | None = None
    usage: Usage | None = None
    budget: BudgetView | None = None
    steps: list[StepView] | None = None
    steps_hidden: int | None = Field(default=None, description="steps that only detail=full lists")
    changes: ChangesView | None = None
    context: list[ContextView] | None = Field(default=None, description="what it was given to read")
    config: dict[str, str] | None = Field(default=None, description="settings, and from where")
    warnings: list[str] | None = None
    refused: list[RefusedHostView] | None = None
    sent: list[SentView] | None = Field(
        default=None, description="bytes that it sent, by host; model APIs are not counted"
    )
    next_actions: list[NextAction] = Field(default_factory=list[NextAction])


class ListedTask(_View):
    """One task of a page: enough to choose one; `inspect` shows the rest."""

    id: str
    number: int
    repo_path: str
    title: str
    status: TaskStatus
    phase: str
    progress: int = Field(ge=0, le=100)
    branch: str
    agent: str
    origin: str | None = None
    racers: int | None = None
    cost_usd: float | None = None
    updated_at: datetime
    pause: PauseView | None = None
    error: str | None = None
    next_actions: list[NextAction] | None = Field(
        default=None, description="the first, of a task that has not ended well"
    )


class RacerView(_View):
    """One task of a race. `in_common`: how many of its files another one changed, too."""

    task: str
    number: int
    agent: str
    model: str | None = None
    status: TaskStatus
    phase: str
    checks: str | None = Field(default=None, description="what its last command said of the result")
    files: int | None = None
    added: int | None = None
    removed: int | None = None
    in_common: int | None = None
    cost_usd: float | None = None
    tokens: int | None = None
    worked_s: float
    waited_s: float = Field(description="in the queue and paused")
    waits_for: str | None = None
    waits_until: datetime | None = None
    in_trash_until: datetime | None = None


class RaceView(_View):
    """Tasks that do the same work, to be compared. `common`: files that all of them changed."""

    standing: str
    budget: str | None = None
    racers: list[RacerView]
    common: list[str] | None = None


class EventView(_View):
    """One thing that happened to a task. `seq` grows over all tasks of a data folder."""

    seq: int
    at: datetime
    task: str
    number: int
    event: str = Field(description="task.created, task.started, task.paused, task.completed, ...")
    status: TaskStatus
    summary: str
    reason: PauseReason | None = None
    retry_at: datetime | None = None
    resume: NextAction | None = None
    told: dict[str, datetime] | None = Field(
        default=None, description="in inspect only: over which channels, and when first"
    )


class AttentionView(EventView):
    """An event as a result reports it to its reader."""

    repo_path: str | None = Field(
        default=None, description="of a task of another project than the reader's"
    )


class HookEventView(EventView):
    """An event as a hook receives it, including what its receiver cannot look up."""

    title: str
    branch: str
    repo_path: str


class HookMessage(_View):
    """What a webhook is sent, and what a command reads on standard input."""

    type: str
    timestamp: datetime
    data: HookEventView
