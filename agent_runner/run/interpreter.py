"""Walks over a workflow's steps: decides what runs next, again, at the same time, or not at all.

It has no memory of its own: which steps are done, in which iteration, with which outputs, is in the
fold over the records that it writes. So a walk that was cut at any point continues at that point
when it starts again on the fold of what was written. How a step runs, and where the work tree is,
is injected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import anyio
import anyio.lowlevel

from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.journal.journal import Clock, Recorder
from agent_runner.journal.record_lines import RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import (
    Budget,
    Pause,
    PauseReason,
    Snapshot,
    StepStatus,
    Usage,
    verdict_line,
)
from agent_runner.run.step import Interrupted, RunPaused, StepFailed, StepResult
from agent_runner.run.step_place import PlacedRecorder, StepPlace
from agent_runner.workflow.conditions import Values
from agent_runner.workflow.models import (
    AgentStep,
    CommandOutput,
    CommandStep,
    LoopOutput,
    LoopStep,
    OnCycle,
    ParallelStep,
    Step,
)

Leaf = AgentStep | CommandStep


class WorkflowFailed(Exception):
    """A step at the top level failed that may not fail."""

    def __init__(self, step: str, error: str) -> None:
        super().__init__(error)
        self.step = step


class Tree(Protocol):
    """The work tree, as far as the walk needs it. Calls are done one at a time, in their order."""

    async def snapshot(self) -> Snapshot | None:
        """Record the tree as it is now; None, with a warning, if that fails."""
        ...

    async def commit(self, message: str) -> None:
        """Commit what is not committed on the task's branch; a failure is a warning."""
        ...

    async def before_read_only(self) -> None:
        """Note what `put_back` needs beside a snapshot; a failure is a warning."""
        ...

    async def put_back(self, before: Snapshot | None, step: str) -> None:
        """Undo what a step that only reads changed since the snapshot, with a warning."""
        ...


@dataclass(frozen=True)
class LeafRun:
    """One run of one leaf step. `recorder` adds the loops around it to its records; `done` are the
    steps that are finished; `interrupted` is set if the step is continued in the middle."""

    step: Leaf
    values: Values
    recorder: PlacedRecorder
    done: Sequence[str]
    interrupted: Interrupted | None = None


RunLeaf = Callable[[LeafRun], Awaitable[StepResult]]


