"""Shows tasks from what is recorded about them: in lists, and one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from agent_runner.models import Pause, RunState
from rover_mcp.config.settings import Settings
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.paths import warm_sandbox_markers
from rover_mcp.domain.stacking import stuck, waits_for
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.store.damaged_records import NONSENSE, DamagedRecord
from rover_mcp.store.record_reading import not_shown
from rover_mcp.store.records import EventRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks import task_page
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.pause_view import Policy
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.task_finder import TaskFinder
from rover_mcp.tasks.task_ports import Repositories
from rover_mcp.tasks.task_view import event_view, task_view
from rover_mcp.tasks.view_models import AttentionView, ListedTask, TaskView


class TaskReader:
    """Reads only. Calls may block."""

    settings: Settings
    store: Store
    repositories: Repositories
    live: Callable[[str], RunState | None]
    now: Callable[[], float]
    stalled: Callable[[str], Pause | None]
    """The pause of a task that the disk had no room to record."""
    account_name: Callable[[str], str]

    @cached_property
    def finder(self) -> TaskFinder:
        return TaskFinder(self.store, self.repositories)

    def view(
        self,
        task: TaskRow,
        *,
        full: bool = False,
        policy: Policy | None = None,
        check_usage: bool = True,
    ) -> TaskView:
        """The view of a task. Without `check_usage` no warning says that records of its usage are
        damaged: looking for them takes most of the time for a thousand tasks.

        Raises:
            DamagedRecord: its record, or its attempt's, cannot be read or makes no sense.
        """
        try:
            view = self._view(task, policy or self.policy_of(task), full=full)
        except NONSENSE as error:
            raise not_shown(task, error) from error
        if check_usage and (damaged := self.store.usage.damaged(task.id)):
            warning = f"{damaged} entries of its usage record are damaged: their cost is not known"
            view.warnings = [*(view.warnings or []), warning]
        return view

    def shown_status(self, task: TaskRow) -> TaskStatus:
        """The status that `view` shows, without the reads that the rest of a view takes."""
        live = task.status in RUNNING or task.status is TaskStatus.NEW
        return TaskStatus.PAUSED if live and self.stalled(task.id) is not None else task.status

    def _view(self, task: TaskRow, policy: Policy, *, full: bool) -> TaskView:
        running = task.status in RUNNING
        state = self.live(task.id) if running else None
        attempt = (
            self.store.attempts.get(task.id, task.attempt)
            if running or task.status is TaskStatus.NEW
            else None
        )
        if attempt is not None and (pause := self.stalled(task.id)) is not None:
            since = pause.since.timestamp()
            task = replace(task, status=TaskStatus.PAUSED, pause=pause, paused_at=since)
        view = task_view(task, state, attempt, self.now(), policy, full=full)
        if attempt is not None and attempt.state == AttemptState.STACKED and task.links:
            ids = [awaited.task for awaited in task.links.after]
            statuses = self.store.stacked.statuses(ids)
            view.phase = waits_for(task.links, statuses)
            view.warnings = [*stuck(task.links, statuses), *(view.warnings or [])] or None
        if attempt is not None and attempt.state == AttemptState.STARTING and running:
            # A build may take minutes: what it does is news to whoever watches.
            progress = self.store.events.last_of(task.id, "task.preparing")
            if progress is not None:
                view.phase = f"preparing: {quoted(str(progress.data.get('message')), 80)}"
        return view

    def policy(self) -> Policy:
        """What decides about automatic resumes, as it stands now. No agent is proposed."""
        return Policy(
            off=self.store.switches.scopes_off(),
            config_off=not self.settings.auto_resume,
            max_auto_retries=self.settings.retry.max_auto_retries,
            windows=tuple(self.store.windows.all(self.now())),
            account_name=self.account_name,
            most=self.settings.budget,
            log_in=self.login_expiry,
        )

    def login_expiry(self, task: TaskRow) -> str | None:
        """See `Control`."""
        raise NotImplementedError

    def policy_of(self, task: TaskRow) -> Policy:
        """The policy, with what is proposed for this task."""
        return self.policy()

    def list(
        self,
        caller: Caller,
        statuses: Collection[TaskStatus],
        repo_path: str | None,
        cursor: str | None,
        limit: int | None,
        *,
        here: bool = False,
    ) -> tuple[Sequence[ListedTask], str | None, list[DamagedRecord]]:
        """A page of tasks, newest first, with the cursor of the next page and the records that
        cannot be shown. Without a limit it has as many as an assistant should read. `here`: without
        `repo_path` only tasks of the repository that the caller works in, if there is one."""
        most = limit or task_page.TASKS
        place = self.finder.place(caller, repo_path) if repo_path or here else None
        project = place.project if place else None
        if place and place.root and project is None:
            return [], None, self._unrecorded() if caller.user is None else []
        rows = self.store.tasks.page(
            statuses=statuses,
            project_id=project,
            before=task_page.parse_cursor(cursor) if cursor else None,
            limit=most + 1,
            owner=caller.user,
        )
        listed = list(zip(rows, self._listed(rows[:most]), strict=False))
        views = [view for _, view in listed if isinstance(view, ListedTask)]
        page = views if limit else task_page.fitting(views)
        # A page that is cut ends with a task; else also with a record that cannot be shown.
        if len(page) < len(views):
            cut = [view for _, view in listed].index(views[len(page)])
            listed = listed[:cut]
        more = task_page.cursor(listed[-1][0]) if len(rows) > len(listed) else None
        damaged = [view for _, view in listed if isinstance(view, DamagedRecord)]
        if not cursor and not statuses:
            damaged += self.store.tasks.unplaced(owner=caller.user, everywhere=project is None)
            if not listed and caller.user is None:
                damaged += self._unrecorded()
        return page, more, damaged

    # A daemon with an empty database beside files of tasks was probably given another database, or
    # lost its own.
    def _unrecorded(self) -> list[DamagedRecord]:
        """A warning that there are files of tasks beside a database that does not know them."""
        home = self.settings.home
        runs = (home / "tasks").glob("*/iterations/*/spec-*/spec.json")
        waiting = {path.name for path in warm_sandbox_markers(home).glob("*")}
        names = {path.parents[3].name for path in runs} - waiting
        lost = len(self.store.tasks.without_record(names))
        if not lost:
            return []
        subject = "1 task has" if lost == 1 else f"{lost} tasks have"
        return [DamagedRecord(f"{subject} files and no record: run `rover doctor --repair`")]

    def _listed(
        self, rows: Sequence[TaskRow | DamagedRecord]
    ) -> Iterator[ListedTask | DamagedRecord]:
        """Each task as an entry of a page. A damaged record hides no other."""
        # A page shows the first action of each: nobody else is proposed.
        policy = self.policy()
        for row in rows:
            try:
                sound = isinstance(row, TaskRow)
                yield task_page.listed(self.view(row, policy=policy)) if sound else row
            except DamagedRecord as damaged:
                yield damaged

    def event_views(self, events: Sequence[EventRow], caller: Caller) -> Sequence[AttentionView]:
        """Events as `attention`, with the project where it is not the caller's. An event of a task
        that cannot be read is left out."""
        if not events:
            return ()
        here = self.store.projects.around(caller.cwd) if caller.user is None else None
        views: list[AttentionView] = []
        for event in events:
            try:
                task = self.store.tasks.get(event.task_id)
            except DamagedRecord:
                continue  # list_tasks names it
            if task is not None:
                view = event_view(event, task, self.settings.budget)
                elsewhere = here is None or here.id != task.project_id
                path = task.project_path if elsewhere else None
                views.append(AttentionView(**view.model_dump(), repo_path=path))
        return views
