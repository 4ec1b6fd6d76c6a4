"""The vocabulary that the runner shares with the host: pause reasons, run state, exit codes.

Everything here is data. The host reads these models out of the journal; it never writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_runner.printable import only_printable

SCRIPTED = "scripted"
"""The agent that plays a script: it costs nothing."""


class ExitCode(IntEnum):
    """Exit status of `agent-runner run`."""

    COMPLETED = 0
    FAILED = 1
    PAUSED = 2


class PauseReason(StrEnum):
    """Why a run stopped that is meant to be resumed. A closed set."""

    TRANSIENT = "transient"
    RATE_LIMIT = "rate_limit"
    USAGE_WINDOW = "usage_window"
    CREDITS = "credits"
    AUTH = "auth"
    BUDGET = "budget"
    REQUESTED = "requested"
    INTERRUPTED = "interrupted"
    NEEDS_LOOK = "needs_look"


class Grounds(StrEnum):
    """Who says the reason or the time of a pause. A closed set."""

    PROVIDER = "provider"
    """a status, a code or a header of the provider, which the gateway saw itself"""
    WORDS = "words"
    """the text of an answer that the gateway saw: it may repeat what the agent wrote"""
    AGENT = "agent"
    """the agent, whose words no one else can confirm"""


class RunStatus(StrEnum):
    """The status of one iteration's run, by its journal."""

    NEW = "new"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


class StepStatus(StrEnum):
    """The status of a step. INTERRUPTED is how a running step is shown while its task does not run;
    no journal has it."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class _SharedModel(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class Usage(_SharedModel):
    """The tokens and the money that model calls used. `cost_usd` is None if no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None

    def plus(self, other: Usage) -> Usage:
        """The sum. An unknown cost adds nothing; the sum is unknown only if both costs are."""
        costs = [c for c in (self.cost_usd, other.cost_usd) if c is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cost_usd=sum(costs) if costs else None,
        )

    def minus(self, other: Usage) -> Usage:
        """The part of this usage beyond another one, never below zero."""
        cost = self.cost_usd
        if cost is not None:
            cost = max(0.0, cost - (other.cost_usd or 0.0)) or None
        return Usage(
            input_tokens=max(0, self.input_tokens - other.input_tokens),
            output_tokens=max(0, self.output_tokens - other.output_tokens),
            cache_read_tokens=max(0, self.cache_read_tokens - other.cache_read_tokens),
            cache_write_tokens=max(0, self.cache_write_tokens - other.cache_write_tokens),
            cost_usd=cost,
        )

    @property
    def tokens(self) -> int:
        """Tokens of all kinds."""
        cached = self.cache_read_tokens + self.cache_write_tokens
        return self.input_tokens + self.output_tokens + cached


class Budget(_SharedModel):
    """What a task may cost before it pauses and asks: money, tokens of all kinds, or both."""

    usd: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)

    def ends_money(self, usage: Usage) -> bool:
        """Whether a usage reaches the limit in money. An unknown cost counts as 0."""
        return self.usd is not None and (usage.cost_usd or 0.0) >= self.usd

    def ends_tokens(self, usage: Usage) -> bool:
        """Whether a usage reaches the limit in tokens."""
        return self.tokens is not None and usage.tokens >= self.tokens

    def used_up(self, usage: Usage) -> str | None:
        """What a usage has used up, in words; None if the budget allows more. The runner, the
        gateway and the use cases all ask this, so that they agree on one limit and one wording."""
        if self.usd is not None and self.ends_money(usage):
            return f"it has spent ${usage.cost_usd or 0.0:.2f} of ${self.usd:.2f}"
        if self.tokens is not None and self.ends_tokens(usage):
            return f"it has used {usage.tokens:,} of {self.tokens:,} tokens"
        return None


class Pause(_SharedModel):
    """One pause: which step, why, since when, and until when if a provider said so.

    `grounds` and `retry_grounds` are who says `reason` and `retry_at`: what only an agent said
    concerns its own task, and no other task of its account. `model`: the model that a limit is
    for, if it is not for the account. The control plane sets `uses_try`, whether the automatic
    resume that ends the pause counts as a try, and `windows`, how full the account's are.
    """

    reason: PauseReason
    message: str
    since: datetime
    step: str | None = None
    provider: str | None = None
    account: str | None = None
    retry_at: datetime | None = None
    grounds: Grounds = Grounds.AGENT
    retry_grounds: Grounds = Grounds.AGENT
    model: str | None = None
    uses_try: bool = True
    windows: str | None = None


class AgentSession(_SharedModel):
    """An agent's conversation, as the checkpoint has it: enough to resume it. `fork`: it is another
    task's, so that this one continues in a copy of it with an id of its own."""

    agent: str
    session_id: str
    version: str | None = None
    fork: bool = False


class LoopPosition(_SharedModel):
    """The place of a step in one loop around it: the loop's id, its iteration, the index of the
    sub-step in its body."""

    step: str
    iteration: int = Field(ge=1, strict=True)
    index: int = Field(ge=0, strict=True)


def loop_positions(data: Mapping[str, Any]) -> list[LoopPosition]:
    """The loops around the step of a record, by the record's data, outermost first.

    Raises:
        ValueError, TypeError: the data are malformed.
    """
    return [LoopPosition.model_validate(raw) for raw in data.get("loop", ())]


MAX_VERDICT = 500
"""Characters of a verdict."""


def verdict_line(text: str) -> str:
    """A verdict as one line of printable text, bounded."""
    # Cut first: a verdict can contain the whole output of a test run.
    line = only_printable(text[: 20 * MAX_VERDICT], " ")
    line = " ".join(line.split()).rstrip(" :;,")
    return line if len(line) <= MAX_VERDICT else line[: MAX_VERDICT - 1].rstrip() + "…"


