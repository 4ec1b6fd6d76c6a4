"""The use cases: what an assistant, a script or a person can ask of a task."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from agent_runner.agents import SCRIPTED
from agent_runner.models import Budget, Pause, PauseReason, RunState
from rover_mcp.errors import Conflict, RoverError, UserFixable
from rover_mcp.network import NetworkMode, NetworkPolicy
from rover_mcp.no_space import write_fault
from rover_mcp.project.maximum import wider_budget
from rover_mcp.settings import Settings
from rover_mcp.store.rows import NONSENSE, DamagedRecord, TaskRow, not_shown
from rover_mcp.store.store import Store
from rover_mcp.tasks import listing
from rover_mcp.tasks.asked import CreateRequest, check_needs_no_provider
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.changes import changed, write_patch
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.finding import TaskFinder
from rover_mcp.tasks.folders import TaskFolders
from rover_mcp.tasks.lives import LEFT
from rover_mcp.tasks.logs import LogText, read_journal, read_log
from rover_mcp.tasks.looks import ACCEPTED, accept_result, refused
from rover_mcp.tasks.models import EventView, ListedTask, NextAction, TaskStatus, TaskView
from rover_mcp.tasks.pauses import (
    CLOSED,
    NEVER_BY_ITSELF,
    Policy,
    left_to_itself,
    printable,
    resume_action,
    spent,
    time_of,
    used_up,
)
from rover_mcp.tasks.ports import Control, DiffResult, Repositories, Work
from rover_mcp.tasks.transitions import DELETING, ENDED, RESUMABLE, RUNNING, Event
from rover_mcp.tasks.views import event_view, task_view


@dataclass(frozen=True)
class ResumeResult:
    """`result` is resumed, scheduled, already_resuming or not_resumable (I3)."""

    result: str
    task: TaskView
    has_checkpoint: bool
    message: str


@dataclass
class TaskService:
    """Every use case but creation, which has a module of its own. Calls may block."""

    settings: Settings
    store: Store
    create_task: CreateTask
    repositories: Repositories
    control: Control
    work: Work
    live: Callable[[str], RunState | None]
    now: Callable[[], float] = time.time
    stalled: Callable[[str], Pause | None] = lambda _task_id: None
    """The pause of a task that the disk had no room to record."""

    def create(self, caller: Caller, request: CreateRequest) -> TaskView:
        return self.view(self.create_task(caller, request))

    # Reading

    @cached_property
    def finder(self) -> TaskFinder:
        return TaskFinder(self.store, self.repositories)

    def view(self, task: TaskRow, *, full: bool = False, policy: Policy | None = None) -> TaskView:
        """
        Raises:
            DamagedRecord: its record, or its attempt's, cannot be read or makes no sense.
        """
        try:
            return self._view(task, policy or self._policy_of(task), full=full)
        except NONSENSE as error:
            raise not_shown(task, error) from error

    def _view(self, task: TaskRow, policy: Policy, *, full: bool) -> TaskView:
        running = task.status in RUNNING
        state = self.live(task.id) if running else None
        attempt = (
            self.store.attempt(task.id, task.attempt)
            if running or task.status is TaskStatus.NEW
            else None
        )
        if attempt is not None and (pause := self.stalled(task.id)) is not None:
            since = pause.since.timestamp()
            task = replace(task, status=TaskStatus.PAUSED, pause=pause, paused_at=since)
        view = task_view(task, state, attempt, self.now(), policy, full=full)
        if damaged := self.store.books.damaged(task.id):
            told = f"{damaged} entries of its books are damaged: their cost is not known"
            view.warnings = [*(view.warnings or []), told]
        if attempt is not None and attempt.state == "starting" and running:
            # A build may take minutes: what it does is news to whoever watches.
            said = self.store.events.last_of(task.id, "task.preparing")
            if said is not None:
                view.phase = f"preparing: {printable(str(said.data.get('message')), 80)}"
        return view

    def _policy_of(self, task: TaskRow) -> Policy:
        """The same, with those agents that could take over from a paused task now."""
        policy = self.policy()
        if task.pause is None or task.pause.reason not in CLOSED:
            return policy
        able = tuple(a for a in policy.agents if self.control.can_take_over(task, a))
        return replace(policy, agents=able)

    def policy(self) -> Policy:
        """What is said of automatic resumes, as it stands now."""
        return Policy(
            off=self.store.scopes_off(),
            config_off=not self.settings.auto_resume,
            max_auto_retries=self.settings.retry.max_auto_retries,
            agents=tuple(a for a in self.create_task.agents.known() if a != SCRIPTED),
            most=self.settings.budget,
        )

    def inspect(self, task: TaskRow, *, full: bool) -> TaskView:
        """The task with its changes, where its work could be read."""
        view = self.view(task, full=full)
        if full or task.status not in (TaskStatus.NEW, *RUNNING):
            try:
                view.changes = self.work.diff(task, (), stat_only=True).changes
            except RoverError as fault:
                view.warnings = [*(view.warnings or []), f"no diff: {fault.message}"]
        return view

    def list(
        self,
        caller: Caller,
        statuses: Collection[TaskStatus],
        repo_path: str | None,
        cursor: str | None,
        limit: int | None,
    ) -> tuple[Sequence[ListedTask], str | None, list[DamagedRecord]]:
        """A page of tasks, newest first, the cursor of the next one, and the records that cannot
        be shown. Without a limit as many as an assistant reads gladly."""
        most = limit or listing.TASKS
        project = self.finder.place(caller, repo_path).project if repo_path else None
        if repo_path and project is None:
            return [], None, self._unrecorded() if caller.user is None else []
        rows = self.store.page(
            statuses=statuses,
            project_id=project,
            before=listing.parse_cursor(cursor) if cursor else None,
            limit=most + 1,
            owner=caller.user,
        )
        found = list(zip(rows, self._listed(rows[:most]), strict=False))
        views = [view for _, view in found if isinstance(view, ListedTask)]
        page = views if limit else listing.fitting(views)
        # A page that is cut ends with a task; else also with a record that cannot be shown.
        if len(page) < len(views):
            cut = [view for _, view in found].index(views[len(page)])
            found = found[:cut]
        more = listing.cursor(found[-1][0]) if len(rows) > len(found) else None
        damaged = [view for _, view in found if isinstance(view, DamagedRecord)]
        if not cursor and not statuses:
            damaged += self.store.unplaced(owner=caller.user, everywhere=project is None)
            if not found and caller.user is None:
                damaged += self._unrecorded()
        return page, more, damaged

    def _unrecorded(self) -> list[DamagedRecord]:
        """That there are tasks' files beside a database that knows nothing of them."""
        home = self.settings.home
        runs = (home / "tasks").glob("*/iterations/*/spec-*/spec.json")
        waiting = {path.name for path in (home / "spares").glob("*")}
        names = {path.parents[3].name for path in runs} - waiting
        lost = len(self.store.without_record(names))
        if not lost:
            return []
        told = "1 task has" if lost == 1 else f"{lost} tasks have"
        return [DamagedRecord(f"{told} files and no record: run `rover doctor --repair`")]

    def _listed(
        self, rows: Sequence[TaskRow | DamagedRecord]
    ) -> Iterator[ListedTask | DamagedRecord]:
        """Each as one of a page. Damage to one hides no other."""
        # A page shows the first action of each: nobody else is proposed.
        policy = replace(self.policy(), agents=())
        for row in rows:
            try:
                sound = isinstance(row, TaskRow)
                yield listing.listed(self.view(row, policy=policy)) if sound else row
            except DamagedRecord as damaged:
                yield damaged

    def events(self, task: TaskRow, limit: int = 20) -> list[EventView]:
        """The newest, oldest first, each with the channels over which it was told."""
        found = self.store.events.last(task.id, limit)
        told = self.store.events.told([event.seq for event in found])
        views = [event_view(event, task, self.settings.budget) for event in found]
        for view in views:
            if channels := told.get(view.seq):
                view.told = {name: time_of(at) for name, at in sorted(channels.items())}
        return views

    def logs(self, task: TaskRow, step: str | None, tail: int) -> LogText:
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        return read_log(folders.run / "logs", step, tail, folders.preparation)

    def journal(self, task: TaskRow) -> str:
        """The end of its journal, a record a line."""
        return read_journal(TaskFolders(self.settings.home, task.id, task.iteration).journal)

    def diff(
        self, task: TaskRow, paths: Sequence[str], *, stat_only: bool, offset: int = 0
    ) -> DiffResult:
        return changed(self.work, task, paths, stat_only=stat_only, offset=offset)

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        write_patch(self.work, task, paths, out)

    # Changing

    def resume(
        self,
        caller: Caller,
        task: TaskRow,
        when: str,
        *,
        budget: Budget | None = None,
        agent: str | None = None,
        consent: str | None = None,
        by_person: bool = False,
        accept: bool = False,
    ) -> ResumeResult:
        """PAUSED, FAILED or CANCELLED goes on from its checkpoint (I1 to I8), with a larger
        `budget`, or with another `agent`, if they are given. Asked for, it goes on though its
        account is closed. `consent`: see CreateRequest; `by_person`: a person answered the task's
        own question, which is their consent. `accept`: a result that waits for a look is delivered.

        Raises:
            UserFixable, EnvironmentFault: the agent is unknown or cannot be started here, or the
                budget is larger than the user's.
        """
        checkpoint = self.control.has_checkpoint(task)
        if task.status in RUNNING:
            return self._resume_result("already_resuming", task, checkpoint, "it runs already")
        if task.status not in RESUMABLE:
            message = f"a task that is {task.status} cannot be resumed"
            return self._resume_result("not_resumable", task, checkpoint, message)
        if why := refused(task, accept=accept) or self._still_ending(task):
            return self._resume_result("not_resumable", task, checkpoint, why)
        if not (by_person and caller.user is None):
            self._check_budget(caller, task, budget, consent)
        columns = self._larger_budget(task, budget) | self._other_agent(caller, task, agent)
        usage = spent(task.run_state)
        if over := used_up(columns.get("budget", task.budget), usage):
            most = self.settings.budget
            ask = resume_action(replace(task, **columns), task.run_state, most)
            named = _named(ask)
            todo = f"call resume_task with {named}" if named else ask.why
            message = f"the budget is used up: {over}; {todo}"
            return self._resume_result("not_resumable", task, checkpoint, message)
        if when == "at_reset":
            result, message = left_to_itself(self.view(task).pause, changes=bool(columns))
            return self._resume_result(result, task, checkpoint, message)
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        if accept:
            accept_result(task, folders)
        folders.pause_request.unlink(missing_ok=True)
        won = self.store.resume(task.id, caller.client_id, **columns)
        if won is None:
            fresh = self.store.task(task.id) or task
            return self._resume_result("already_resuming", fresh, checkpoint, "another call won")
        row, attempt = won
        self.control.enqueue(attempt)
        message = "it goes on from its checkpoint" if checkpoint else "it starts from the beginning"
        message = ACCEPTED if accept else message
        return self._resume_result("resumed", row, checkpoint, message)

    def restart(self, caller: Caller, task: TaskRow) -> TaskView:
        """A FAILED task starts over, on its base (H4, H5). What it cost still counts, and what
        it made so far is kept in its snapshots.

        Raises:
            Conflict: it is not FAILED; a PAUSED one is for resume_task.
        """
        if task.iteration == 1 and task.status is TaskStatus.FAILED:
            folders = TaskFolders(self.settings.home, task.id, task.iteration)
            folders.pause_request.unlink(missing_ok=True)
            if won := self.store.resume(task.id, caller.client_id, restart=True):
                row, attempt = won
                self.control.enqueue(attempt)
                return self.view(row)
            task = self.store.task(task.id) or task
        resumable = task.status in RESUMABLE
        raise Conflict(
            f"task {task.number} is {task.status}; only one that FAILED can be restarted",
            code="not_restartable",
            hint="resume_task lets it go on from its checkpoint" if resumable else None,
            next_call={"tool": "resume_task", "arguments": {"task": task.id}}
            if resumable
            else None,
        )

    def _still_ending(self, task: TaskRow) -> str | None:
        """Why a task that was cancelled cannot be resumed just now; None: it can."""
        if task.status is not TaskStatus.CANCELLED:
            return None
        if self.store.events.of_kinds(task.id, [DELETING]):
            return "its deletion has begun; delete_task completes it"
        attempt = self.store.attempt(task.id, task.attempt)
        if attempt is not None and attempt.state in ("starting", "running"):
            return "it is still being stopped; call resume_task again in some seconds"
        return None

    def _check_budget(
        self, caller: Caller, task: TaskRow, budget: Budget | None, consent: str | None
    ) -> None:
        config, root = self.settings.home / "config.yaml", Path(task.project_path)
        wider = list(wider_budget(budget, self.settings, task.budget))
        check_consent(caller, config, root, wider, (), consent)

    def _larger_budget(self, task: TaskRow, budget: Budget | None) -> dict[str, Any]:
        if budget is None:
            return {}
        old = task.budget or Budget()
        return {"budget": Budget(usd=budget.usd or old.usd, tokens=budget.tokens or old.tokens)}

    def _other_agent(self, caller: Caller, task: TaskRow, agent: str | None) -> dict[str, Any]:
        """The columns that let another agent go on; the others may take over from it."""
        if agent is None or agent == task.agent:
            return {}
        binary = self.create_task.check_agent(caller, agent, task.engine or "auto")
        if NetworkPolicy.stored(task.network).mode is NetworkMode.NONE:
            check_needs_no_provider(agent)
        if missing := self.control.cannot_sign_in(task, agent):
            raise UserFixable(
                f"{agent} cannot sign in, so nothing was changed: {missing}",
                code="cannot_sign_in",
                hint=f"rover login keeps a key; or go on with {task.agent}",
                next_call={"tool": "get_status", "arguments": {}},
            )
        others = [a for a in task.agents or () if a != agent]
        return {
            "agent": agent,
            "agent_binary": str(binary) if binary else None,
            "agents": [agent, *others] if others else None,
            # A model is an agent's own.
            "model": None,
        }

    def _resume_result(
        self, result: str, task: TaskRow, checkpoint: bool, message: str
    ) -> ResumeResult:
        return ResumeResult(result, self.view(task), checkpoint, message)

    def set_auto_resume(
        self,
        caller: Caller,
        enabled: bool,
        *,
        task: TaskRow | None = None,
        project_id: str | None = None,
    ) -> int:
        """Switch automatic resumes for a task, a project, or, with neither, all tasks (K7). How
        many paused tasks no longer go on by themselves; or do now, their reason permitting."""
        if task is not None:
            dropped = self.store.switch_task(task.id, enabled=enabled)
        else:
            dropped = self.store.switch(project_id, enabled=enabled)
        if not enabled:
            return dropped
        paused = [self.store.task(task.id)] if task is not None else self._paused(project_id)
        return sum(self.control.schedule(row) for row in paused if row is not None)

    def _paused(self, project_id: str | None) -> Iterator[TaskRow]:
        before: tuple[float, str] | None = None
        while page := self.store.page(
            statuses=[TaskStatus.PAUSED], project_id=project_id, before=before, limit=200
        ):
            yield from (row for row in page if isinstance(row, TaskRow))
            before = listing.place(page[-1])

    def pause(self, task: TaskRow) -> TaskView:
        """Stop at a checkpoint, to be resumed by a person. A running step is interrupted."""
        if task.status is TaskStatus.PAUSED:
            return self.view(self._never_by_itself(task))
        if task.status in ENDED:
            raise Conflict(
                f"task {task.number} is {task.status}; only a task that runs can be paused",
                code="not_pausable",
            )
        attempt = self.store.attempt(task.id, task.attempt)
        if attempt is not None and attempt.state == "queued":
            paused = self._pause_queued(task)
            if paused is not None:
                return self.view(paused)
        folders = TaskFolders(self.settings.home, task.id, task.iteration)
        try:
            folders.run.mkdir(parents=True, exist_ok=True)
            folders.pause_request.write_text('{"reason": "requested"}', "utf-8")
        except OSError as error:
            what = "the pause cannot be recorded, and the task runs on"
            raise write_fault(what, folders.run, error) from error
        self.control.stop(task)
        return self.view(self.store.task(task.id) or task)

    def _never_by_itself(self, task: TaskRow) -> TaskRow:
        """A pause that a person asked for does not end by itself, nor when automatic resumes
        are switched on again: what it was paused for before stays in its message."""
        ends = task.pause is not None and task.pause.reason not in NEVER_BY_ITSELF
        if task.pause is None or not (ends or task.pause.reason is PauseReason.AUTH):
            return task
        pause = task.pause.model_copy(
            update={
                "reason": PauseReason.REQUESTED,
                "message": f"paused on request; before that: {task.pause.message}",
                "retry_at": None,
            }
        )
        self.store.drop_schedule(task.id, pause=pause)
        return self.store.task(task.id) or task

    def _pause_queued(self, task: TaskRow) -> TaskRow | None:
        pause = Pause(
            reason=PauseReason.REQUESTED,
            message="paused on request before it started",
            since=datetime.fromtimestamp(self.now(), UTC),
        )
        data = pause.model_dump(mode="json")
        return self.store.transition(
            task.id, Event.PAUSE, attempt=task.attempt, unstarted=True, data=data, pause=pause
        )

    def leave(self, task: TaskRow) -> None:
        """Pause a task for a client that no longer follows it; its handle is over."""
        if task.status not in ENDED:
            self.pause(task)
            self.store.add_event(task.id, LEFT, {})

    def cancel(self, task: TaskRow) -> TaskView:
        """End the task. What it did is kept, and resume_task lets it go on."""
        if task.status is TaskStatus.CANCELLED:
            return self.view(task)
        cancelled = self.store.transition(task.id, Event.CANCEL)
        if cancelled is None:
            fresh = self.store.task(task.id) or task
            raise Conflict(
                f"task {task.number} is {fresh.status}; there is nothing to cancel",
                code="not_cancellable",
            )
        self.control.stop(cancelled)
        return self.view(cancelled)


def _named(action: NextAction) -> str:
    """The arguments beside the task, as a call has them."""
    return ", ".join(
        f"{name}={value}" for name, value in action.arguments.items() if name != "task"
    )
