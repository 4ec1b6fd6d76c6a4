"""The interpreter: one loop over the steps of a workflow, and a true end on every way out."""

from __future__ import annotations

import functools
import json
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import anyio

from agent_runner.agents import make_agent
from agent_runner.agents.protocol import Agent
from agent_runner.commands import Commands
from agent_runner.evidence import Evidence
from agent_runner.journal import Clock, Journal, RecordType
from agent_runner.models import ExitCode, Pause, PauseReason, RunStatus, Snapshot
from agent_runner.prompts import commit_message
from agent_runner.resume import Plan, make_plan
from agent_runner.spec import RunSpec
from agent_runner.steplog import StepLog
from agent_runner.steps import (
    AgentStepRun,
    Interrupted,
    RunPaused,
    StepFailed,
    StepResult,
    Tools,
    run_command,
)
from agent_runner.workflow.conditions import Values
from agent_runner.workflow.loader import load_workflow
from agent_runner.workflow.models import (
    CommandStep,
    InputError,
    Step,
    Workflow,
    WorkflowError,
    definition_digest,
    resolve_inputs,
)
from agent_runner.workflow.templates import Renderer
from agent_runner.worktree import Target, Worktree, WorktreeError

PAUSE_REQUEST = "pause-requested"
"""In the run folder: `{"reason": "requested", "message": "...", "attempt": 1}`, all optional.
Whoever stops the runner with a signal says here why; without it the run was interrupted."""

WORKFLOW_FILE = "workflow.yaml"


def utc_now() -> datetime:
    """The clock, where none is injected."""
    return datetime.now(UTC)


class Stop:
    """Asks a run to pause, from a signal handler's side. Asking twice changes nothing (E3)."""

    def __init__(self) -> None:
        self.requested = False
        self._scope: anyio.CancelScope | None = None

    def request(self) -> None:
        self.requested = True
        if self._scope is not None:
            self._scope.cancel()

    def attach(self, scope: anyio.CancelScope) -> None:
        self._scope = scope
        if self.requested:
            scope.cancel()


