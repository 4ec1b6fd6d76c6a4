"""Runs a leaf step of the workflow: with its log, its records, its disk limit and its retries."""

from __future__ import annotations

from dataclasses import replace

from agent_runner.journal.step_log import StepLog
from agent_runner.models import Pause, PauseReason
from agent_runner.run.agent_step import AgentStepRun
from agent_runner.run.interpreter import LeafRun
from agent_runner.run.step import Interrupted, RunPaused, StepFailed, StepResult, Tools, run_command
from agent_runner.workflow.models import CommandStep
from agent_runner.worktree.disk_watch import RAISE_FIRST, DiskExceeded, DiskWatch, HostFull


class StepRunner:
    """Runs the agent and command steps of one attempt."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        disk = tools.spec.disk
        self._disk = DiskWatch(disk) if disk and disk.folders else None

    async def run(self, turn: LeafRun) -> StepResult:
        """Run one step, and again as often as the workflow allows it to fail.

        Raises:
            StepFailed: the last try failed, too.
            RunPaused: only time, money or a person can help.
        """
        spec = self._tools.spec
        tools = replace(self._tools, journal=turn.recorder)
        path = spec.paths.run / "logs" / f"{turn.step.id}.log"
        with StepLog(path, spec.limits.log_bytes, tools.warn) as log:
            log.line(f"--- attempt {spec.attempt}{_iterations(turn)}, {tools.clock().isoformat()}")
            interrupted, left = turn.interrupted, turn.step.retries
            while True:
                try:
                    return await self._watched(turn, tools, log, interrupted)
                except StepFailed as error:
                    log.line(f"failed: {error}")
                    if not left:
                        raise
                    tools.warn(f"step {turn.step.id} failed: {error}; {left} more to try")
                    interrupted = Interrupted(error.session, str(error)) if error.session else None
                    left -= 1

    async def _watched(
        self, turn: LeafRun, tools: Tools, log: StepLog, interrupted: Interrupted | None
    ) -> StepResult:
        if self._disk is None:
            return await _once(turn, tools, log, interrupted)
        try:
            return await self._on_disk(self._disk, turn, tools, log, interrupted)
        except DiskExceeded as error:
            if error.by_step:
                raise StepFailed(f"{error}; the step was stopped") from error
            message = f"{error}; {RAISE_FIRST}"
            raise _paused(PauseReason.BUDGET, message, turn, tools, log) from error
        except HostFull as error:
            raise _paused(PauseReason.INTERRUPTED, str(error), turn, tools, log) from error

    async def _on_disk(
        self,
        disk: DiskWatch,
        turn: LeafRun,
        tools: Tools,
        log: StepLog,
        interrupted: Interrupted | None,
    ) -> StepResult:
        """Run the step and watch the disk. A failure on a full disk says nothing of the step, so it
        is not a result that a loop could act on."""
        try:
            result = await disk.run(lambda: _once(turn, tools, log, interrupted))
        except StepFailed:
            disk.check_free()
            raise
        if result.outputs.get("success") == "false":
            disk.check_free()
        return result


def _paused(
    reason: PauseReason, message: str, turn: LeafRun, tools: Tools, log: StepLog
) -> RunPaused:
    log.line(f"stopped: {message}")
    return RunPaused(Pause(reason=reason, message=message, since=tools.clock(), step=turn.step.id))


async def _once(
    turn: LeafRun, tools: Tools, log: StepLog, interrupted: Interrupted | None
) -> StepResult:
    if isinstance(turn.step, CommandStep):
        return await run_command(turn.step, tools, turn.values, log)
    loops = [(p["step"], p["iteration"]) for p in turn.recorder.place.loops]
    run = AgentStepRun(turn.step, tools, turn.values, log, turn.done, loops)
    return await run.run(interrupted)


def _iterations(turn: LeafRun) -> str:
    """The iterations of the loops around the step, for the log."""
    return "".join(f", {p['step']} {p['iteration']}" for p in turn.recorder.place.loops)
