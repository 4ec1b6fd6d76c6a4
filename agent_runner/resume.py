"""What an earlier attempt left to build on. Pure: from its records to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_runner.fold import boundary, definitions, fold
from agent_runner.journal import Record, RecordType
from agent_runner.models import AgentSession, RunState, RunStatus, StepStatus
from agent_runner.spec import RunSpec
from agent_runner.steps import Interrupted, agent_name
from agent_runner.workflow.models import AgentStep, Workflow, definition_digest
from agent_runner.worktree import Target

_DONE = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})


@dataclass(frozen=True)
class Plan:
    """`done` holds the finished steps and their outputs. `interrupted` belongs to the first step
    that is not. `target` is what the work tree is reset to where no session goes on; None: it is
    not known, and the tree stays as it is."""

    state: RunState
    done: dict[str, dict[str, str]]
    interrupted: Interrupted | None
    target: Target | None
    warnings: list[str] = field(default_factory=list[str])

    @property
    def first(self) -> bool:
        """Whether nothing ran before."""
        return self.state.status is RunStatus.NEW


def make_plan(records: Sequence[Record], workflow: Workflow, spec: RunSpec) -> Plan:
    """What to go on with."""
    state = fold(records)
    current = {step.id: definition_digest(step) for step in workflow.steps}
    finished = {s.id: dict(s.outputs) for s in state.steps if s.status in _DONE}
    plan = Plan(
        state=state,
        done={i: outputs for i, outputs in finished.items() if i in current},
        interrupted=_interrupted(state, workflow, spec),
        target=_target(records, spec),
    )
    for step_id in finished:
        if step_id not in current:
            plan.warnings.append(f"step {step_id} was finished but is no longer in the workflow")
    for step_id, digest in definitions(records).items():
        if step_id in plan.done and digest != current[step_id]:
            plan.warnings.append(f"step {step_id} was finished before its definition changed")
    if plan.first and spec.attempt > 1:
        plan.warnings.append("no checkpoint was found: the iteration runs from its start")
    return plan


def _interrupted(state: RunState, workflow: Workflow, spec: RunSpec) -> Interrupted | None:
    by_id = {step.id: step for step in state.steps}
    for step in workflow.steps:
        old = by_id.get(step.id)
        if old is not None and old.status in _DONE:
            continue
        if isinstance(step, AgentStep) and old is not None and old.session is not None:
            return _same_agent(old.session, agent_name(step, spec), _why(state))
        return None
    return None


def _same_agent(session: AgentSession, agent: str, why: str) -> Interrupted | None:
    return Interrupted(session, why) if session.agent == agent else None


def _why(state: RunState) -> str:
    if state.pause is not None:
        return f"{state.pause.reason} ({state.pause.message})"
    return state.error or "the program that ran you was interrupted"


def _target(records: Sequence[Record], spec: RunSpec) -> Target | None:
    if (snapshot := boundary(records)) is not None:
        return Target.of(snapshot)
    if spec.iteration > 1 or any(r.type is RecordType.STEP_COMPLETE for r in records):
        return None
    return Target(commit=spec.base_commit, head=spec.base_commit)