SUMMARIES = ("summary", "report")
"""Outputs that sum up what was done, the preferred one first."""
COMMIT_MESSAGE = "commit_message"
"""An output: how an agent would describe the whole change in one commit."""


class StepState(_SharedModel):
    """The state of one step, by the journal. In a loop the state is that of the present iteration;
    `outputs` are those of the last time that the step ended.

    `parent` is the loop or parallel step around it. A loop has its present `iteration` (0: not
    begun), its `limit`, and, if it watches for cycles, in `trees` the work tree at the end of each
    finished iteration. `tolerated`: it failed, and the run continues nevertheless. `verdict`: what
    its failure means for the result of the run.
    """

    id: str
    name: str
    type: str
    parent: str | None = None
    iteration: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=0)
    trees: list[str] = Field(default_factory=list[str])
    tolerated: bool = False
    status: StepStatus = StepStatus.PENDING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outputs: dict[str, str] = Field(default_factory=dict)
    error: str | None = None
    detail: str | None = None
    verdict: str | None = None
    session: AgentSession | None = None
    usage: Usage = Field(default_factory=Usage)

    @property
    def finished(self) -> bool:
        """Whether it has ended and the run continues behind it."""
        if self.status is StepStatus.FAILED:
            return self.tolerated
        return self.status in (StepStatus.COMPLETED, StepStatus.SKIPPED)

    @property
    def summary_name(self) -> str | None:
        """The output in which an agent sums up what it did; None if it has none."""
        if self.type != "agent" or self.status is not StepStatus.COMPLETED:
            return None
        return next((name for name in SUMMARIES if self.outputs.get(name, "").strip()), None)


class Snapshot(_SharedModel):
    """A commit that holds the work tree at a step boundary, and the bundle that carries it."""

    sequence: int = Field(ge=1)
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    tree: str = Field(pattern=r"^[0-9a-f]{40}$")
    bundle: str = Field(pattern=r"^[0-9]{6}\.bundle$")
    head: str = Field(pattern=r"^[0-9a-f]{40}$", description="what the task's branch pointed at")


class RunState(_SharedModel):
    """All that is known of a run: the fold over its journal. It is derived, and never stored."""

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
        """The step that is running, if one is: the innermost, and of several the first."""
        # A loop and the step inside it run at the same time. People want to know what is being
        # done, which is the innermost.
        running = [s for s in self.steps if s.status is StepStatus.RUNNING]
        around = {s.parent for s in running}
        return next((s for s in running if s.id not in around), None)

    @property
    def verdict(self) -> str | None:
        """What did not succeed although the run completed, in one line; None if all did."""
        # A dictionary drops what a loop says in each iteration, and keeps the order.
        verdicts = dict.fromkeys(s.verdict for s in self.steps if s.verdict)
        return verdict_line("; ".join(verdicts)) or None

    @property
    def summary(self) -> str | None:
        """The summary of the last agent that gave one; untrusted text."""
        for step in reversed(self.steps):
            if name := step.summary_name:
                return step.outputs[name].strip()
        return None

    @property
    def commit_message(self) -> str | None:
        """The message for one commit of the whole change, by the last agent that gave one;
        untrusted text."""
        for step in reversed(self.steps):
            text = step.outputs.get(COMMIT_MESSAGE, "").strip()
            if step.type == "agent" and step.status is StepStatus.COMPLETED and text:
                return text
        return None

    @property
    def progress(self) -> int:
        """The share of the work that is done, 0 to 100. Every step of the workflow counts the same;
        a loop's iterations share its part, and so do the steps of a body."""
        if self.status is RunStatus.COMPLETED:
            return 100
        # Shares such as three thirds add up to slightly less than 1.
        return max(0, min(100, int(100 * _done_share(self.steps) + 1e-6)))


def _done_share(steps: Sequence[StepState]) -> float:
    """The share of steps that are done, 0 to 1. Each step is visited once, whatever the stored
    parents say."""
    inside: dict[str | None, list[StepState]] = {}
    known = {step.id: step for step in steps}
    for step in known.values():
        inside.setdefault(step.parent if step.parent in known else None, []).append(step)
    # Without recursion, since the parents come from a journal: a damaged one may hold a cycle.
    waiting = [(inside.get(None, []), 1.0)]
    done = 0.0
    while waiting:
        siblings, part = waiting.pop()
        for step in siblings:
            mine = part / len(siblings)
            if step.finished:
                done += mine
            elif step.iteration is not None and step.limit:
                before = min(max(step.iteration - 1, 0), step.limit)
                done += mine * before / step.limit
                if before < step.limit:
                    waiting.append((inside.get(step.id, []), mine / step.limit))
            else:
                waiting.append((inside.get(step.id, []), mine))
    return done


@dataclass(frozen=True)
class Failure:
    """What is known of an error, from fields that carry errors and nothing else.

    `source` is who saw it: the gateway itself, or the agent's structured fields. `headers` have
    lower-case names. `retry_after` is in seconds. `body` is the provider's answer, if the agent
    passes it on. `model` is the requested one. `agent_credential`: the agent used a login of its
    own, so it is unknown whose account it was. `host` is the host of the API that refused, if it is
    known: several providers have the same API.
    """

    source: Literal["gateway", "agent"]
    message: str
    provider: str | None = None
    status: int | None = None
    type: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    retry_after: float | None = None
    reset_at: datetime | None = None
    interrupted: bool = False
    body: str = ""
    agent_credential: bool = False
    host: str | None = None
    model: str | None = None