@dataclass
class Interpreter:
    """One walk. `fold` has every record so far, and gets those that the walk writes.

    `interrupted` are the steps to continue in the middle, by id. `start` is the work tree before
    the first step, if that is not the task's base. `spent` is what the task has cost before.
    """

    fold: RunStateFold
    recorder: Recorder
    tree: Tree
    run_leaf: RunLeaf
    render: Callable[[str, Values], str]
    clock: Clock
    inputs: Mapping[str, str]
    interrupted: dict[str, Interrupted]
    start: Snapshot | None = None
    budget: Budget | None = None
    spent: Usage = field(default_factory=Usage)

    async def run(self, steps: Sequence[Step]) -> None:
        """Run the steps of a workflow that are not finished.

        Raises:
            WorkflowFailed: a step failed that may not fail.
            RunPaused: only time, money or a person can help.
        """
        for step in steps:
            if error := await self._step(step, StepPlace()):
                raise WorkflowFailed(step.id, error)

    async def _step(self, step: Step, place: StepPlace) -> str | None:
        """Run a step. Returns its error if it failed and may not fail."""
        state = self.fold.step(step.id)
        if state.finished:
            return None
        # A step that was under way had its condition looked at; its own sub-steps may have
        # changed what the condition sees.
        begun = state.started_at is not None
        if not begun and step.condition and not step.condition.holds(self._values()):
            data = {"step": step.id, "detail": "its condition is false"}
            self._append(RecordType.STEP_SKIP, data, place)
            return None
        if isinstance(step, LoopStep):
            return await self._loop(step, place)
        if isinstance(step, ParallelStep):
            return await self._parallel(step, place)
        return await self._leaf(step, place)

    # --- the three kinds ---

    async def _leaf(self, step: Leaf, place: StepPlace) -> str | None:
        # Only agents and commands cost anything, so the budget is checked before each of them.
        self._check_budget(step)
        await self._save_start(step)
        self._started(step, place)
        done = [s.id for s in self.fold.live.steps if s.status is StepStatus.COMPLETED]
        interrupted = self.interrupted.pop(step.id, None)
        placed = PlacedRecorder(self.recorder, place)
        try:
            result = await self.run_leaf(LeafRun(step, self._values(), placed, done, interrupted))
        except StepFailed as error:
            await self._put_back(step)
            return await self._failed(step, place, str(error), error.outputs)
        crash_point(CrashPoint.LEAF_RAN)
        await self._put_back(step)
        return await self._completed(step, place, result.outputs, result.detail)

    async def _loop(self, step: LoopStep, place: StepPlace) -> str | None:
        self._started(step, place)
        loop = self.fold.step(step.id)
        if not loop.iteration and step.max_iterations:
            self._iterate(step, place, 1)
        while iteration := loop.iteration:
            # If all steps of an iteration are skipped, nothing else here lets a cancellation in.
            await anyio.lowlevel.checkpoint()
            for index, inner in enumerate(step.steps):
                await self._step(inner, place.inside(step, iteration, index))
            if step.until is not None and step.until.holds(self._values()):
                return await self._loop_ended(step, place, met=True)
            tree = await self._watched_tree(step)
            if tree in loop.trees:
                return await self._loop_ended(step, place, cycle=True)
            if iteration >= step.max_iterations:
                break
            self._iterate(step, place, iteration + 1, tree)
        return await self._loop_ended(step, place)

    def _iterate(
        self, step: LoopStep, place: StepPlace, iteration: int, tree: str | None = None
    ) -> None:
        data: dict[str, object] = {"step": step.id, "iteration": iteration}
        if tree is not None:
            data["tree"] = tree
        self._append(RecordType.LOOP_ITERATION, data, place)
        crash_point(CrashPoint.ITERATION_BEGUN)

    async def _watched_tree(self, step: LoopStep) -> str | None:
        if step.on_cycle is OnCycle.IGNORE:
            return None
        with anyio.CancelScope(shield=True):
            snapshot = await self.tree.snapshot()
            return snapshot.tree if snapshot else None
        return None

    async def _loop_ended(
        self, step: LoopStep, place: StepPlace, *, met: bool = False, cycle: bool = False
    ) -> str | None:
        crash_point(CrashPoint.LOOP_LEFT)
        iterations = self.fold.step(step.id).iteration or 0
        outputs = {
            "iterations": str(iterations),
            "condition_met": str(met).lower(),
            "cycle": str(cycle).lower(),
        }
        if met or (cycle and step.on_cycle is OnCycle.END):
            return await self._completed(step, place, outputs, f"{iterations} iterations")
        if cycle:
            error = f"iteration {iterations} ended with the work tree of an earlier one"
        elif step.until is None:
            return await self._completed(step, place, outputs, f"{iterations} iterations")
        else:
            error = f"its condition did not hold after {iterations} iterations"
        if last := self._last_error(step):
            error += f"; last error: {last}"
        return await self._failed(step, place, error, outputs)

    def _last_error(self, step: LoopStep) -> str | None:
        """The last error in the last iteration, at any depth."""
        wrong = [
            (s.ended_at, f"step {s.id}: {s.error or s.detail or 'it did not succeed'}")
            for s in self.fold.within(step.id)
            if s.ended_at is not None
            and (s.status is StepStatus.FAILED or s.outputs.get("success") == "false")
        ]
        return max(wrong)[1] if wrong else None

    async def _parallel(self, step: ParallelStep, place: StepPlace) -> str | None:
        self._started(step, place)
        inside = StepPlace(place.loops, place.tolerant or step.allow_failure)
        free = anyio.Semaphore(step.limit)

        async def one(inner: Step) -> None:
            async with free:
                try:
                    await self._step(inner, inside)
                    crash_point(CrashPoint.PARALLEL_CHILD_DONE)
                except Exception:
                    # Before the semaphore is released: otherwise the next step would still start.
                    group.cancel_scope.cancel()
                    raise

        group = anyio.create_task_group()
        try:
            async with group:
                for inner in step.steps:
                    group.start_soon(one, inner)
        except ExceptionGroup as errors:
            raise _first(errors) from None
        crash_point(CrashPoint.PARALLEL_LEFT)
        states = [self.fold.step(s.id) for s in step.steps if not s.allow_failure]
        failed = [s for s in states if s.status is StepStatus.FAILED]
        if not failed:
            return await self._completed(step, place, {}, f"{len(step.steps)} steps")
        error = "; ".join(f"step {s.id}: {s.error}" for s in failed)
        return await self._failed(step, place, error, {})

    # --- beginning and end of a step ---

    async def _save_start(self, step: Leaf) -> None:
        """Record what the steps before left, if that failed when the last of them ended: otherwise
        this step could be repeated only on top of what it did the first time. A read-only step also
        needs the record, because the work tree is put back to it."""
        needed = self.fold.worked or step.read_only
        with anyio.CancelScope(shield=True):
            if needed and self.fold.boundary is None and self.start is None:
                self.start = await self.tree.snapshot()
            if step.read_only:
                await self.tree.before_read_only()

    async def _put_back(self, step: Leaf) -> None:
        if step.read_only:
            with anyio.CancelScope(shield=True):
                await self.tree.put_back(self.fold.boundary, step.id)

    def _started(self, step: Step, place: StepPlace) -> None:
        data: dict[str, object] = {"step": step.id}
        if self.start is not None:
            data["start_snapshot"] = self.start.model_dump(mode="json")
            self.start = None
        self._append(RecordType.STEP_START, data, place)
        crash_point(CrashPoint.STEP_STARTED)

    async def _completed(
        self, step: Step, place: StepPlace, outputs: Mapping[str, str], detail: str | None
    ) -> None:
        data: dict[str, object] = {"step": step.id, "outputs": dict(outputs), "detail": detail}
        if _falls_short(step, outputs):
            data |= self._verdict(step, outputs)
        # A stop that arrives now waits: a step that is done must not be run, and paid for, again.
        with anyio.CancelScope(shield=True):
            if step.commit is not None:
                await self.tree.commit(self.render(step.commit, self._values(step, outputs)))
                crash_point(CrashPoint.STEP_COMMITTED)
            if step.commit is not None or isinstance(step, Leaf):
                data["snapshot"] = await self._snapshot()
            self._append(RecordType.STEP_COMPLETE, data, place, flush=True)
            crash_point(CrashPoint.STEP_ENDED)

    async def _failed(
        self, step: Step, place: StepPlace, error: str, outputs: Mapping[str, str]
    ) -> str | None:
        tolerated = place.tolerant or step.allow_failure
        data: dict[str, object] = {"step": step.id, "error": error, "outputs": dict(outputs)}
        data["tolerated"] = tolerated
        data |= self._verdict(step, outputs)
        with anyio.CancelScope(shield=True):
            if tolerated and isinstance(step, Leaf):
                data["snapshot"] = await self._snapshot()
            self._append(RecordType.STEP_FAIL, data, place, flush=True)
            crash_point(CrashPoint.STEP_FAILED)
        return None if step.allow_failure else error

    def _verdict(self, step: Step, outputs: Mapping[str, str]) -> dict[str, str]:
        """The part of a step's last record that says what its failure means for the result."""
        if not isinstance(step, CommandStep | LoopStep) or step.verdict is None:
            return {}
        line = verdict_line(self.render(step.verdict, self._values(step, outputs)))
        return {"verdict": line or f"step {step.id} did not succeed"}

    async def _snapshot(self) -> dict[str, Any] | None:
        snapshot = await self.tree.snapshot()
        return snapshot.model_dump(mode="json") if snapshot else None

    def _append(
        self,
        kind: RecordType,
        data: Mapping[str, object],
        place: StepPlace,
        *,
        flush: bool = False,
    ) -> None:
        PlacedRecorder(self.recorder, place).append(kind, data, flush=flush)

    def _values(self, step: Step | None = None, outputs: Mapping[str, str] | None = None) -> Values:
        """What conditions and placeholders see: the outputs of each step's last end."""
        steps: dict[str, Mapping[str, str]] = {s.id: s.outputs for s in self.fold.live.steps}
        if step is not None and outputs is not None:
            steps[step.id] = outputs
        return Values(self.inputs, steps)

    def _check_budget(self, step: Step) -> None:
        spent = self.spent.plus(self.fold.live.usage)
        if self.budget is not None and (message := self.budget.used_up(spent)):
            pause = Pause(
                reason=PauseReason.BUDGET, message=message, since=self.clock(), step=step.id
            )
            raise RunPaused(pause)


def _falls_short(step: Step, outputs: Mapping[str, str]) -> bool:
    """Whether a step that completed nevertheless did not reach its goal."""
    if isinstance(step, LoopStep):
        return step.until is not None and outputs.get(LoopOutput.CONDITION_MET) == "false"
    return isinstance(step, CommandStep) and outputs.get(CommandOutput.SUCCESS) == "false"


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """The error that ends a parallel step: a pause before any other."""
    flat = list(_flat(errors))
    return next((e for e in flat if isinstance(e, RunPaused)), flat[0])


def _flat(error: Exception) -> Iterator[Exception]:
    if not isinstance(error, ExceptionGroup):
        yield error
        return
    for inner in cast("ExceptionGroup[Exception]", error).exceptions:
        yield from _flat(inner)
