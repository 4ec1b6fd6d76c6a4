"""Plans from the records of earlier attempts how an attempt continues. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import RunState, RunStatus, StepState, StepStatus
from agent_runner.run.step import Interrupted
from agent_runner.spec import RunSpec
from agent_runner.workflow.models import (
    AgentStep,
    LoopStep,
    ParallelStep,
    Step,
    Workflow,
    definition_digest,
    walk,
)
from agent_runner.worktree.worktree import Target


@dataclass(frozen=True)
class ResumePlan:
    """How an attempt continues. `before` is the state that earlier attempts left, `start` is what
    the attempt's first record says.

    `skipped` is the number of finished steps that are not run again. `interrupted` are the agent
    steps that were running, by id: they continue on the work tree as it is, which has to be `left`,
    the state in which their attempt ended. If there are none, the work tree is reset to `target`;
    None: that state is not known, and the tree stays as it is. `restart`: no step counts as done,
    and the work tree becomes the task's base again. `begin`: the work tree is to become this first,
    because nothing of the iteration has been recorded yet.
    """

    before: RunState
    start: Mapping[str, Any]
    skipped: int
    interrupted: Mapping[str, Interrupted]
    target: Target | None
    left: Target | None = None
    restart: bool = False
    begin: Target | None = None
    warnings: list[str] = field(default_factory=list[str])

    @property
    def first(self) -> bool:
        """Whether nothing ran before."""
        return self.before.status is RunStatus.NEW

    @property
    def untouched(self) -> bool:
        """Whether no step has begun yet."""
        return all(step.started_at is None for step in self.before.steps)


def make_plan(fold: RunStateFold, workflow: Workflow, spec: RunSpec) -> ResumePlan:
    """The plan for the next attempt, after the records that `fold` has seen."""
    before = fold.state
    restart = spec.restart and RunStatus.NEW is not before.status and before.attempt < spec.attempt
    start = start_data(workflow, spec.attempt) | ({"restart": True} if restart else {})
    # On a copy: `fold` gets the same record when the attempt writes it.
    begun = copy.deepcopy(fold)
    begun.add(Record(0, datetime.min.replace(tzinfo=UTC), RecordType.RUN_START, start))
    warnings = [] if restart else [*_warnings(fold, begun, workflow)]
    if before.status is RunStatus.NEW and spec.attempt > 1 and not spec.begins_iteration:
        warnings.append("no checkpoint was found: the iteration runs from its start")
    leaves = (s for s, _ in walk(workflow.steps) if not isinstance(s, LoopStep | ParallelStep))
    why = _why(before)
    return ResumePlan(
        before=before,
        start=start,
        skipped=sum(begun.step(step.id).finished for step in leaves),
        interrupted={
            step.id: Interrupted(session, why)
            for step in _not_finished(workflow.steps, begun)
            if isinstance(step, AgentStep) and (session := begun.step(step.id).session)
        },
        target=_base(spec) if restart else _target(fold, spec),
        left=Target.of(fold.left) if fold.left else None,
        restart=restart,
        begin=_begin(fold, spec),
        warnings=warnings,
    )


def start_data(workflow: Workflow, attempt: int) -> dict[str, Any]:
    """The data of an attempt's first record: the steps as this attempt knows them."""
    steps: list[dict[str, Any]] = []
    for step, parent in walk(workflow.steps):
        data = {"id": step.id, "name": step.name, "type": step.type}
        steps.append({**data, "digest": definition_digest(step)})
        if parent is not None:
            steps[-1]["parent"] = parent
        if isinstance(step, LoopStep):
            steps[-1]["limit"] = step.max_iterations
    return {"attempt": attempt, "workflow": workflow.name, "steps": steps}


def _not_finished(steps: Sequence[Step], state: RunStateFold) -> Iterator[Step]:
    for step in steps:
        if not state.step(step.id).finished:
            yield step
            if isinstance(step, LoopStep | ParallelStep):
                yield from _not_finished(step.steps, state)


def _warnings(fold: RunStateFold, begun: RunStateFold, workflow: Workflow) -> Iterator[str]:
    """What changes in the workflow mean for what was done already."""
    current = {step.id for step, _ in walk(workflow.steps)}
    for old in fold.live.steps:
        if old.id in current:
            now = begun.step(old.id)
            yield from _of_step(old, now, changed=_changed(fold, begun, old.id))
        elif old.finished:
            yield f"step {old.id} was finished but is no longer in the workflow"


def _of_step(old: StepState, now: StepState, *, changed: bool) -> Iterator[str]:
    # A failed loop starts over in any case.
    going = not old.finished and old.status is not StepStatus.FAILED
    under_way = (old.iteration or 0) if going else 0
    if _moved(old, now):
        if old.finished or under_way:
            yield f"step {old.id} has another place or kind in the workflow now: it starts over"
    elif under_way > (now.limit or 0):
        yield (
            f"loop {old.id} was in its iteration {under_way}, "
            f"and its limit is {now.limit} now: it starts over"
        )
    elif now.iteration and under_way and changed:
        yield f"loop {old.id} continues in its iteration {under_way}, and its definition changed"
    elif old.finished and now.finished and changed:
        yield f"step {old.id} was finished before its definition changed"


def _moved(old: StepState, now: StepState) -> bool:
    return old.parent != now.parent or (old.iteration is None) != (now.iteration is None)


def _changed(fold: RunStateFold, begun: RunStateFold, step_id: str) -> bool:
    old = fold.digests.get(step_id)
    return old is not None and old != begun.digests[step_id]


def _why(state: RunState) -> str:
    if state.pause is not None:
        return f"{state.pause.reason} ({state.pause.message})"
    return state.error or "the program that ran you was interrupted"


def _target(fold: RunStateFold, spec: RunSpec) -> Target | None:
    if fold.boundary is not None:
        return Target.of(fold.boundary)
    if spec.iteration > 1 or fold.worked:
        return None
    return _base(spec)


def _begin(fold: RunStateFold, spec: RunSpec) -> Target | None:
    # A step that has begun names the tree that it began with, unless that could not be recorded:
    # then what the step did since is worth more than the tree.
    begun = fold.worked or any(step.started_at for step in fold.live.steps)
    return None if begun or fold.boundary or spec.begin is None else _base(spec)


def _base(spec: RunSpec) -> Target:
    """What the iteration starts from, and a restart returns to."""
    if spec.begin is not None:
        return Target.of(spec.begin)
    return Target(commit=spec.stands_on, head=spec.stands_on)