@dataclass
class Run:
    """One attempt. Everything that touches the world is injected."""

    spec: RunSpec
    journal: Journal
    commands: Commands
    evidence: Evidence
    stop: Stop = field(default_factory=Stop)
    clock: Clock = utc_now
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    agent: Callable[[str, Path], Agent] = make_agent

    def __post_init__(self) -> None:
        self._worktree = Worktree(self.spec, self.commands)
        self._snapshot: Snapshot | None = None
        self._current: Step | None = None
        self._warned: set[str] = set()
        self._ended = False

    async def execute(self) -> ExitCode:
        """Run to the end of the workflow, a pause or a failure; the journal says which."""
        try:
            return await self._execute()
        finally:
            if not self._ended:
                kind = sys.exc_info()[0]
                name = kind.__name__ if kind else "unknown"
                error = f"the runner itself failed ({name}); its log says more"
                self._end(RecordType.WORKFLOW_FAIL, {"step": self._step_id(), "error": error})

    async def _execute(self) -> ExitCode:
        try:
            workflow = load_workflow(self.spec.paths.spec / WORKFLOW_FILE)
            task = {"title": self.spec.title, "description": self.spec.description}
            inputs = resolve_inputs(workflow, {**task, **self.spec.inputs})
            plan = make_plan(self.journal.records, workflow, self.spec)
        except (OSError, ValueError, WorkflowError, InputError) as error:
            return await self._fail(f"the workflow cannot be run: {error}")
        if plan.state.status is RunStatus.COMPLETED:
            self._ended = True
            return ExitCode.COMPLETED
        self._snapshot = plan.state.snapshot
        self._begin(workflow, plan)
        values = Values(inputs, dict(plan.done))
        tools = self._tools(workflow, task)
        code = ExitCode.FAILED
        with anyio.CancelScope() as scope:
            self.stop.attach(scope)
            code = await self._until_end(tools, values, plan)
        if not scope.cancelled_caught:
            return code
        code = await self._pause(self._stopped())
        # Only here it was answered: one that came while the run paused by itself is the host's.
        (self.spec.paths.run / PAUSE_REQUEST).unlink(missing_ok=True)
        return code

    async def _until_end(self, tools: Tools, values: Values, plan: Plan) -> ExitCode:
        try:
            start = await self._ready(plan)
            await self._steps(tools, values, plan, start)
            return await self._complete()
        except RunPaused as paused:
            return await self._pause(paused.pause)
        except (StepFailed, WorktreeError) as error:
            return await self._fail(str(error))

    # --- before the first step ---

    def _begin(self, workflow: Workflow, plan: Plan) -> None:
        steps = [
            {"id": s.id, "name": s.name, "type": s.type, "digest": definition_digest(s)}
            for s in workflow.steps
        ]
        data = {"attempt": self.spec.attempt, "workflow": workflow.name, "steps": steps}
        self.journal.append(RecordType.RUN_START, data)
        if not plan.first:
            resumed = {"attempt": self.spec.attempt, "skipped": len(plan.done)}
            self.journal.append(RecordType.WORKFLOW_RESUME, resumed)
        for warning in plan.warnings:
            self._warn(warning)

    def _tools(self, workflow: Workflow, task: dict[str, str]) -> Tools:
        return Tools(
            spec=self.spec,
            workflow=workflow,
            journal=self.journal,
            commands=self.commands,
            evidence=self.evidence,
            renderer=Renderer(task, self._warn),
            make_agent=functools.cache(self._agent),
            clock=self.clock,
            sleep=self.sleep,
            new_id=self.new_id,
            warn=self._warn,
        )

    def _agent(self, name: str) -> Agent:
        return self.agent(name, self.spec.paths.spec)

    async def _ready(self, plan: Plan) -> Snapshot | None:
        """The work tree as the next step needs it; a snapshot of it where it is not the base."""
        prepared = await self._worktree.prepare()
        kept = f"{self.spec.iteration}-{self.spec.attempt}"
        if prepared.repaired:
            if self.spec.restore is not None:
                await self._worktree.adopt(self.spec.restore.head)
            self._warn("the work tree's repository was damaged and made again; its files were kept")
        elif not prepared.found and (restore := self.spec.restore) is not None:
            target = Target(restore.commit, restore.head)
            await self._worktree.reset(target, keep_as="", restore=True)
            self._warn("the work tree was lost; it was restored from its last snapshot")
        if plan.first:
            return await self._try_snapshot() if self.spec.iteration > 1 else None
        if plan.interrupted is None and plan.target is not None:
            if await self._worktree.reset(plan.target, keep_as=kept):
                self._warn(
                    "the work tree differed from the last finished step's and was reset to it; "
                    f"what was there is kept as refs/rover/kept/{kept}"
                )
        elif plan.target is None:
            self._warn("the last finished step has no snapshot; the work tree was left as it is")
        return None

    # --- the loop ---

    async def _steps(
        self, tools: Tools, values: Values, plan: Plan, start: Snapshot | None
    ) -> None:
        steps = cast("dict[str, dict[str, str]]", values.steps)
        interrupted = plan.interrupted
        for step in tools.workflow.steps:
            if step.id in plan.done:
                continue
            if step.condition is not None and not step.condition.holds(values):
                self.journal.append(
                    RecordType.STEP_SKIP, {"step": step.id, "detail": "its condition is false"}
                )
                steps[step.id] = {}
                continue
            self._current = step
            data: dict[str, object] = {"step": step.id}
            if start is not None:
                data["start_snapshot"] = start.model_dump(mode="json")
                start = None
            self.journal.append(RecordType.STEP_START, data)
            result = await self._with_retries(step, tools, values, interrupted)
            interrupted = None
            steps[step.id] = dict(result.outputs)
            with anyio.CancelScope(shield=True):
                await self._finished(step, result)
            self._current = None

    async def _with_retries(
        self, step: Step, tools: Tools, values: Values, interrupted: Interrupted | None
    ) -> StepResult:
        path = self.spec.paths.run / "logs" / f"{step.id}.log"
        with StepLog(path, self.spec.limits.log_bytes) as log:
            log.line(f"--- attempt {self.spec.attempt}, {self.clock().isoformat()}")
            left = step.retries
            while True:
                try:
                    if isinstance(step, CommandStep):
                        return await run_command(step, tools, values, log)
                    done = list(values.steps)
                    return await AgentStepRun(step, tools, values, log, done).run(interrupted)
                except StepFailed as error:
                    log.line(f"failed: {error}")
                    if not left:
                        raise
                    self._warn(f"step {step.id} failed: {error}; {left} more to try")
                    interrupted = Interrupted(error.session, str(error)) if error.session else None
                    left -= 1

    async def _finished(self, step: Step, result: StepResult) -> None:
        snapshot = await self._try_snapshot()
        self.journal.append(
            RecordType.STEP_COMPLETE,
            {
                "step": step.id,
                "outputs": dict(result.outputs),
                "snapshot": snapshot.model_dump(mode="json") if snapshot else None,
                "detail": result.detail,
            },
            flush=True,
        )

    # --- the ends ---

    async def _complete(self) -> ExitCode:
        spec = self.spec
        message = commit_message(spec.title, spec.number, spec.iteration)
        with anyio.CancelScope(shield=True):
            try:
                await self._worktree.finish(message)
                self._snapshot, _ = await self._worktree.snapshot(self._snapshot)
            except OSError as error:
                raise WorktreeError(f"the result could not be saved: {error}") from error
        snapshot = self._snapshot.model_dump(mode="json") if self._snapshot else None
        return self._end(RecordType.WORKFLOW_COMPLETE, {"snapshot": snapshot}, ExitCode.COMPLETED)

    async def _fail(self, error: str) -> ExitCode:
        step = self._step_id()
        if step is not None:
            self.journal.append(RecordType.STEP_FAIL, {"step": step, "error": error})
        data = {"step": step, "error": error, "snapshot": await self._last_snapshot()}
        return self._end(RecordType.WORKFLOW_FAIL, data)

    async def _pause(self, pause: Pause) -> ExitCode:
        data: dict[str, object] = {
            "pause": pause.model_dump(mode="json"),
            "snapshot": await self._last_snapshot(),
        }
        return self._end(RecordType.WORKFLOW_PAUSE, data, ExitCode.PAUSED)

    def _end(
        self, kind: RecordType, data: Mapping[str, object], code: ExitCode = ExitCode.FAILED
    ) -> ExitCode:
        """The last record. An end that is not on disk has not happened (E2)."""
        self._ended = True
        if self.journal.append(kind, data, flush=True):
            return code
        sys.stderr.write(f"agent-runner: the journal could not be written, so {kind} is lost\n")
        return ExitCode.FAILED

    async def _last_snapshot(self) -> dict[str, object] | None:
        """A snapshot of the tree as the run leaves it, if it came as far as having one."""
        if self._current is None:
            return None
        snapshot: Snapshot | None = None
        with anyio.CancelScope(shield=True):
            snapshot = await self._try_snapshot()
        return snapshot.model_dump(mode="json") if snapshot else None

    async def _try_snapshot(self) -> Snapshot | None:
        try:
            snapshot, complete = await self._worktree.snapshot(self._snapshot)
        except (WorktreeError, OSError) as error:
            self._warn(f"no snapshot of the work tree: {error}")
            return None
        if not complete:
            self._warn(
                "the snapshot lacks files that git cannot add: unreadable ones, or those of a "
                "repository inside the work tree; have its .git folder removed to keep them"
            )
        self._snapshot = snapshot
        return snapshot

    def _stopped(self) -> Pause:
        reason, message = PauseReason.INTERRUPTED, "the runner was stopped by a signal"
        path = self.spec.paths.run / PAUSE_REQUEST
        if path.exists():
            reason, message = _requested(path, self.spec.attempt) or (reason, message)
        return Pause(reason=reason, message=message, since=self.clock(), step=self._step_id())

    def _step_id(self) -> str | None:
        return self._current.id if self._current else None

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self.journal.append(RecordType.WARNING, {"message": message})


def _requested(path: Path, attempt: int) -> tuple[PauseReason, str] | None:
    """What a pause request says; None if it was meant for another attempt."""
    reason, message = PauseReason.REQUESTED, "paused on request"
    try:
        raw: object = json.loads(path.read_bytes())
        data = cast("dict[str, object]", raw if isinstance(raw, dict) else {})
        if data.get("attempt", attempt) != attempt:
            return None
        return PauseReason(str(data.get("reason", reason))), str(data.get("message", message))
    except (OSError, ValueError):
        return reason, message
