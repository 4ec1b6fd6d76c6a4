"""The vocabulary that the runner shares with the host: pause reasons, run state, exit codes.

Everything here is data. The host reads these models out of the journal; it never writes them.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum

from pydantic import BaseModel, ConfigDict, Field


class ExitCode(IntEnum):
    """Exit status of `agent-runner run` (ACCEPTANCE A2)."""

    COMPLETED = 0
    FAILED = 1
    PAUSED = 2


class PauseReason(StrEnum):
    """Why a run stopped and is meant to go on (ACCEPTANCE D8). A closed set."""

    TRANSIENT = "transient"
    RATE_LIMIT = "rate_limit"
    USAGE_WINDOW = "usage_window"
    CREDITS = "credits"
    AUTH = "auth"
    BUDGET = "budget"
    REQUESTED = "requested"
    INTERRUPTED = "interrupted"


class RunStatus(StrEnum):
    """Where one iteration's run stands, by its journal."""

    NEW = "new"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


class StepStatus(StrEnum):
    """Where a step stands. INTERRUPTED is how a running one is shown while its task does not
    run; a journal never says it."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Usage(_Model):
    """Tokens and money that model calls cost. `cost_usd` is None where no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None

    def plus(self, other: Usage) -> Usage:
        """The sum; an unknown cost adds nothing and stays unknown only if both are."""
        costs = [c for c in (self.cost_usd, other.cost_usd) if c is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cost_usd=sum(costs) if costs else None,
        )


class Pause(_Model):
    """One pause: which step, why, since when, until when if a provider told it (D1, D10)."""

    reason: PauseReason
    message: str
    since: datetime
    step: str | None = None
    provider: str | None = None
    account: str | None = None
    retry_at: datetime | None = None


class AgentSession(_Model):
    """An agent's conversation, part of the checkpoint: enough to resume it (F8)."""

    agent: str
    session_id: str
    version: str | None = None


class StepState(_Model):
    """One step as the journal tells it."""

    id: str
    name: str
    type: str
    status: StepStatus = StepStatus.PENDING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outputs: dict[str, str] = Field(default_factory=dict)
    error: str | None = None
    detail: str | None = None
    session: AgentSession | None = None
    usage: Usage = Field(default_factory=Usage)


class Snapshot(_Model):
    """A commit that holds the work tree at a step boundary, and the bundle that carries it."""

    sequence: int = Field(ge=1)
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    tree: str = Field(pattern=r"^[0-9a-f]{40}$")
    bundle: str = Field(pattern=r"^[0-9]{6}\.bundle$")
    head: str = Field(pattern=r"^[0-9a-f]{40}$", description="what the task's branch pointed at")


class RunState(_Model):
    """The fold over a journal: all that is known of a run. Never stored, always derived."""

    status: RunStatus = RunStatus.NEW
    workflow: str | None = None
    steps: list[StepState] = Field(default_factory=list[StepState])
    pause: Pause | None = None
    error: str | None = None
    usage: Usage = Field(default_factory=Usage)
    snapshot: Snapshot | None = None
    attempt: int = 0
    resumes: int = 0
    skipped_on_resume: int = 0
    warnings: list[str] = Field(default_factory=list[str])
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def current_step(self) -> StepState | None:
        """The step that runs now, if one does."""
        return next((s for s in self.steps if s.status is StepStatus.RUNNING), None)

    @property
    def progress(self) -> int:
        """Share of steps that are completed or skipped, 0 to 100 (A5)."""
        if self.status is RunStatus.COMPLETED:
            return 100
        if not self.steps:
            return 0
        done = {StepStatus.COMPLETED, StepStatus.SKIPPED}
        return 100 * sum(s.status in done for s in self.steps) // len(self.steps)
