"""What a further iteration of a task starts with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from agent_runner.models import AgentSession, RunState, Snapshot, StepState, Usage
from agent_runner.spec import Instructions


class ResolutionRound(BaseModel):
    """What an iteration of a task does that resolves the conflicts of a rebase: it resolves the
    commit `stop`, or, without one, runs the check of the whole result. `refused`: how many answers
    for this stop did not count. `failed_checks`: how many whole results failed the check, which was
    said of the last one in `check_report`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stop: str | None = None
    refused: int = 0
    failed_checks: int = 0
    check_report: str = ""


class IterationInput(BaseModel):
    """New instructions, and what the earlier iterations left: the agents' conversations by step,
    the usage, and the last snapshot. `rewound`: it starts from the tree of an earlier snapshot
    instead, which `snapshot` then is, with the branch where the last one left it. A task that was
    forked from another has this for its first iteration, with the steps that are `carried` over as
    they were there; without instructions it does what was left to do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instructions: Instructions | None = None
    sessions: dict[str, AgentSession] = Field(default_factory=dict[str, AgentSession])
    usage: Usage = Field(default_factory=Usage)
    snapshot: Snapshot | None = None
    rewound: bool = False
    carried: tuple[StepState, ...] = ()
    round: ResolutionRound | None = None

    @property
    def begin(self) -> Snapshot | None:
        """What the iteration starts from, where that is not what the one before it left."""
        return self.snapshot if self.rewound else None

    def start(self) -> RunState:
        """The task's state before the iteration has a journal."""
        return RunState(usage=self.usage, snapshot=self.snapshot)


# A budget is the task's and not the iteration's, so what earlier iterations used still counts.
def with_earlier(state: RunState, given: IterationInput | None) -> RunState:
    """The state that an iteration's own journal gives, with what earlier iterations used, and with
    their last snapshot where it has none of its own."""
    if given is None:
        return state
    usage, snapshot = given.usage.plus(state.usage), state.snapshot or given.snapshot
    return state.model_copy(update={"usage": usage, "snapshot": snapshot})
