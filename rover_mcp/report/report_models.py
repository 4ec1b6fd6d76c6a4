"""What a report says. Everything in it is text of strangers but for the names of its fields."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_runner.models import PauseReason, StepStatus, Usage
from rover_mcp.tasks.view_models import ContextView, TaskView


class _ReportPart(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepTry(_ReportPart):
    """One try of a step: when it began, when it stopped and why, if it did not succeed."""

    at: datetime
    until: datetime | None = None
    why: str | None = None


class StepRow(_ReportPart):
    """A step, with all its tries: retries in place, and those after a pause. `usage` is what its
    agent reported. `tolerated`: it failed, and the run continued."""

    kind: Literal["step"] = "step"
    id: str
    name: str
    type: str
    status: StepStatus
    at: datetime
    until: datetime | None = None
    tries: list[StepTry] = Field(default_factory=list[StepTry])
    tolerated: bool = False
    detail: str | None = None
    error: str | None = None
    agent: str | None = None
    usage: Usage | None = None


class PauseRow(_ReportPart):
    """A gap: why nothing ran, for whom the task waited, since when and until when. Without an end
    it lasts. `who` is a provider, `you` where a person had to act, or the machine."""

    kind: Literal["pause"] = "pause"
    reason: PauseReason
    message: str
    who: str
    step: str | None = None
    at: datetime
    until: datetime | None = None


class LoopPass(_ReportPart):
    """One iteration of a loop, or all that a parallel step runs, as `number` 1."""

    number: int
    rows: list[Row] = Field(default_factory=list["Row"])
    left_out: int = 0


class LoopRow(_ReportPart):
    """A loop or a parallel step, with what ran in it. `left_out` earlier passes are not shown."""

    kind: Literal["loop"] = "loop"
    id: str
    name: str
    type: str
    status: StepStatus
    at: datetime
    until: datetime | None = None
    limit: int | None = None
    passes: list[LoopPass] = Field(default_factory=list[LoopPass])
    left_out: int = 0
    error: str | None = None


class MarkRow(_ReportPart):
    """Something that happened at one moment, in words."""

    kind: Literal["mark"] = "mark"
    at: datetime
    text: str


Row = Annotated[StepRow | PauseRow | LoopRow | MarkRow, Field(discriminator="kind")]


class IterationReport(_ReportPart):
    """One iteration, with its rows in the order in which they began; `left_out` of the rows are not
    shown. `worked_s` is the time in which its runner ran. `usage` is what agents reported."""

    number: int
    instructions: str | None = None
    status: str
    at: datetime | None = None
    until: datetime | None = None
    worked_s: float = 0.0
    waited_s: float = 0.0
    usage: Usage = Field(default_factory=Usage)
    steps: int = 0
    failed: int = 0
    files: int | None = None
    added: int | None = None
    removed: int | None = None
    verdict: str | None = None
    rows: list[Row] = Field(default_factory=list[Row])
    left_out: int = 0
    damage: str | None = None


class WaitReport(_ReportPart):
    """How long a task waited for one party, in `times` pauses."""

    who: str
    seconds: float
    times: int


class ModelReport(_ReportPart):
    """What a task used of one model, as the gateway counted it."""

    provider: str
    model: str
    calls: int
    usage: Usage
    estimated: int = 0


class LogReport(_ReportPart):
    """The end of a step's log, with its colours. `left_out`: bytes before it. `path` is of all of
    it."""

    iteration: int
    step: str
    path: str
    size: int
    text: str
    left_out: int = 0


class AgentReport(_ReportPart):
    name: str
    version: str | None = None


class Provenance(_ReportPart):
    """Where a task comes from, and what it ran with."""

    asked_by: str
    created_at: datetime
    base_commit: str
    commit: str | None = None
    tree: str | None = None
    workflow: str
    workflow_file: str | None = None
    agents: list[AgentReport] = Field(default_factory=list[AgentReport])
    engine: str
    images: list[str] = Field(default_factory=list[str])
    config_digest: str | None = None
    description_sha256: str
    context: list[ContextView] = Field(default_factory=list[ContextView])
    rover: str


class TaskReport(_ReportPart):
    """A report. `checks` is what the last command of the workflow said of the result; `summary` is
    the agent's own. `logs_left_out` logs are not in it."""

    format: Literal[1] = 1
    made_at: datetime
    task: TaskView
    description: str
    checks: str | None = None
    summary: str | None = None
    worked_s: float
    waits: list[WaitReport] = Field(default_factory=list[WaitReport])
    models: list[ModelReport] = Field(default_factory=list[ModelReport])
    iterations: list[IterationReport] = Field(default_factory=list[IterationReport])
    iterations_left_out: int = 0
    patch: str = ""
    patch_cut: bool = False
    logs: list[LogReport] = Field(default_factory=list[LogReport])
    logs_left_out: int = 0
    provenance: Provenance


LoopPass.model_rebuild()
