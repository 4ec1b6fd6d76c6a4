"""The end of an attempt: its work is imported, and what follows is decided and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from agent_runner.crashpoints import crash_point
from agent_runner.models import ExitCode, PauseReason, RunState, RunStatus, Snapshot
from agent_runner.worktree.disk_watch import FULL, out_of_space
from rover_mcp.config.limits import disk_limit
from rover_mcp.control.account_verdicts import AccountVerdicts
from rover_mcp.control.attempt_context import (
    UNSETTLED,
    AttemptContext,
    now,
    with_hint,
)
from rover_mcp.control.checkpoint import T, with_hub
from rover_mcp.control.control_points import ControlPoint
from rover_mcp.control.control_ports import NextRound
from rover_mcp.control.decide import (
    ENDS_SOMETIME,
    Decision,
    Fail,
    Finish,
    PauseFor,
    decide,
    for_disk,
)
from rover_mcp.control.journal_watch import UNREADABLE, read_state
from rover_mcp.control.resolution_rounds import after_round
from rover_mcp.control.task_packages import keep_packages
from rover_mcp.control.work_delivery import WorkDelivery
from rover_mcp.domain.attempt_state import OPEN, AttemptState
from rover_mcp.domain.disk_full_error import DISK_FULL
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.iteration import with_earlier
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_links import resolves_conflicts
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.domain.text import plain
from rover_mcp.sandbox.protocol import SandboxExit
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.usage import with_usage

SET_ASIDE = "resume_task sets a damaged one aside and runs the iteration from its start"


class AttemptFinish:
    """Imports the work of an attempt and records what follows. Every method is idempotent: DBOS
    runs a step again that was in flight when the daemon died."""

    def __init__(self, context: AttemptContext) -> None:
        self._context = context
        self._accounts = AccountVerdicts(context)
        self._work = WorkDelivery(context)

    def settle(self, task_id: str, attempt: int, ended: SandboxExit) -> int | None:
        """Import the work and decide what follows. Return the number of the attempt that resumes
        the task automatically, at its `retry_at`, or None.

        Raises:
            DamagedRecord: this version does not know the attempt's state.
        """
        crash_point(ControlPoint.SANDBOX_ENDED)
        self._context.check_record(task_id, attempt)
        task = self._context.task(task_id)
        if task.attempt == attempt and task.status in UNSETTLED:
            self._context.live.refresh(task_id)
            # Before the status changes: from then on the next attempt may open its own gateway,
            # which a later close would end.
            self._context.gateway.close(task_id)
            self._conclude(task, attempt, ended)
            self._context.live.forget(task_id)
        crash_point(ControlPoint.STATUS_CHANGED)
        self._context.end(task_id, attempt, ended, "")
        crash_point(ControlPoint.ATTEMPT_ENDED)
        # Last: until the end is recorded, a daemon that takes over has to find the sandbox.
        self._context.remove_sandbox(task, attempt)
        return self.scheduled(task_id)

    def give_up(self, task_id: str, attempt: int, error: RoverError) -> None:
        """Give up an attempt that the control plane cannot carry out. The task fails; one that was
        paused and only waited for this attempt stays paused until a person resumes it."""
        self._context.check_record(task_id, attempt)
        task = self._context.task(task_id)
        self._context.remove_sandbox(task, attempt)
        if task.attempt == attempt:
            self._context.gateway.close(task_id)
        if self._context.fail(task_id, attempt, error) is None and task.status is TaskStatus.PAUSED:
            self._context.store.attempts.drop_schedule(task_id)
            self._context.warn(task, f"it does not resume automatically: {with_hint(error)}")
        self._context.store.attempts.move(
            task_id, attempt, OPEN, state=AttemptState.ENDED, ended_at=time.time(),
            detail=error.message,
        )  # fmt: skip

    def import_snapshots(self, task: TaskRow) -> Snapshot | None:
        """Import what the sandbox has committed so far; the last snapshot."""
        return self.from_hub(task, lambda last: last)

    def from_hub(self, task: TaskRow, work: Callable[[Snapshot | None], T]) -> T:
        """Do `work` with the last snapshot, see checkpoint.with_hub."""
        folders = TaskFolders(self._context.settings.home, task.id, task.iteration)
        return with_hub(task, folders, self._context.hub_of(task.project_id), work)

    def _conclude(self, task: TaskRow, attempt: int, ended: SandboxExit) -> None:
        folders = TaskFolders(self._context.settings.home, task.id, task.iteration)
        decision, state, retries = self._judge(task, attempt, ended)
        decision = self._work.deliver(task, folders, decision, state)
        base = self._context.hub_of(task.project_id).tree(task.base_commit)
        keep_packages(
            self._context.settings, task, attempt, base, self._context.engines[task.engine]
        )
        refused = False
        if isinstance(decision, Finish) and resolves_conflicts(task.links):
            followed = after_round(self._context, task, state)
            if isinstance(followed, NextRound):
                self._next_round(task, attempt, followed, state)
                return
            decision = followed
        if isinstance(decision, Finish):
            after = self._complete(task, attempt, state)
        elif isinstance(decision, Fail):
            data = {"error": decision.error}
            after = self._context.store.transitions.apply(
                task.id, Event.FAIL, attempt=attempt, data=data,
                run_state=state, error=decision.error,
            )  # fmt: skip
        else:
            decision, closing = self._accounts.closing(task, attempt, decision, state)
            awaits = self._accounts.awaits(task, attempt, decision, retries)
            after = self._context.pause(
                task, attempt, decision, state, retries=retries, awaits=awaits, closes=closing
            )
            refused = closing is not None
            if refused:
                crash_point(ControlPoint.HOLD_PLACED)
        if not refused:
            self._accounts.record_verdict(task, attempt, decision, state)
        if after is None:
            # The task was cancelled, perhaps just now. Its work until then is kept.
            self._context.store.tasks.update(task.id, run_state=state)

    def _complete(self, task: TaskRow, attempt: int, state: RunState) -> TaskRow | None:
        data = {"verdict": state.verdict} if state.verdict else {}
        return self._context.store.transitions.apply(
            task.id, Event.COMPLETE, attempt=attempt, data=data, run_state=state, auto_retries=0
        )

    def _next_round(
        self, task: TaskRow, attempt: int, following: NextRound, state: RunState
    ) -> None:
        begun = self._context.store.transitions.iterate(
            task.id, attempt, None, following.given, Event.NEXT_ROUND,
            inputs=dict(following.inputs),
        )  # fmt: skip
        if begun is None:
            self._context.store.tasks.update(task.id, run_state=state)  # it was cancelled

    def scheduled(self, task_id: str) -> int | None:
        """The attempt with which the task continues automatically, if there is one."""
        states = (AttemptState.SCHEDULED, AttemptState.QUEUED)
        waiting = self._context.store.attempts.in_states(states)
        return next((a.attempt for a in waiting if a.task_id == task_id), None)

    def _last_output(self, task: TaskRow, attempt: int) -> str:
        """The last output of a runner that ended before its journal began."""
        try:
            printed = self._context.engines[task.engine].logs(sandbox_name(task.id, attempt), 5)
        except EnvironmentFault:
            return ""
        return f"the runner did not start: {plain(printed)[-1000:].strip()}" if printed else ""

    def _retries(self, task: TaskRow, state: RunState, ended: SandboxExit) -> int:
        """The automatic retries so far. Progress, or another provider, resets the count."""
        before = task.run_state
        if before is None or has_ended_a_step(before, state):
            return 0
        # After the memory ran out an answer of the model is no progress: the same program runs out
        # of memory again.
        if not ended.out_of_memory and has_progressed(before, state):
            return 0
        # Waits for an account are not limited, so they do not use up the limited tries.
        if waits_for_time_or_money(before) is not waits_for_time_or_money(state):
            return 0
        providers = {s.pause.provider for s in (before, state) if s.pause}
        return 0 if len(providers) > 1 else task.auto_retries

    def _judge(
        self, task: TaskRow, attempt: int, ended: SandboxExit
    ) -> tuple[Decision, RunState, int]:
        """The decision, the state by the journal, and the automatic retries so far."""
        folders = TaskFolders(self._context.settings.home, task.id, task.iteration)
        try:
            state = read_state(folders.journal)
        except UNREADABLE as error:
            # Finished steps could be lost by a wrong guess, so a person decides.
            wrong = f"the journal cannot be used: {error}; {SET_ASIDE}"
            return Fail(wrong), task.run_state or RunState(), task.auto_retries
        state = with_earlier(state, task.iteration_input)
        state = with_usage(state, self._context.store.usage.by_model(task.id))
        row = self._context.store.attempts.get(task.id, attempt)
        if row is not None and row.state == AttemptState.RUNNING and row.detail:
            # The reconciler stopped it because its runner did not begin, and recorded why.
            ended = SandboxExit(None, detail=row.detail)
        if state.status is RunStatus.NEW and ended.code == ExitCode.FAILED and not ended.detail:
            ended = replace(ended, detail=self._last_output(task, attempt))
        retries = self._retries(task, state, ended)
        decision = decide(
            ended,
            state,
            attempt=attempt,
            auto_retries=retries,
            auto_resume=self._context.resumes_by_itself(task),
            pause_requested=folders.pause_request.exists(),
            retry=self._context.settings.retry,
            now=now(),
            random=self._context.uniform(),
        )
        if state.attempt < attempt or state.status in (RunStatus.NEW, RunStatus.RUNNING):
            decision = self._blamed(decision, task, folders)
        return decision, state, retries

    def _blamed(self, decision: Decision, task: TaskRow, folders: TaskFolders) -> Decision:
        """The decision about a runner that could not record how it ended. If the disk that it
        writes to is full, that is the reason."""
        disk = disk_limit(self._context.settings, task.config)
        disk = disk.model_copy(update={"folders": (folders.work,), "records": (folders.run,)})
        if isinstance(decision, Fail):
            why = out_of_space(disk, decision.error)
        elif isinstance(decision, PauseFor) and decision.pause.reason is PauseReason.INTERRUPTED:
            # It may have been killed for another reason, so only a disk without any space counts.
            disk = disk.model_copy(update={"floor_bytes": FULL, "floor_files": 0})
            why = out_of_space(disk, decision.pause.message)
        else:
            return decision
        return for_disk(EnvironmentFault(why, code=DISK_FULL)) if why else decision


def has_ended_a_step(before: RunState, after: RunState) -> bool:
    """Whether a step has ended since, or has ended again in a loop."""
    then = {s.id: s.ended_at for s in before.steps}
    return any(s.ended_at and s.ended_at != then.get(s.id) for s in after.steps)


def has_progressed(before: RunState, after: RunState) -> bool:
    """Whether a model has answered since, or the work tree has changed."""
    if after.usage.output_tokens > before.usage.output_tokens:
        return True
    return after.snapshot is not None and (
        before.snapshot is None or after.snapshot.tree != before.snapshot.tree
    )


def waits_for_time_or_money(state: RunState) -> bool:
    """Whether a run is paused for a reason that time or money ends."""
    return state.pause is not None and state.pause.reason in ENDS_SOMETIME
