"""The end of an attempt: its work is brought home, and what follows is decided and recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.crashpoints import crash_point
from agent_runner.models import ExitCode, Pause, PauseReason, RunState, RunStatus
from agent_runner.worktree.disk_watch import FULL, out_of_space
from rover_mcp.config.limits import disk_limit
from rover_mcp.control.accounts import (
    NoCredential,
    Use,
    Wait,
    choose_agent,
    closed_longer,
    closed_to,
    confirms,
    hold_after,
    keeps_its_time,
    limit_of,
    refuses,
    report_of,
)
from rover_mcp.control.attempt_context import GIT_STOOD_STILL, UNSETTLED, AttemptContext, now, told
from rover_mcp.control.control_points import ControlPoint
from rover_mcp.control.decide import (
    ENDS_SOMETIME,
    Decision,
    Fail,
    Finish,
    PauseFor,
    backoff,
    decide,
    for_disk,
)
from rover_mcp.control.delivery import in_doubt
from rover_mcp.control.journal_watch import UNREADABLE, read_state
from rover_mcp.control.needed_models import chose_itself
from rover_mcp.control.snapshots import last_at_home, with_hub
from rover_mcp.control.task_packages import keep_packages
from rover_mcp.control.unfinished_branch import described, publish_unfinished
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.disk_full_error import DISK_FULL, write_fault
from rover_mcp.domain.errors import EnvironmentFault, RoverError
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.obstacles import DELIVERY_LEFT
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.task_status import RUNNING, Event, TaskStatus
from rover_mcp.domain.text import plain
from rover_mcp.sandbox.protocol import SandboxExit
from rover_mcp.store.account_windows import in_words
from rover_mcp.store.records import HoldRow, TaskRow
from rover_mcp.store.transitions import Closing
from rover_mcp.tasks.pause_view import CLOSED, awaits_credential
from rover_mcp.tasks.usage import with_books

SET_ASIDE = "resume_task sets a damaged one aside and runs the iteration from its start"

CLEARABLE = frozenset({"branch_checked_out", "branch_clash", "publish_failed"})
"""Codes of errors for which a branch cannot be set just now. Where it has other commits, nothing
tells whose they are, and the task fails."""

OF_AN_ACCOUNT = frozenset(PauseReason) - {
    PauseReason.INTERRUPTED,
    PauseReason.REQUESTED,
    PauseReason.BUDGET,
    PauseReason.NEEDS_LOOK,
}
"""Reasons that a provider gave: the account is part of the news (D1)."""


class Settles(AttemptContext):
    """Every method is idempotent."""

    def settle(self, task_id: str, attempt: int, ended: SandboxExit) -> int | None:
        """Bring the work home and decide what follows. The number of the attempt that is to resume
        automatically, at the task's `retry_at`; None where none is.

        Raises:
            DamagedRecord: the attempt is in a state that this version does not know.
        """
        crash_point(ControlPoint.SANDBOX_ENDED)
        self._check_record(task_id, attempt)
        task = self._task(task_id)
        if task.attempt == attempt and task.status in UNSETTLED:
            self.live.refresh(task_id)
            # Before the status changes: the next attempt may open its own door at once.
            self.gateway.close(task_id)
            self._conclude(task, attempt, ended)
            self.live.forget(task_id)
        crash_point(ControlPoint.STATUS_CHANGED)
        self._end(task_id, attempt, ended, "")
        crash_point(ControlPoint.ATTEMPT_ENDED)
        self._remove(task, attempt)
        return self.scheduled(task_id)

    def _conclude(self, task: TaskRow, attempt: int, ended: SandboxExit) -> None:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        decision, state, retries = self._judge(task, attempt, ended)
        decision = self._bring_home(task, folders, decision, state)
        base = self.hub_of(task.project_id).tree(task.base_commit)
        keep_packages(self.settings, task, attempt, base, self.engines[task.engine])
        refused = False
        if isinstance(decision, Finish):
            data = {"verdict": state.verdict} if state.verdict else {}
            after = self.store.transitions.apply(
                task.id, Event.COMPLETE, attempt=attempt, data=data,
                run_state=state, auto_retries=0,
            )  # fmt: skip
        elif isinstance(decision, Fail):
            data = {"error": decision.error}
            after = self.store.transitions.apply(
                task.id, Event.FAIL, attempt=attempt, data=data,
                run_state=state, error=decision.error,
            )  # fmt: skip
        else:
            decision, closing = self._closing(task, attempt, decision, state)
            awaits = self._awaits(task, attempt, decision, retries)
            after = self._pause(
                task, attempt, decision, state, retries=retries, awaits=awaits, closes=closing
            )
            refused = closing is not None
            if refused:
                crash_point(ControlPoint.HOLD_PLACED)
        if not refused:
            self._verdict(task, attempt, decision, state)
        if after is None:
            # It was cancelled, perhaps just now: what it did until then is kept.
            self.store.tasks.update(task.id, run_state=state)

    def _closing(
        self, task: TaskRow, attempt: int, decision: PauseFor, state: RunState
    ) -> tuple[PauseFor, Closing | None]:
        """What a pause means for its account. Another agent, if one may take over and its
        account is open, goes on at once."""
        account = None
        if decision.pause.reason in OF_AN_ACCOUNT:
            account = self._account_of(task, attempt, decision.pause)
        full = self._windows(account) if account and decision.pause.reason in CLOSED else None
        pause = decision.pause.model_copy(update={"account": account, "windows": full})
        decision = PauseFor(pause, decision.retry_at)
        if not refuses(pause):
            return decision, None
        # A time in `pause` may be our own; the provider's is in the journal.
        said = (state.pause or pause).model_copy(update={"account": account})
        when, random = now(), self.uniform()

        retry = self.settings.retry

        default_of = chose_itself(self.settings.home, task, said)

        def refused(hold: HoldRow | None) -> HoldRow:
            return hold_after(hold, said, (task.id, attempt), retry, when, random, default_of)

        until = decision.retry_at or when + backoff(said.reason, 0, retry, random)
        report = report_of(said, task.id, until, when)
        choice, at = self._choice_without(task, attempt, said, until)
        if at is not None and decision.retry_at is not None:
            decision = PauseFor(pause.model_copy(update={"retry_at": at}), at)
        own_time = at is not None or keeps_its_time(said, when)
        return decision, Closing(
            limit_of(said), refused, waits=not own_time, report=report,
            waits_for=choice.limit if isinstance(choice, Wait) else limit_of(said),
            confirmed=lambda known: report is None
            or confirms(report, known.others, known.answered_at, retry),
        )  # fmt: skip

    def _windows(self, account: str) -> str | None:
        """How full those of an account are, in words."""
        when = now().timestamp()
        return in_words(self.store.windows.of(account, when), when)

    def _awaits(self, task: TaskRow, attempt: int, decision: PauseFor, retries: int) -> bool:
        """Whether the task resumes automatically with another credential, or once something is out
        of its way. A credential that was refused is recorded first, or the task would be refused
        again and again."""
        if self._is_watched(decision.pause, retries):
            return self._goes_by_itself(task)
        if decision.pause.reason is not PauseReason.AUTH:
            return False
        found = self.gateway.refused_keys(task.id, attempt, task.agent)
        refused = list(dict.fromkeys([*(task.refused_keys or ()), *found]))
        if refused:
            self.store.tasks.update(task.id, refused_keys=refused)
        fresh = replace(task, refused_keys=refused)
        return awaits_credential(fresh, decision.pause) and self._goes_by_itself(task)

    def _account_of(self, task: TaskRow, attempt: int, pause: Pause) -> str | None:
        """The account that a pause is about: that of the task's agent, unless a step of another
        provider's agent paused."""
        used = self.gateway.used(task.id, attempt, pause.provider) if pause.provider else None
        return used or task.account

    def _choice_without(
        self, task: TaskRow, attempt: int, said: Pause, until: datetime
    ) -> tuple[Use | Wait | NoCredential, datetime | None]:
        """Which agent, with which account, continues while what a pause says is closed to the
        task; or which limit ends first. With the time, where it is this task's own: now, or when
        a limit ends that is closed to it alone."""
        holds = {hold.account: hold for hold in self.store.holds.all()}
        began, ends = now().timestamp(), until.timestamp()
        closed = HoldRow(limit_of(said), None, "", "", began, ends, 1)
        own = closed_to(task.id, self.store.holds.reports(task.id), began)
        shut = {**closed_longer(holds, own), closed.account: closed}
        paused = replace(task, pause=said)
        choice = choose_agent(
            task.agents or [task.agent],
            lambda agent: self._options(paused, attempt, agent),
            shut,
            (task.id, attempt + 1),
            began,
        )
        if isinstance(choice, Wait) and shut[choice.limit] is own.get(choice.limit):
            return choice, datetime.fromtimestamp(shut[choice.limit].until, UTC)
        return choice, now() if isinstance(choice, Use) else None

    def _verdict(self, task: TaskRow, attempt: int, decision: Decision, state: RunState) -> None:
        """A probe that was not refused and that completed, or whose model answered, opens its
        account. One that tells nothing leaves it to the next."""
        before = task.run_state.usage.output_tokens if task.run_state else 0
        answered = state.usage.output_tokens > before
        if task.refused_keys and answered and not _is_auth(decision):
            self.store.tasks.update(task.id, refused_keys=None)
        if task.account is not None and (answered or isinstance(decision, Finish)):
            probe = (task.id, attempt)
            tried = self.store.holds.probed_by(probe) if isinstance(decision, Finish) else []
            models = [limit.model for limit in tried if limit.model is not None]
            self.store.holds.open(task.account, probe, models)

    def scheduled(self, task_id: str) -> int | None:
        """The attempt that is to resume automatically, if there is one."""
        waiting = self.store.attempts.in_states((AttemptState.SCHEDULED,))
        return next((a.attempt for a in waiting if a.task_id == task_id), None)

    def _last_words(self, task: TaskRow, attempt: int) -> str:
        """What a runner printed that ended before its journal began."""
        try:
            printed = self.engines[task.engine].logs(sandbox_name(task.id, attempt), 5)
        except EnvironmentFault:
            return ""
        return f"the runner did not start: {plain(printed)[-1000:].strip()}" if printed else ""

    def _retries(self, task: TaskRow, state: RunState, ended: SandboxExit) -> int:
        """Automatic retries so far; work or another provider starts the count anew (K4, Q3)."""
        before = task.run_state
        if before is None or went_on(before, state):
            return 0
        # What ran out of memory does so again after the same words of its model.
        if not ended.out_of_memory and worked(before, state):
            return 0
        # Tries that have no end do not use up those that have.
        if ends_sometime(before) is not ends_sometime(state):
            return 0
        providers = {s.pause.provider for s in (before, state) if s.pause}
        return 0 if len(providers) > 1 else task.auto_retries

    def _judge(
        self, task: TaskRow, attempt: int, ended: SandboxExit
    ) -> tuple[Decision, RunState, int]:
        """What follows, what the journal says, and the automatic retries so far."""
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        try:
            state = read_state(folders.journal)
        except UNREADABLE as error:
            # Nothing is guessed and nothing deleted (C2): a person decides.
            wrong = f"the journal cannot be used: {error}; {SET_ASIDE}"
            return Fail(wrong), task.run_state or RunState(), task.auto_retries
        state = with_books(state, self.store.books.by_model(task.id))
        row = self.store.attempts.get(task.id, attempt)
        if row is not None and row.state == AttemptState.RUNNING and row.detail:
            # It was stopped because its runner did not begin (L5).
            ended = SandboxExit(None, detail=row.detail)
        if state.status is RunStatus.NEW and ended.code == ExitCode.FAILED and not ended.detail:
            ended = replace(ended, detail=self._last_words(task, attempt))
        retries = self._retries(task, state, ended)
        decision = decide(
            ended,
            state,
            attempt=attempt,
            auto_retries=retries,
            auto_resume=self._goes_by_itself(task),
            pause_requested=folders.pause_request.exists(),
            retry=self.settings.retry,
            now=now(),
            random=self.uniform(),
        )
        if state.attempt < attempt or state.status in (RunStatus.NEW, RunStatus.RUNNING):
            decision = self._blamed(decision, task, folders)
        return decision, state, retries

    def _bring_home(
        self, task: TaskRow, folders: TaskFolders, decision: Decision, state: RunState
    ) -> Decision:
        """Import what the sandbox committed; publish the branch where the work is done.

        Work that cannot be imported or published is not done, whatever the journal says: the
        task is FAILED, and resume_task has nothing to do but this again.
        """
        try:
            with_hub(task, folders, self.hub_of(task.project_id), lambda last: last)
        except (RoverError, OSError) as raised:
            error = as_fault(raised, folders.home)
            wrong = f"the work could not be taken out of the sandbox: {told(error)}"
            # What is shown is what there is.
            state.snapshot = last_at_home(task, folders, self.hub_of(task.project_id))
            if error.code == DISK_FULL and not isinstance(decision, PauseFor):
                return self._for_disk(decision, error)
            if error.code == GIT_STOOD_STILL and isinstance(decision, Finish):
                return self._later(task, wrong)
            self._warn(task, wrong)
            return Fail(wrong) if isinstance(decision, Finish) else decision
        crash_point(ControlPoint.WORK_IMPORTED)
        if isinstance(decision, Finish) and self._task(task.id).status in RUNNING:
            repository = Path(task.project_path)
            try:
                hub = self.hub_of(task.project_id)
                look = with_hub(task, folders, hub, lambda _: in_doubt(task, folders, hub, state))
                if look:
                    return needs_look(look)
                with_hub(
                    task,
                    folders,
                    hub,
                    lambda _: hub.publish(task.id, repository, task.branch),
                )
                crash_point(ControlPoint.BRANCH_PUBLISHED)
            except (RoverError, OSError) as raised:
                error = as_fault(raised, folders.home)
                if error.code == DISK_FULL:
                    return self._for_disk(decision, error)
                if error.code == GIT_STOOD_STILL:
                    return self._later(task, f"the work is done, but not delivered: {told(error)}")
                if error.code in CLEARABLE:
                    return undelivered(error)
                # Its hint is for somebody who names another repository.
                gone = error.code == "not_a_directory"
                why = f"{error.message}; put it back" if gone else told(error)
                return Fail(
                    "the work is done, but its branch is not in your repository: "
                    f"{why}; then resume_task puts it there"
                )
        self._show_unfinished(task, folders, decision)
        return decision

    def _show_unfinished(self, task: TaskRow, folders: TaskFolders, decision: Decision) -> None:
        """Publish what there is of work that is not done. Where that cannot be, the work is
        still in the hub: it is worth a warning and nothing more."""
        now_is = self._task(task.id).status
        state = "was cancelled" if now_is is TaskStatus.CANCELLED else described(decision)
        if state is None:
            return
        try:
            publish_unfinished(task, folders, self.hub_of(task.project_id), state)
        except (RoverError, OSError) as raised:
            error = as_fault(raised, folders.home)
            self._warn(task, f"its unfinished work is not on its branch: {told(error)}")

    def _for_disk(self, decision: Finish | Fail, error: RoverError) -> PauseFor:
        """The pause in place of an end that a full disk leaves no room for."""
        first = "the work is done" if isinstance(decision, Finish) else decision.error
        message = f"{first}, and it stays in the sandbox for now: {error.message}"
        return for_disk(EnvironmentFault(message, code=DISK_FULL))

    def _blamed(self, decision: Decision, task: TaskRow, folders: TaskFolders) -> Decision:
        """What was decided about a runner that could not say how it ended; where the disk that it
        writes to is full, that is why."""
        disk = disk_limit(self.settings, task.config)
        disk = disk.model_copy(update={"folders": (folders.work,), "records": (folders.run,)})
        if isinstance(decision, Fail):
            said = out_of_space(disk, decision.error)
        elif isinstance(decision, PauseFor) and decision.pause.reason is PauseReason.INTERRUPTED:
            # It may have been killed for something else: only a disk without any room counts.
            disk = disk.model_copy(update={"floor_bytes": FULL, "floor_files": 0})
            said = out_of_space(disk, decision.pause.message)
        else:
            return decision
        return for_disk(EnvironmentFault(said, code=DISK_FULL)) if said else decision


