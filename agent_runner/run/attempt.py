"""Runs one attempt, from its first record to its last: prepares the work tree, has the interpreter
run the steps, and records a true end on every way out."""

from __future__ import annotations

import functools
import json
import sys
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import anyio

from agent_runner.agents import define_agents, make_agent
from agent_runner.agents.protocol import Agent
from agent_runner.crashpoints import CrashPoint, crash_point
from agent_runner.gateway_evidence import Evidence
from agent_runner.journal.journal import Clock, Journal
from agent_runner.journal.journal_reader import JournalError
from agent_runner.journal.record_lines import RecordType
from agent_runner.journal.run_state import MAX_WARNINGS, RunStateFold
from agent_runner.models import ExitCode, Pause, PauseReason, RunStatus, Snapshot
from agent_runner.process.commands import CommandKilled, CommandStarter
from agent_runner.run.agent_prompts import commit_message, iteration_description
from agent_runner.run.carried_steps import carried_records, lacks_carried
from agent_runner.run.checkpoints import Checkpoints
from agent_runner.run.interpreter import Interpreter, WorkflowFailed
from agent_runner.run.resume_plan import ResumePlan, make_plan, start_data
from agent_runner.run.step import RunPaused, Tools
from agent_runner.run.step_runner import StepRunner
from agent_runner.spec import Disk, RunSpec
from agent_runner.workflow.agents import chosen
from agent_runner.workflow.loader import load_workflow
from agent_runner.workflow.models import InputError, Workflow, WorkflowError, resolve_inputs
from agent_runner.workflow.step_hooks import with_hooks
from agent_runner.workflow.templates import Renderer
from agent_runner.worktree.disk_watch import out_of_space
from agent_runner.worktree.local_files import load_copies, place
from agent_runner.worktree.project_setup import SetupFailed, set_up_task
from agent_runner.worktree.script_runner import WorktreeError, WorktreeInterrupted
from agent_runner.worktree.worktree import Target, Worktree

PAUSE_REQUEST = "pause-requested"
"""A file in the run folder: `{"reason": "requested", "message": "...", "attempt": 1}`, all
optional. It says why the runner is stopped by a signal; without it the run was interrupted."""

RESTARTED = "the task was restarted: the work tree was reset to its base"
DIFFERED = "the work tree differed from the last finished step's and was reset to it"
LOST_FILES = "the work tree was changed while no step ran, and was reset to what the last one left"

WORKFLOW_FILE = "workflow.yaml"


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


