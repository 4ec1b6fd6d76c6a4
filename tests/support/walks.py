"""The interpreter and the planner on a journal and a work tree in memory: no git, no processes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from agent_runner.journal.record_lines import Record, RecordType
from agent_runner.journal.run_state import RunStateFold
from agent_runner.models import AgentSession, Budget, RunState, Snapshot, Usage, loop_positions
from agent_runner.run.interpreter import Interpreter, LeafRun, WorkflowFailed
from agent_runner.run.resume_plan import ResumePlan, make_plan
from agent_runner.run.step import RunPaused, StepFailed, StepResult
from agent_runner.spec import GatewaySpec, Paths, RunSpec, WrapCommand
from agent_runner.workflow import conditions
from agent_runner.workflow.models import AgentStep, CommandStep, Defaults, Step, Workflow

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
BASE = "b" * 40

Place = tuple[tuple[str, int], ...]
"""The loops around a step and their iterations, outermost first."""

Act = Callable[["SimulatedRun", LeafRun, Place], Awaitable[StepResult]]


def agent(step_id: str, **more: Any) -> AgentStep:
    return AgentStep(step_id, step_id.upper(), "prompt", **more)


def command(step_id: str, **more: Any) -> CommandStep:
    return CommandStep(step_id, step_id.upper(), "true", **more)


def when(text: str) -> conditions.Condition:
    return conditions.parse(text)


def workflow(*steps: Step) -> Workflow:
    return Workflow("w", "", (), (), Defaults(), None, steps)


def run_spec(**changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "task_id": "0" * 32,
        "number": 1,
        "iteration": 1,
        "attempt": 1,
        "title": "t",
        "description": "d",
        "branch": "b",
        "base_commit": BASE,
        "agent": "claude",
        "paths": Paths(spec=Path("/s"), run=Path("/r")),
        "gateway": GatewaySpec(socket=Path("/g"), token="t"),
        "isolation": WrapCommand(prefix=[], forwarder=[]),
    }
    return RunSpec(**values | changes)


@dataclass
class MemoryTree:
    """Files by name. Every snapshot ever taken can be gone back to."""

    files: dict[str, str] = field(default_factory=dict)
    taken: dict[str, dict[str, str]] = field(default_factory=lambda: {BASE: {}})
    commits: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    number: int = 0
    broken: bool = False

    async def snapshot(self) -> Snapshot | None:
        await anyio.lowlevel.checkpoint()
        if self.broken:
            return None
        digest = hashlib.sha1(json.dumps(self.files, sort_keys=True).encode()).hexdigest()
        self.number += 1
        self.taken[digest] = dict(self.files)
        return Snapshot(
            sequence=self.number,
            commit=digest,
            tree=digest,
            bundle=f"{self.number:06}.bundle",
            head=BASE,
        )

    async def commit(self, message: str) -> None:
        self.commits.append(message)

    async def before_read_only(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def put_back(self, before: Snapshot | None, step: str) -> None:
        await anyio.lowlevel.checkpoint()
        if before is not None and self.files != self.taken[before.tree]:
            self.files = dict(self.taken[before.tree])
            self.undone.append(step)


@dataclass
class SimulatedRun:
    """One task: its records, its tree, and what its steps do."""

    workflow: Workflow
    act: Act
    records: list[Record] = field(default_factory=list)
    tree: MemoryTree = field(default_factory=MemoryTree)
    attempt: int = 0
    ran: list[tuple[str, Place]] = field(default_factory=list)
    files_at: list[dict[str, str]] = field(default_factory=list)
    stop_after: int | None = None
    on_record: Callable[[Record], None] = lambda record: None
    plan: ResumePlan | None = None

    def __post_init__(self) -> None:
        self._fold = RunStateFold()
        self._scope: anyio.CancelScope | None = None

    def append(self, kind: RecordType, data: Mapping[str, Any], *, flush: bool = False) -> bool:
        loop_positions(data)
        seq = len(self.records) + 1
        stored = json.loads(json.dumps(data))
        record = Record(seq, NOW + timedelta(seconds=seq), kind, stored)
        self._fold.add(record)
        self.records.append(record)
        self.files_at.append(dict(self.tree.files))
        self.on_record(record)
        if self.stop_after == seq and self._scope is not None:
            self._scope.cancel()
        return True

    def start(self, *, budget: Budget | None = None, spent: Usage | None = None) -> str:
        """Run the next attempt to its end: completed, paused, failed or stopped."""
        return anyio.run(self._start, budget, spent or Usage())

    async def _start(self, budget: Budget | None, spent: Usage) -> str:
        self.attempt += 1
        found = RunStateFold.of(self.records)
        self.plan = plan = make_plan(found, self.workflow, run_spec(attempt=self.attempt))
        if not plan.first and not plan.interrupted and plan.target is not None:
            self.tree.files = dict(self.tree.taken[plan.target.tree or plan.target.commit])
        self._fold = found
        self.append(RecordType.RUN_START, plan.start)
        if not plan.first:
            resumed = {"attempt": self.attempt, "skipped": plan.skipped}
            self.append(RecordType.WORKFLOW_RESUME, resumed)
        walk = Interpreter(
            fold=found,
            recorder=self,
            tree=self.tree,
            run_leaf=self._leaf,
            render=lambda text, values: text,
            clock=lambda: NOW,
            inputs={},
            interrupted=dict(plan.interrupted),
            budget=budget,
            spent=spent,
        )
        with anyio.CancelScope() as self._scope:
            return await self._end(walk)
        return "stopped"

    async def _end(self, walk: Interpreter) -> str:
        try:
            await walk.run(self.workflow.steps)
        except RunPaused as paused:
            pause = {"pause": paused.pause.model_dump(mode="json"), "snapshot": None}
            self.append(RecordType.WORKFLOW_PAUSE, pause)
            return "paused"
        except WorkflowFailed as failed:
            data = {"step": failed.step, "error": str(failed), "snapshot": None}
            self.append(RecordType.WORKFLOW_FAIL, data)
            return "failed"
        self.append(RecordType.WORKFLOW_COMPLETE, {"snapshot": None})
        return "completed"

    async def _leaf(self, turn: LeafRun) -> StepResult:
        place = tuple((str(p["step"]), int(p["iteration"])) for p in turn.recorder.place.loops)
        self.ran.append((turn.step.id, place))
        return await self.act(self, turn, place)

    @property
    def state(self) -> RunState:
        return RunStateFold.of(self.records).state

    def outputs(self) -> dict[str, dict[str, str]]:
        return {s.id: s.outputs for s in self.state.steps}

    def finished(self) -> list[tuple[str, Place]]:
        """The steps that ended and behind which the run went on, in their order."""
        ends = {RecordType.STEP_COMPLETE, RecordType.STEP_SKIP}
        return [
            (r.data["step"], tuple((p.step, p.iteration) for p in loop_positions(r.data)))
            for r in self.records
            if r.type in ends or (r.type is RecordType.STEP_FAIL and r.data["tolerated"])
        ]

    def types(self) -> list[str]:
        return [str(r.type) for r in self.records]


def session(step_id: str) -> dict[str, Any]:
    found = AgentSession(agent="claude", session_id=f"session of {step_id}")
    return {"step": step_id, "session": found.model_dump(mode="json")}


def scripted(**turns: Sequence[Mapping[str, str] | Exception | None]) -> Act:
    """Each step's turns, the last of them again and again: outputs, an error, or None for none.
    A step that is not named has no outputs."""
    calls: dict[str, int] = {}

    async def act(walk: SimulatedRun, turn: LeafRun, place: Place) -> StepResult:
        step_id = turn.step.id
        number = calls[step_id] = calls.get(step_id, 0) + 1
        await anyio.lowlevel.checkpoint()
        mine = turns.get(step_id, [None])
        chosen = mine[min(number, len(mine)) - 1]
        walk.tree.files[step_id] = str(number)
        if isinstance(chosen, Exception):
            raise chosen
        return StepResult(dict(chosen or {}))

    return act


def fails(message: str = "broken", **outputs: str) -> StepFailed:
    error = StepFailed(message)
    error.outputs = outputs
    return error
