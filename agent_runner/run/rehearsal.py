"""Walks through a workflow without any agent, command or work tree, to show what would run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import anyio

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import Snapshot, loop_positions
from agent_runner.run.interpreter import Interpreter, LeafRun, WorkflowFailed
from agent_runner.run.resume_plan import start_data
from agent_runner.run.step import StepResult
from agent_runner.workflow.models import AgentStep, CommandOutput, Step, Workflow, walk
from agent_runner.workflow.output_examples import examples_of, waited_for
from agent_runner.workflow.templates import Renderer

MAX_SCENES = 500
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
Kind = Literal["begins", "runs", "iteration", "skipped"]


@dataclass(frozen=True)
class RehearsedStep:
    """One thing that would happen. `text` is the prompt or the command with its values; `outputs`
    are invented. `depth` counts the steps around it; `iteration` is that of a loop."""

    kind: Kind
    step: Step
    depth: int
    text: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    iteration: int = 0


class _TooManyScenes(Exception):
    """The walk has more scenes than anybody reads."""


class _NoTree:
    """A work tree that does not exist."""

    async def snapshot(self) -> Snapshot | None:
        return None

    async def commit(self, message: str) -> None:
        """Nothing is there to commit."""

    async def before_read_only(self) -> None:
        """Nothing can change."""

    async def put_back(self, before: Snapshot | None, step: str) -> None:
        """Nothing has changed."""


@dataclass
class _Rehearsal:
    workflow: Workflow
    renderer: Renderer
    scenes: list[RehearsedStep] = field(default_factory=list[RehearsedStep])
    fold: RunStateFold = field(default_factory=RunStateFold)
    _depths: dict[str, int] = field(default_factory=dict[str, int])
    _steps: dict[str, Step] = field(default_factory=dict[str, Step])
    _records: int = 0

    def __post_init__(self) -> None:
        for step, parent in walk(self.workflow.steps):
            self._depths[step.id] = self._depths[parent] + 1 if parent else 0
            self._steps[step.id] = step

    def append(self, kind: RecordType, data: Mapping[str, Any], *, flush: bool = False) -> bool:
        loop_positions(data)
        self._records += 1
        self.fold.add(Record(self._records, _LONG_AGO, kind, data))
        if kind is RecordType.STEP_SKIP:
            self._add("skipped", data["step"])
        elif kind is RecordType.LOOP_ITERATION:
            self._add("iteration", data["step"], iteration=data["iteration"])
        elif kind is RecordType.STEP_START and self._steps[data["step"]].type in (
            "loop",
            "parallel",
        ):
            self._add("begins", data["step"])
        return True

    async def leaf(self, turn: LeafRun) -> StepResult:
        step, values = turn.step, turn.values
        if isinstance(step, AgentStep):
            text = self.renderer.text(step.prompt, values)
            outputs = {e.name: e.value for e in examples_of(step, self.workflow)}
        else:
            text = " ".join(self.renderer.text(t, values) for t in (step.command, *step.args))
            outputs = _ended(step.id, self.workflow)
        self._add("runs", step.id, text=text, outputs=outputs)
        return StepResult(outputs)

    def _add(self, kind: Kind, step: str, **more: Any) -> None:
        if len(self.scenes) >= MAX_SCENES:
            raise _TooManyScenes
        self.scenes.append(RehearsedStep(kind, self._steps[step], self._depths[step], **more))


def _ended(step: str, workflow: Workflow) -> dict[str, str]:
    """The outputs of a command that succeeds, or fails if a loop waits for that."""
    waited = next(waited_for(step, CommandOutput.SUCCESS, workflow), "true")
    fails = waited in ("false", "no", "off")
    return {
        CommandOutput.STDOUT.value: "",
        CommandOutput.STDERR.value: "",
        CommandOutput.EXIT_CODE.value: "1" if fails else "0",
        CommandOutput.SUCCESS.value: "false" if fails else "true",
    }


def rehearse(
    workflow: Workflow, inputs: Mapping[str, str], task: Mapping[str, str]
) -> tuple[list[RehearsedStep], bool]:
    """What would happen if every command succeeded and every agent gave its outputs, and whether
    that is complete. `task` are the task's values for placeholders."""
    rehearsal = _Rehearsal(workflow, Renderer(task, warn=lambda message: None))
    rehearsal.append(RecordType.RUN_START, start_data(workflow, 1))
    walk_through = Interpreter(
        fold=rehearsal.fold,
        recorder=rehearsal,
        tree=_NoTree(),
        run_leaf=rehearsal.leaf,
        render=lambda text, values: text,
        clock=lambda: _LONG_AGO,
        inputs=inputs,
        interrupted={},
    )
    try:
        anyio.run(walk_through.run, workflow.steps)
    except _TooManyScenes:
        return rehearsal.scenes, False
    except WorkflowFailed:
        # A loop waits for a value that was not invented: the walk is shown up to there.
        return rehearsal.scenes, True
    return rehearsal.scenes, True