def as_fault(error: RoverError | OSError, place: Path) -> RoverError:
    """An error of the file system as one that is told."""
    return error if isinstance(error, RoverError) else write_fault("it failed", place, error)


def _is_auth(decision: Decision) -> bool:
    return isinstance(decision, PauseFor) and decision.pause.reason is PauseReason.AUTH


def undelivered(error: RoverError) -> PauseFor:
    """The pause between the work and its delivery: somebody has to clear the way first."""
    why = told(error).removesuffix(", then try again")
    message = (
        f"the work is done, but its branch is not in your repository: {why}; then resume: "
        f"{DELIVERY_LEFT}"
    )
    return PauseFor(Pause(reason=PauseReason.INTERRUPTED, message=message, since=now()), None)


def needs_look(message: str) -> PauseFor:
    """The pause before a delivery that a person has to accept."""
    return PauseFor(Pause(reason=PauseReason.NEEDS_LOOK, message=message, since=now()), None)


def went_on(before: RunState, after: RunState) -> bool:
    """Whether a step has ended since; in a loop also one that ended before."""
    then = {s.id: s.ended_at for s in before.steps}
    return any(s.ended_at and s.ended_at != then.get(s.id) for s in after.steps)


def worked(before: RunState, after: RunState) -> bool:
    """Whether a model answered since, or the work tree is another."""
    if after.usage.output_tokens > before.usage.output_tokens:
        return True
    return after.snapshot is not None and (
        before.snapshot is None or after.snapshot.tree != before.snapshot.tree
    )


def ends_sometime(state: RunState) -> bool:
    """Whether a run is paused for what time or money ends."""
    return state.pause is not None and state.pause.reason in ENDS_SOMETIME