class PauseRequest:
    """A request to pause the run, made by a signal handler. A second request changes nothing."""

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
    """One attempt. Everything with side effects is injected."""

    spec: RunSpec
    journal: Journal
    commands: CommandStarter
    evidence: Evidence
    stop: PauseRequest = field(default_factory=PauseRequest)
    clock: Clock = utc_now
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    agent: Callable[[str, Path], Agent] = make_agent

    def __post_init__(self) -> None:
        define_agents(self.spec.agents)
        self._worktree = Worktree(self.spec, self.commands)
        self._fold = RunStateFold()
        self._checkpoints: Checkpoints | None = None
        self._warned: deque[str] = deque(maxlen=MAX_WARNINGS)
        self._ended = self._is_forked = False

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
            workflow = with_hooks(workflow, self.spec.hooks)
            inputs = resolve_inputs(workflow, self._inputs())
            workflow = chosen(workflow, inputs)
            fold = self.journal.recovered.fold()
            if lacks_carried(fold, self.spec):
                self._carry(fold, workflow)
            plan = make_plan(fold, workflow, self.spec)
        except (OSError, ValueError, WorkflowError, InputError, JournalError) as error:
            return await self._fail(f"the workflow cannot be run: {error}")
        if plan.before.status is RunStatus.COMPLETED and not (plan.restart or self.spec.rebundle):
            self._ended = True
            return ExitCode.COMPLETED
        self._fold = fold
        self._begin(plan)
        code = ExitCode.FAILED
        with anyio.CancelScope() as scope:
            self.stop.attach(scope)
            code = await self._until_end(workflow, inputs, plan)
        if not scope.cancelled_caught:
            return code
        code = await self._pause(self._stopped())
        # Only here was the request obeyed. One that comes while the run pauses on its own is left
        # for the host.
        (self.spec.paths.run / PAUSE_REQUEST).unlink(missing_ok=True)
        return code

    async def _until_end(
        self, workflow: Workflow, inputs: Mapping[str, str], plan: ResumePlan
    ) -> ExitCode:
        try:
            await self._ready(plan)
            crash_point(CrashPoint.TREE_READY)
            last, first = plan.before.snapshot, self.spec.first_snapshot
            checkpoints = Checkpoints(self._worktree, last, first, self._warn)
            later = self.spec.iteration > 1 or self.spec.begin is not None
            new = plan.restart or (later and plan.untouched)
            start = await checkpoints.snapshot() if new else None
            self._checkpoints = checkpoints
            await self._interpreter(workflow, inputs, plan, checkpoints, start).run(workflow.steps)
            crash_point(CrashPoint.STEPS_DONE)
            return await self._complete(checkpoints)
        except RunPaused as paused:
            return await self._pause(paused.pause)
        except WorkflowFailed as failed:
            return await self._fail(str(failed), failed.step)
        except (WorktreeInterrupted, CommandKilled) as error:
            return await self._pause(self._interrupted(str(error)))
        except (WorktreeError, SetupFailed, OSError) as error:
            if message := out_of_space(self._disk(), str(error)):
                return await self._pause(self._interrupted(message))
            if isinstance(error, OSError):
                raise
            return await self._fail(str(error))

    def _disk(self) -> Disk:
        """The disks whose free space the run needs, even if its use of disk is not limited."""
        paths = self.spec.paths
        seen = {"folders": (paths.workspace,), "records": (paths.run,)}
        disk = self.spec.disk or Disk(limit_bytes=1, floor_bytes=0)
        return disk if disk.folders else disk.model_copy(update=seen)

    # --- before the first step ---

    def _task(self) -> dict[str, str]:
        return {"title": self.spec.title, "description": iteration_description(self.spec)}

    def _inputs(self) -> dict[str, str]:
        # The description among the inputs is the one that the task was created with.
        again = self._task() if self.spec.instructions else {}
        return {**self._task(), **self.spec.inputs, **again}

    def _carry(self, fold: RunStateFold, workflow: Workflow) -> None:
        """Record what the task that this one was forked from had finished: it is not done again,
        nor paid for."""
        start = start_data(workflow, self.spec.attempt)
        if fold.live.status is not RunStatus.NEW:
            # An attempt before this one was killed while it recorded the same.
            start["restart"] = True
        self.journal.follower = fold.add
        self.journal.append(RecordType.RUN_START, start)
        for kind, data in carried_records(self.spec, fold.live.steps):
            self.journal.append(kind, data)
        self._is_forked = True

    def _begin(self, plan: ResumePlan) -> None:
        self.journal.follower = self._fold.add
        self.journal.append(RecordType.RUN_START, plan.start)
        crash_point(CrashPoint.RUN_BEGUN)
        if not plan.first:
            resumed = {"attempt": self.spec.attempt, "skipped": plan.skipped}
            self.journal.append(RecordType.WORKFLOW_RESUME, resumed)
        for warning in plan.warnings:
            self._warn(warning)

    def _interpreter(
        self,
        workflow: Workflow,
        inputs: Mapping[str, str],
        plan: ResumePlan,
        checkpoints: Checkpoints,
        start: Snapshot | None,
    ) -> Interpreter:
        task = {**self._task(), "base_commit": self.spec.stands_on}
        renderer = Renderer(task, self._warn)
        return Interpreter(
            fold=self._fold,
            recorder=self.journal,
            tree=checkpoints,
            run_leaf=StepRunner(self._tools(workflow, renderer)).run,
            render=renderer.text,
            clock=self.clock,
            inputs=inputs,
            interrupted=dict(plan.interrupted),
            start=start,
            budget=self.spec.budget,
            spent=self.spec.spent,
        )

    def _tools(self, workflow: Workflow, renderer: Renderer) -> Tools:
        return Tools(
            spec=self.spec,
            workflow=workflow,
            journal=self.journal,
            commands=self.commands,
            evidence=self.evidence,
            renderer=renderer,
            # One object for each agent: it remembers the version that its program printed.
            make_agent=functools.cache(self._agent),
            clock=self.clock,
            sleep=self.sleep,
            new_id=self.new_id,
            warn=self._warn,
        )

    def _agent(self, name: str) -> Agent:
        return self.agent(name, self.spec.paths.spec)

    async def _ready(self, plan: ResumePlan) -> None:
        """Bring the work tree into the state that the next step needs."""
        prepared = await self._worktree.prepare()
        if prepared.repaired:
            if self.spec.restore is not None:
                await self._worktree.adopt(self.spec.restore.head)
            self._warn("the work tree's repository was damaged and made again; its files were kept")
        elif plan.begin is None and not prepared.existed and (restore := self.spec.restore):
            target = Target(restore.commit, restore.head)
            await self._worktree.reset(target, keep_as="", restore=True)
            if not self._is_forked:
                self._warn("the work tree was lost; it was restored from its last snapshot")
        if plan.begin is not None:
            await self._start_from(plan.begin, is_new=not prepared.existed)
        # Not earlier: only the restore bundle brings the objects of a new base.
        self._worktree.judge_from(self.spec.stands_on)
        await set_up_task(self.spec, self.commands, self._warn, new_tree=not prepared.existed)
        if plan.target is None and not plan.untouched:
            self._warn("the last finished step has no snapshot; the work tree was left as it is")
        elif plan.target is not None and not plan.first and not plan.interrupted:
            await self._reset(plan.target, RESTARTED if plan.restart else DIFFERED)
        elif plan.left is not None and plan.interrupted and prepared.existed:
            await self._reset(plan.left, LOST_FILES)
        await self._copy(overwrite=plan.restart)

    async def _copy(self, *, overwrite: bool) -> None:
        """Copy the files of the user's checkout that the project's configuration names."""
        if not self.spec.copies:
            return
        try:
            copies = load_copies(self.spec.paths.spec)
            wrong = await place(self.commands, copies, overwrite=overwrite)
        except (OSError, ValueError) as error:
            # The error's own text could hold a part of a file, which may be a secret.
            wrong = [f"the files to copy cannot be read ({type(error).__name__})"]
        for message in wrong:
            self._warn(message)

    async def _start_from(self, begin: Target, *, is_new: bool) -> None:
        """Make the work tree what the iteration starts from. What lay there is a snapshot already,
        so that no warning is due; changes that none holds are kept in the clone."""
        kept = "" if is_new else f"{self.spec.iteration}-{self.spec.attempt}"
        restore = self.spec.restore is not None
        await self._worktree.reset(begin, keep_as=kept, restore=restore)

    async def _reset(self, target: Target, why: str) -> None:
        kept = f"{self.spec.iteration}-{self.spec.attempt}"
        restore = self.spec.restore is not None
        if await self._worktree.reset(target, keep_as=kept, restore=restore):
            self._warn(f"{why}; what was there is kept as refs/rover/kept/{kept}")

    # --- the ends ---

    async def _complete(self, checkpoints: Checkpoints) -> ExitCode:
        spec = self.spec
        state = self._fold.live
        verdict, used = state.verdict, spec.spent.plus(state.usage)
        message = commit_message(spec, used, verdict, state.summary)
        data: dict[str, object] = {}
        # A stop that arrives now must not lose the result.
        with anyio.CancelScope(shield=True):
            snapshot = await checkpoints.finish(message, always=verdict is not None)
            data["snapshot"] = snapshot.model_dump(mode="json")
        return self._end(RecordType.WORKFLOW_COMPLETE, data, ExitCode.COMPLETED)

    async def _fail(self, error: str, step: str | None = None) -> ExitCode:
        data = {"step": step, "error": error, "snapshot": await self._last_snapshot()}
        return self._end(RecordType.WORKFLOW_FAIL, data)

    async def _pause(self, pause: Pause) -> ExitCode:
        crash_point(CrashPoint.PAUSING)
        data: dict[str, object] = {
            "pause": pause.model_dump(mode="json"),
            "snapshot": await self._last_snapshot(),
        }
        return self._end(RecordType.WORKFLOW_PAUSE, data, ExitCode.PAUSED)

    def _end(
        self, kind: RecordType, data: Mapping[str, object], code: ExitCode = ExitCode.FAILED
    ) -> ExitCode:
        """Write the last record. The run has ended only if that record is on disk."""
        # Also if the write fails: a second last record would contradict the first, which may still
        # reach the disk.
        self._ended = True
        if self.journal.append(kind, data, flush=True):
            crash_point(CrashPoint.RUN_ENDED)
            return code
        sys.stderr.write(f"agent-runner: the journal could not be written, so {kind} is lost\n")
        return ExitCode.FAILED

    async def _last_snapshot(self) -> dict[str, object] | None:
        """A snapshot of the work tree as the run leaves it, if the run got to its steps."""
        snapshot: Snapshot | None = None
        if self._checkpoints is not None:
            with anyio.CancelScope(shield=True):
                snapshot = await self._checkpoints.snapshot()
        return snapshot.model_dump(mode="json") if snapshot else None

    def _stopped(self) -> Pause:
        pause = self._interrupted("the runner was stopped by a signal")
        path = self.spec.paths.run / PAUSE_REQUEST
        if path.exists() and (request := _requested(path, self.spec.attempt)):
            pause.reason, pause.message = request
        return pause

    def _interrupted(self, message: str) -> Pause:
        reason = PauseReason.INTERRUPTED
        return Pause(reason=reason, message=message, since=self.clock(), step=self._step_id())

    def _step_id(self) -> str | None:
        step = self._fold.live.current_step
        return step.id if step else None

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.append(message)
            self.journal.append(RecordType.WARNING, {"message": message})


def _requested(path: Path, attempt: int) -> tuple[PauseReason, str] | None:
    """Reason and message of a pause request; None if it was meant for another attempt."""
    reason, message = PauseReason.REQUESTED, "paused on request"
    try:
        raw: object = json.loads(path.read_bytes())
        data = cast("dict[str, object]", raw if isinstance(raw, dict) else {})
        if data.get("attempt", attempt) != attempt:
            return None
        return PauseReason(str(data.get("reason", reason))), str(data.get("message", message))
    except (OSError, ValueError):
        return reason, message
